// Scores, sorting and every number of one ind-against-ood comparison, in float64 and exact on ties.
// Larger = more in-distribution; ind is the positive class; accepted where score >= threshold (as fssd_core.metrics).
// Arrays named `ind` and `ood` are sorted, rising.

/** out[i] = sum_k alpha[k] * columns[k][i], summed in layer order. columns: K arrays of (N,). */
export function combine(columns, alpha, out) {
  const count = out.length;
  out.fill(0);
  for (let k = 0; k < columns.length; k++) {
    const a = alpha[k];
    const column = columns[k];
    for (let i = 0; i < count; i++) out[i] += a * column[i];
  }
  return out;
}

const SLOW_BUCKET = 32; // above this an insertion sort of one bucket costs more than the built-in sort
let starts = new Int32Array(1 << 14);

/** Sorts `values` into `out`, rising: one bucket a value, then insertion; the built-in sort where values heap up. */
export function sortInto(values, out) {
  const count = values.length;
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < count; i++) {
    const v = values[i];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  const scale = (count - 1) / (high - low);
  if (!(scale > 0 && scale < Infinity)) {
    out.set(values);
    return high > low ? out.sort() : out;
  }
  if (starts.length <= count) starts = new Int32Array(2 * count);
  starts.fill(0, 0, count + 1);
  for (let i = 0; i < count; i++) starts[(((values[i] - low) * scale) | 0) + 1]++;
  for (let b = 0; b < count; b++) starts[b + 1] += starts[b];
  for (let i = 0; i < count; i++) out[starts[((values[i] - low) * scale) | 0]++] = values[i];
  for (let b = 0, begin = 0; b < count; b++) {
    const end = starts[b]; // after the filling, where bucket b ends
    if (end - begin > SLOW_BUCKET) out.subarray(begin, end).sort();
    else if (end - begin > 1) insertionSort(out, begin, end);
    begin = end;
  }
  return out;
}

function insertionSort(out, begin, end) {
  for (let i = begin + 1; i < end; i++) {
    const v = out[i];
    let j = i - 1;
    while (j >= begin && out[j] > v) {
      out[j + 1] = out[j];
      j--;
    }
    out[j + 1] = v;
  }
}

/** Merges sorted arrays into one, `out` of their total length. */
export function mergeSorted(arrays, out) {
  let merged = 0;
  for (const array of arrays) {
    out.set(array, merged);
    merged += array.length;
  }
  return arrays.length > 1 ? out.sort() : out;
}

/** How many of a sorted array lie below `value` (or at most at it, with `inclusive`). */
export function countBelow(sorted, value, inclusive = false) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value || (inclusive && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Fewest of `count` images whose share is at least `tpr`: no rounding surprise where tpr * count is whole. */
export function needed(count, tpr) {
  let need = Math.min(count, Math.max(0, Math.ceil(tpr * count)));
  while (need > 0 && (need - 1) / count >= tpr) need--;
  while (need < count && need / count < tpr) need++;
  return need;
}

/** The largest threshold that accepts at least the share `tpr` of ind; Infinity (accept nothing) for 0. */
export function thresholdAtTpr(ind, tpr) {
  const need = needed(ind.length, tpr);
  return need ? ind[ind.length - need] : Infinity;
}

/** Share of ood accepted at thresholdAtTpr; NaN where a side is empty. */
export function fprAtTpr(ind, ood, tpr) {
  if (!ind.length || !ood.length) return NaN;
  return (ood.length - countBelow(ood, thresholdAtTpr(ind, tpr))) / ood.length;
}

/** Counts at one threshold: {tp, fn, fp, tn}. */
export function confusion(ind, ood, threshold) {
  const fn = countBelow(ind, threshold);
  const tn = countBelow(ood, threshold);
  return { tp: ind.length - fn, fn, fp: ood.length - tn, tn };
}

/** P(ind > ood) + P(equal) / 2 over all pairs, counted in whole numbers; NaN where a side is empty. */
export function auroc(ind, ood) {
  let twice = 0;
  let below = 0; // ood < score
  let upTo = 0; // ood <= score
  for (let i = 0; i < ind.length; i++) {
    const score = ind[i];
    while (below < ood.length && ood[below] < score) below++;
    if (upTo < below) upTo = below;
    while (upTo < ood.length && ood[upTo] === score) upTo++;
    twice += below + upTo;
  }
  return twice / (2 * ind.length * ood.length);
}

/** Room for the curve of `total` images: thresholds falling, ind and ood accepted at each; entry 0 accepts nothing. */
export function makeCurve(total) {
  return { length: 0, thresholds: new Float64Array(total + 1), tp: new Int32Array(total + 1), fp: new Int32Array(total + 1) };
}

/** Walks all distinct scores from the largest down: fills `curve` and gives the numbers of fssd_core's Metrics. */
export function evaluate(ind, ood, curve) {
  const { thresholds, tp, fp } = curve;
  let i = ind.length;
  let j = ood.length;
  let step = 0;
  let twice = 0;
  let auprIn = 0;
  let auprOut = 0;
  let error = 0.5;
  thresholds[0] = Infinity;
  tp[0] = fp[0] = 0;
  while (i > 0 || j > 0) {
    const score = j === 0 || (i > 0 && ind[i - 1] >= ood[j - 1]) ? ind[i - 1] : ood[j - 1];
    const restInd = i;
    const restOod = j;
    while (i > 0 && ind[i - 1] === score) i--;
    while (j > 0 && ood[j - 1] === score) j--;
    const accepted = ind.length - i;
    const falsely = ood.length - j;
    const gained = restInd - i;
    const lost = restOod - j;
    twice += lost * (2 * accepted - gained);
    if (gained) auprIn += gained * (accepted / (accepted + falsely));
    if (lost) auprOut += lost * (restOod / (restOod + restInd));
    error = Math.min(error, (1 - accepted / ind.length + falsely / ood.length) / 2);
    step++;
    thresholds[step] = score;
    tp[step] = accepted;
    fp[step] = falsely;
  }
  curve.length = step + 1;
  const defined = ind.length > 0 && ood.length > 0;
  return {
    auroc: defined ? twice / (2 * ind.length * ood.length) : NaN,
    auprIn: defined ? auprIn / ind.length : NaN,
    auprOut: defined ? auprOut / ood.length : NaN,
    fpr80: fprAtTpr(ind, ood, 0.8),
    fpr95: fprAtTpr(ind, ood, 0.95),
    detectionError: defined ? error : NaN,
    indCount: ind.length,
    oodCount: ood.length,
  };
}

/** Shares of a sorted array in `bins` equal bins over [low, high]; what lies outside is counted in `under`, `over`. */
export function histogram(sorted, low, high, bins) {
  const shares = new Float64Array(bins);
  const under = countBelow(sorted, low);
  let before = under;
  for (let b = 0; b < bins; b++) {
    const last = b === bins - 1;
    const edge = last ? high : low + ((high - low) * (b + 1)) / bins;
    const upTo = countBelow(sorted, edge, last);
    shares[b] = (upTo - before) / Math.max(1, sorted.length);
    before = upTo;
  }
  return { shares, under, over: sorted.length - before };
}
