// Scales: how a true distance becomes a drawn radius, and where every point lies at every checkpoint. No DOM here.
import { formatNumber, formatTick, niceTicks } from "../scatter_assets/1_numbers.js";

export const RADIUS_MODES = {
  median: { name: "÷ median", help: "Distance over the ind median of the same checkpoint" },
  absolute: { name: "absolute", help: "Distance over the ind median of the last checkpoint: every group's own outward motion shows" },
  log: { name: "log", help: "The absolute distance on a logarithmic scale: early training shows too" },
};

const TURN = Math.PI / 32767; // angles come as int16

/** The radius of one mode over a whole film. The unit of 'absolute' and 'log' is the last ind median. */
export class Scale {
  constructor(mode, model) {
    const { indMedian } = model.header;
    this.mode = mode;
    this.model = model;
    this.unit = indMedian[indMedian.length - 1];
    this.floor = Math.max(Math.min(...indMedian), this.unit / 1024);
    this.indMedian = indMedian;
  }

  /** Drawn radius of distance d at checkpoint t. */
  of(d, t) {
    if (this.mode === "median") return d / this.indMedian[t];
    return this.mode === "absolute" ? d / this.unit : Math.log2(1 + d / this.floor);
  }

  /** (T * 2M) x, y of every point at every checkpoint, F* at the origin. */
  positions() {
    const { frames, count, distance, angle, xy } = this.model;
    const out = new Float32Array(2 * frames * count);
    for (let t = 0; t < frames; t++) {
      for (let i = 0; i < count; i++) {
        const at = t * count + i;
        if (angle) {
          const radius = this.of(distance[at], t);
          out[2 * at] = radius * Math.cos(angle[at] * TURN);
          out[2 * at + 1] = radius * Math.sin(angle[at] * TURN);
        } else {
          const length = Math.hypot(xy[2 * at], xy[2 * at + 1]) || 1;
          const factor = this.of(length, t) / length;
          out[2 * at] = xy[2 * at] * factor;
          out[2 * at + 1] = xy[2 * at + 1] * factor;
        }
      }
    }
    return out;
  }

  /** Radius at the rim, the same for the whole film: in nine of ten checkpoints 99 % of the points lie within. */
  reach(positions) {
    const { frames, count } = this.model;
    const radii = new Float32Array(count);
    const nearlyAll = Float32Array.from({ length: frames }, (_, t) => {
      for (let i = 0; i < count; i++) radii[i] = Math.hypot(positions[2 * (t * count + i)], positions[2 * (t * count + i) + 1]);
      return radii.sort()[Math.floor(0.99 * (count - 1))];
    }).sort();
    return Math.max(1.03 * nearlyAll[Math.floor(0.9 * (frames - 1))], this.of(1.6 * this.unit, frames - 1));
  }

  /** Rings within `reach`: [{radius, label, strong}]. */
  rings(reach) {
    if (this.mode === "log") return this.#doublings(reach);
    const usual = [0.5, 1, 1.5, 2, 2.5].filter((r) => r <= reach);
    const values = reach > 3 ? niceTicks(0, reach, 4).filter((r) => r > 0) : usual;
    return values.map((r) => ({ radius: r, label: `${formatTick(r, 0.1)}×`, strong: r === 1 }));
  }

  /** Rings of the log scale at powers of 2, or of 4 where those would crowd. */
  #doublings(reach) {
    const top = Math.floor(Math.log2((this.floor * (2 ** reach - 1)) / this.unit));
    const bottom = Math.ceil(Math.log2(this.floor / this.unit) - 1);
    const every = top - bottom > 5 ? 2 : 1;
    const rings = [];
    for (let power = top; power >= bottom; power--) {
      if (power % every) continue;
      const share = 2 ** power;
      const label = power < 0 ? `1/${2 ** -power}×` : `${share}×`;
      rings.unshift({ radius: Math.log2(1 + (share * this.unit) / this.floor), label, strong: power === 0 });
    }
    return rings;
  }

  /** What one unit of the rings is, for the line below the picture. */
  words() {
    if (this.mode === "median") return "1× = the ind median of the same checkpoint";
    return `1× = the last ind median, ${formatNumber(this.unit)}${this.mode === "log" ? ", logarithmic" : ""}`;
  }
}

/** x, y of point i at a place between two frames of a track. */
export function placeOf(track, position, i) {
  const k = Math.min(Math.floor(position), track.frames - 1);
  const next = Math.min(k + 1, track.frames - 1);
  const [a, b] = [2 * (k * track.count + i), 2 * (next * track.count + i)];
  const mix = position - k;
  const { positions: p } = track;
  return [p[a] + (p[b] - p[a]) * mix, p[a + 1] + (p[b + 1] - p[a + 1]) * mix];
}
