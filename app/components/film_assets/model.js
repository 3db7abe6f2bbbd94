// Model: the payload as typed arrays, and what follows from it alone. T checkpoints, M points, K layers, G groups.
import { decodePayload, stableShuffle } from "../scatter_assets/1_numbers.js";

/** The film of one layer as it came, with the lookups that everything else needs. */
export class Model {
  constructor(data) {
    const decoded = decodePayload(data);
    Object.assign(this, decoded);
    const { header, distance, row } = decoded;
    this.frames = header.steps.length;
    this.count = row.length;
    this.groupOf = new Uint8Array(this.count);
    header.groups.forEach((group, g) => this.groupOf.fill(g, group.start, group.stop));
    this.order = this.#drawingOrder();
    this.means = header.groups.map((group) => this.#means(distance, group)); // (G, T) of the drawn points
    this.dynamics = header.dynamics && new Dynamics(header.dynamics, decoded, this.frames);
  }

  /** ind beneath, then all ood shuffled among each other, then the few and small noise points. */
  #drawingOrder() {
    const parts = { noise: [], ind: [], ood: [] };
    for (const group of this.header.groups) for (let i = group.start; i < group.stop; i++) parts[group.kind].push(i);
    return Uint32Array.from([...stableShuffle(parts.ind), ...stableShuffle(parts.ood), ...parts.noise]);
  }

  #means(distance, { start, stop }) {
    const out = new Float64Array(this.frames);
    for (let t = 0; t < this.frames; t++) {
      let sum = 0;
      for (let i = start; i < stop; i++) sum += distance[t * this.count + i];
      out[t] = stop > start ? sum / (stop - start) : NaN;
    }
    return out;
  }

  /** True distance of point i to F* at checkpoint t. */
  at(t, i) {
    return this.distance[t * this.count + i];
  }

  /** Share of ind points that lie nearer to F* than `value` at checkpoint t, 0..1. */
  shareOfInd(t, value) {
    const { start, stop } = this.header.groups[0];
    let below = 0;
    for (let i = start; i < stop; i++) if (this.distance[t * this.count + i] < value) below++;
    return below / Math.max(1, stop - start);
  }

  /** Index of the point that is this row of this group, or -1. */
  indexOf({ group, row }) {
    const found = this.header.groups.find((g) => g.name === group);
    const place = found ? this.row.subarray(found.start, found.stop).indexOf(row) : -1;
    return place < 0 ? -1 : found.start + place;
  }

  /** Whether the other model holds the same points in the same order, so that they can move there. */
  samePoints(other) {
    const names = (m) => m.header.groups.map((g) => `${g.name}:${g.start}:${g.stop}`).join();
    return other.count === this.count && names(other) === names(this) && this.row.every((r, i) => r === other.row[i]);
  }

  /** Step number of a place between checkpoints, and back: between two checkpoints both grow evenly. */
  stepAt(position) {
    const { steps } = this.header;
    const k = Math.min(Math.floor(position), this.frames - 2);
    return steps[k] + (steps[k + 1] - steps[k]) * (position - k);
  }

  positionOf(step) {
    const { steps } = this.header;
    if (step <= steps[0]) return 0;
    if (step >= steps[steps.length - 1]) return steps.length - 1;
    const k = steps.findLastIndex((s) => s <= step);
    return k + (step - steps[k]) / (steps[k + 1] - steps[k]);
  }
}

/** A list with null where nothing is known, as numbers with NaN there. */
const known = (list) => list && list.map((v) => v ?? NaN);

/** Numbers over training, measured on all samples: mean, quantiles, norm, AUROC by layer and group. */
class Dynamics {
  constructor(header, arrays, frames) {
    this.layers = header.layers;
    this.layer = header.layer;
    this.quantiles = header.quantiles;
    this.counts = header.counts;
    this.frames = frames;
    this.groups = header.groups;
    this.accuracy = known(header.accuracy);
    this.loss = known(header.loss);
    this.arrays = arrays;
  }

  /** (T,) of one measure ('mean', 'low', 'high', 'norm', 'auroc') of a layer and a group. */
  series(measure, k, g) {
    const [K, G] = [this.layers.length, this.groups];
    const from = this.arrays[`dyn_${measure}`];
    return Float64Array.from({ length: this.frames }, (_, t) => from[(t * K + k) * G + g]);
  }

  /** (T,) ind median distance of a layer. */
  median(k) {
    const K = this.layers.length;
    return Float64Array.from({ length: this.frames }, (_, t) => this.arrays.dyn_median[t * K + k]);
  }
}
