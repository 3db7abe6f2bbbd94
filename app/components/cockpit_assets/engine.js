// From score blocks, alpha and epsilon to everything the page shows. No DOM: it runs in any JavaScript.
import { auroc, combine, confusion, evaluate, fprAtTpr, histogram, makeCurve, mergeSorted, sortInto, thresholdAtTpr } from "./metrics.js";
import { Pchip } from "./pchip.js";

const LIVE_ROWS = 40000; // ood rows of the sets not chosen that are kept up to date within the same update

/** One data set: its columns at the current epsilon, its scores under the current alpha, kept until either changes. */
class ScoreSet {
  constructor(name, { shape, values }, knots) {
    const [, layers, count] = shape;
    this.name = name;
    this.count = count;
    this.splines = Array.from({ length: layers }, (_, k) => {
      const column = (e) => values.subarray((e * layers + k) * count, (e * layers + k + 1) * count);
      return new Pchip(knots, knots.map((_, e) => column(e)));
    });
    this.columns = Array.from({ length: layers }, () => new Float64Array(count));
    this.values = new Float64Array(count);
    this.sorted = new Float64Array(count);
    this.columnsVersion = -1;
    this.scoresVersion = -1;
  }

  setEpsilon(epsilon) {
    this.splines.forEach((spline, k) => spline.at(epsilon, this.columns[k]));
  }
}

export class Engine {
  /**
   * @param {object} data {layers: K names, knots: E rising epsilons, ind: {name, block}, oods: [{name, block}]} with
   *     blocks of shape (E, K, N).
   */
  constructor({ layers, knots, ind, oods }) {
    this.layers = layers;
    this.knots = knots;
    this.ind = new ScoreSet(ind.name, ind.block, knots);
    this.oods = oods.map(({ name, block }) => new ScoreSet(name, block, knots));
    this.epsilon = knots[0];
    this.alpha = Float64Array.from(layers, () => 1);
    this.columnsVersion = 0;
    this.scoresVersion = 0;
    this.curves = new Map(); // room for curves, by total length
    this.pooled = null;
    this.layerCache = { key: "", values: [] };
  }

  setAlpha(alpha) {
    if (alpha.every((a, k) => a === this.alpha[k])) return;
    this.alpha = Float64Array.from(alpha);
    this.scoresVersion++;
  }

  setEpsilon(epsilon) {
    if (epsilon === this.epsilon) return;
    this.epsilon = epsilon;
    this.columnsVersion++;
    this.scoresVersion++;
  }

  /** The chosen ood set, or all of them as one where `name` is null. */
  chosen(name) {
    return name === null ? null : this.oods.find((set) => set.name === name);
  }

  /** Sorted scores of a set under the current alpha and epsilon. */
  sorted(set) {
    if (set.columnsVersion !== this.columnsVersion) {
      set.setEpsilon(this.epsilon);
      set.columnsVersion = this.columnsVersion;
    }
    if (set.scoresVersion !== this.scoresVersion) {
      combine(set.columns, this.alpha, set.values);
      sortInto(set.values, set.sorted);
      set.scoresVersion = this.scoresVersion;
    }
    return set.sorted;
  }

  /** Sorted scores of the chosen ood set, or of all of them together. */
  sortedOod(name) {
    if (name !== null) return this.sorted(this.chosen(name));
    if (this.pooled?.version !== this.scoresVersion) {
      const parts = this.oods.map((set) => this.sorted(set));
      const total = parts.reduce((sum, part) => sum + part.length, 0);
      const values = this.pooled?.values ?? new Float64Array(total);
      this.pooled = { version: this.scoresVersion, values: mergeSorted(parts, values) };
    }
    return this.pooled.values;
  }

  /** Curve and numbers of ind against the chosen ood. */
  compare(name) {
    const ind = this.sorted(this.ind);
    const ood = this.sortedOod(name);
    const total = ind.length + ood.length;
    if (!this.curves.has(total)) this.curves.set(total, makeCurve(total));
    const curve = this.curves.get(total);
    const metrics = evaluate(ind, ood, curve);
    return { ind, ood, curve, metrics, range: scoreRange(ind, ood) };
  }

  /** Curve and numbers of ind against the chosen ood under another alpha and epsilon; the present ones stay. */
  compareAt(name, alpha, epsilon) {
    const scores = (set) => {
      const columns = set.splines.map((spline) => spline.at(epsilon, new Float64Array(set.count)));
      return sortInto(combine(columns, alpha, new Float64Array(set.count)), new Float64Array(set.count));
    };
    const ind = scores(this.ind);
    const parts = (name === null ? this.oods : [this.chosen(name)]).map(scores);
    const ood = mergeSorted(parts, new Float64Array(parts.reduce((sum, part) => sum + part.length, 0)));
    const curve = makeCurve(ind.length + ood.length);
    return { curve, metrics: evaluate(ind, ood, curve) };
  }

  confusion(name, threshold) {
    return confusion(this.sorted(this.ind), this.sortedOod(name), threshold);
  }

  thresholdAtTpr(tpr) {
    return thresholdAtTpr(this.sorted(this.ind), tpr);
  }

  /** Whether the table of all ood sets can follow every update. */
  get tableIsCheap() {
    return this.oods.reduce((sum, set) => sum + set.count, 0) <= LIVE_ROWS;
  }

  /** AUROC and FPR95 of every ood set under the current alpha. */
  table() {
    const ind = this.sorted(this.ind);
    return this.oods.map((set) => {
      const ood = this.sorted(set);
      return { name: set.name, count: set.count, auroc: auroc(ind, ood), fpr95: fprAtTpr(ind, ood, 0.95) };
    });
  }

  /** AUROC of each layer's distance alone at the current epsilon, against the chosen ood. */
  layerAurocs(name) {
    const key = `${this.columnsVersion}|${name}`;
    if (this.layerCache.key !== key) {
      const sets = name === null ? this.oods : [this.chosen(name)];
      for (const set of [this.ind, ...sets]) this.sorted(set); // brings the columns to the current epsilon
      const values = this.layers.map((_, k) => {
        const column = (set) => sortInto(set.columns[k], new Float64Array(set.count));
        const total = sets.reduce((sum, set) => sum + set.count, 0);
        return auroc(column(this.ind), mergeSorted(sets.map(column), new Float64Array(total)));
      });
      this.layerCache = { key, values };
    }
    return this.layerCache.values;
  }

  /** Histograms of ind and of each chosen ood set over the range. */
  histograms(name, range, bins) {
    const sets = name === null ? this.oods : [this.chosen(name)];
    const of = (set) => ({ name: set.name, ...histogram(this.sorted(set), range.low, range.high, bins) });
    return { ind: of(this.ind), oods: sets.map(of) };
  }
}

/** The scores' extent, and the part of it that holds all but the outermost 0.2 % of each side (the drawn axis). */
function scoreRange(ind, ood) {
  const sides = [ind, ood].filter((side) => side.length);
  if (!sides.length) return { min: 0, max: 0, low: -1, high: 1, constant: true };
  const min = Math.min(...sides.map((side) => side[0]));
  const max = Math.max(...sides.map((side) => side[side.length - 1]));
  if (!(max > min)) return { min, max, low: min - 1, high: max + 1, constant: true };
  const low = Math.min(...sides.map((side) => side[Math.floor(0.002 * side.length)]));
  const high = Math.max(...sides.map((side) => side[side.length - 1 - Math.floor(0.002 * side.length)]));
  const pad = (high > low ? high - low : max - min) * 0.02;
  return { min, max, low: Math.max(min, low - pad), high: Math.min(max, high + pad), constant: false };
}
