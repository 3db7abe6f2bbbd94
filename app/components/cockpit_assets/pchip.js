// Monotone cubic interpolation (PCHIP, Fritsch and Butland 1984) as scipy.interpolate.PchipInterpolator does it,
// for many samples at once. The coefficients of one piece are kept, so moving within a piece costs three products.

/** Index i of the piece [knots[i], knots[i + 1]] that holds x; knots rise. */
export function pieceOf(knots, x) {
  let i = 0;
  while (i < knots.length - 2 && x >= knots[i + 1]) i++;
  return i;
}

/** Interpolates (N,) values between knots. */
export class Pchip {
  /**
   * @param {number[]} knots (E,) rising places.
   * @param {Float32Array[]} values E arrays of (N,): the values at each knot.
   */
  constructor(knots, values) {
    this.knots = knots;
    this.values = values;
    this.piece = -1;
    this.coefficients = null; // c1, c2, c3 of c0 + c1 s + c2 s^2 + c3 s^3 on the current piece, c0 the left value
  }

  /** The values at x into `out` (N,) float64; at a knot the very values given. */
  at(x, out) {
    const exact = this.knots.length === 1 ? 0 : this.knots.indexOf(x);
    if (exact >= 0) {
      out.set(this.values[exact]);
      return out;
    }
    const i = pieceOf(this.knots, x);
    if (i !== this.piece) this.#prepare(i);
    const c0 = this.values[i];
    const [c1, c2, c3] = this.coefficients;
    const s = x - this.knots[i];
    for (let n = 0; n < out.length; n++) out[n] = c0[n] + s * (c1[n] + s * (c2[n] + s * c3[n]));
    return out;
  }

  #prepare(i) {
    const { knots, values } = this;
    const count = values[0].length;
    this.coefficients ??= Array.from({ length: 3 }, () => new Float64Array(count));
    const [c1, c2, c3] = this.coefficients;
    const hasBefore = i > 0;
    const hasAfter = i + 2 < knots.length;
    const h = knots[i + 1] - knots[i];
    const hBefore = hasBefore ? knots[i] - knots[i - 1] : 1;
    const hAfter = hasAfter ? knots[i + 2] - knots[i + 1] : 1;
    const [left, right] = [values[i], values[i + 1]];
    const before = hasBefore ? values[i - 1] : left;
    const after = hasAfter ? values[i + 2] : right;
    for (let n = 0; n < count; n++) {
      const slope = (right[n] - left[n]) / h;
      const slopeBefore = (left[n] - before[n]) / hBefore;
      const slopeAfter = (after[n] - right[n]) / hAfter;
      let d0 = slope; // two knots alone: a straight line
      let d1 = slope;
      if (hasBefore) d0 = inner(hBefore, h, slopeBefore, slope);
      else if (hasAfter) d0 = end(h, hAfter, slope, slopeAfter);
      if (hasAfter) d1 = inner(h, hAfter, slope, slopeAfter);
      else if (hasBefore) d1 = end(h, hBefore, slope, slopeBefore);
      const t = (d0 + d1 - 2 * slope) / h;
      c1[n] = d0;
      c2[n] = (slope - d0) / h - t;
      c3[n] = t / h;
    }
    this.piece = i;
  }
}

/** Slope at an inner knot: the weighted harmonic mean of its neighbours' slopes, 0 where they differ in sign. */
function inner(hLeft, hRight, left, right) {
  if (left * right <= 0) return 0;
  const w1 = 2 * hRight + hLeft;
  const w2 = hRight + 2 * hLeft;
  return (w1 + w2) / (w1 / left + w2 / right);
}

/** Slope at an end: the one-sided three-point estimate, cut so that the shape is kept. */
function end(hNear, hFar, near, far) {
  const d = ((2 * hNear + hFar) * near - hNear * far) / (hNear + hFar);
  if (Math.sign(d) !== Math.sign(near)) return 0;
  if (Math.sign(near) !== Math.sign(far) && Math.abs(d) > 3 * Math.abs(near)) return 3 * near;
  return d;
}
