// Numbers: decoding the payload, radius scales, ticks, formatting, nearest-point grid. No DOM in this file.
// The files of this folder are joined in the order of their names into one ES module (see app/components/scatter.py).

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Splits "FSD1", uint32 header length, JSON header, sections. The bytes arrive unaligned, so they are copied once. */
function decodePayload(data) {
  const given = data instanceof Uint8Array ? data : new Uint8Array(data);
  const buffer = given.slice().buffer;
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== "FSD1") throw new Error(`scatter: the payload starts with ${JSON.stringify(magic)}, not with "FSD1"`);
  const length = new DataView(buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const kinds = { f4: Float32Array, i4: Int32Array, i2: Int16Array, u1: Uint8Array };
  const arrays = {};
  for (const [name, [dtype, start, count]] of Object.entries(header.sections)) {
    arrays[name] = new kinds[dtype](buffer, 8 + length + start, count);
  }
  return { header, ...arrays };
}

/** How a true distance d becomes a drawn radius; `median` is the ind median. All are monotone and 0 at F*. */
const RADIUS_MODES = {
  median: { name: "÷ median", help: "distance over the ind median", of: (d, median) => d / median },
  absolute: { name: "absolute", help: "distance in the layer's own units", of: (d) => d },
  log: { name: "log", help: "log₂(1 + distance over the ind median)", of: (d, median) => Math.log2(1 + d / median) },
};

/** Rings up to drawn radius `reach`: [{radius, label, strong}]. */
function ringsFor(mode, reach, median) {
  if (mode === "log") {
    const ratios = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64];
    const fitting = ratios.filter((q) => Math.log2(1 + q) <= reach);
    return fitting.map((q) => ({ radius: Math.log2(1 + q), label: `${q}×`, strong: q === 1 }));
  }
  const rings = niceTicks(0, reach, 4).filter((t) => t > 0);
  if (mode === "absolute") return rings.map((t) => ({ radius: t, label: formatTick(t, reach / 4), strong: false }));
  return rings.map((t) => ({ radius: t, label: `${formatTick(t, reach / 4)}×`, strong: Math.abs(t - 1) < 1e-9 }));
}

/** Round tick values in [low, high], about `count` of them, steps of 1, 2 or 5 times a power of ten. */
function niceTicks(low, high, count) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(k * step);
  return ticks;
}

function formatTick(value, step) {
  const digits = clamp(Math.ceil(-Math.log10(Math.abs(step) || 1)), 0, 6);
  const text = value.toFixed(digits);
  return (digits ? text.replace(/\.?0+$/, "") : text).replace("-", "−");
}

function formatNumber(value) {
  if (!Number.isFinite(value)) return "not a number";
  if (Math.abs(value) >= 10000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

const formatCount = (count) => count.toLocaleString("en-US");

function ordinal(number) {
  const tens = number % 100;
  if (tens >= 11 && tens <= 13) return `${number}th`;
  return `${number}${{ 1: "st", 2: "nd", 3: "rd" }[number % 10] ?? "th"}`;
}

/** Share of `sorted` that is smaller than `value`, 0..1. */
function rankIn(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return sorted.length ? low / sorted.length : NaN;
}

/** In-place shuffle that is the same every time, so that overlapping groups are drawn in a fair, stable order. */
function stableShuffle(indices) {
  let state = 0x2545f491;
  for (let i = indices.length - 1; i > 0; i--) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    [indices[i], indices[j]] = [indices[j], indices[i]];
  }
  return indices;
}

/** Uniform grid over the points (counting sort): the nearest point within a radius looks at a few cells only. */
class PointGrid {
  constructor(xy, visible) {
    const total = visible.length;
    let [x0, y0, x1, y1, used] = [Infinity, Infinity, -Infinity, -Infinity, 0];
    for (let i = 0; i < total; i++) {
      if (!visible[i]) continue;
      const [x, y] = [xy[2 * i], xy[2 * i + 1]];
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
      used++;
    }
    this.xy = xy;
    this.used = used;
    if (!used) return;
    this.side = clamp(Math.ceil(Math.sqrt(used / 2)), 1, 128);
    this.x0 = x0;
    this.y0 = y0;
    this.cell = Math.max(x1 - x0, y1 - y0, 1e-12) / this.side;
    const cells = this.side * this.side;
    this.starts = new Uint32Array(cells + 1);
    const cellOf = new Int32Array(total).fill(-1);
    for (let i = 0; i < total; i++) {
      if (!visible[i]) continue;
      cellOf[i] = this.column(xy[2 * i]) + this.side * this.line(xy[2 * i + 1]);
      this.starts[cellOf[i] + 1]++;
    }
    for (let c = 0; c < cells; c++) this.starts[c + 1] += this.starts[c];
    const next = this.starts.slice(0, cells);
    this.members = new Uint32Array(used);
    for (let i = 0; i < total; i++) if (cellOf[i] >= 0) this.members[next[cellOf[i]]++] = i;
  }

  column(x) {
    return clamp(Math.floor((x - this.x0) / this.cell), 0, this.side - 1);
  }

  line(y) {
    return clamp(Math.floor((y - this.y0) / this.cell), 0, this.side - 1);
  }

  /** Index of the nearest point within `radius` of (x, y), or -1. */
  nearest(x, y, radius) {
    if (!this.used) return -1;
    let best = -1;
    let least = radius * radius;
    const [c0, c1] = [this.column(x - radius), this.column(x + radius)];
    const [l0, l1] = [this.line(y - radius), this.line(y + radius)];
    for (let l = l0; l <= l1; l++) {
      const stop = this.starts[c1 + this.side * l + 1];
      for (let k = this.starts[c0 + this.side * l]; k < stop; k++) {
        const i = this.members[k];
        const [dx, dy] = [this.xy[2 * i] - x, this.xy[2 * i + 1] - y];
        const square = dx * dx + dy * dy;
        if (square <= least) {
          least = square;
          best = i;
        }
      }
    }
    return best;
  }
}

/** '#rrggbb' of any CSS colour, or '' where it is none. */
function toHex(colour) {
  if (!colour || !CSS.supports("color", colour)) return "";
  const ctx = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, 1, 1);
  return `#${[...ctx.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((v) => v.toString(16).padStart(2, "0")).join("")}`;
}

function brightness(hex) {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
