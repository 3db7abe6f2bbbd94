// Markers: one shape function for the plot, the legend and the saved picture; stamps that write many points fast.

const TAU = 2 * Math.PI;

function polygon(ctx, x, y, corners, radius, turn) {
  for (let k = 0; k < corners; k++) {
    const angle = turn + (k * TAU) / corners;
    ctx[k ? "lineTo" : "moveTo"](x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  ctx.closePath();
}

function spokes(ctx, x, y, count, radius, turn) {
  for (let k = 0; k < count; k++) {
    const angle = turn + (k * Math.PI) / count;
    const [dx, dy] = [radius * Math.cos(angle), radius * Math.sin(angle)];
    ctx.moveTo(x - dx, y - dy);
    ctx.lineTo(x + dx, y + dy);
  }
}

const FILLED = {
  circle: (c, x, y, r) => c.arc(x, y, r, 0, TAU),
  dot: (c, x, y, r) => c.arc(x, y, r * 0.72, 0, TAU),
  triangle: (c, x, y, r) => polygon(c, x, y + r * 0.15, 3, r * 1.3, -Math.PI / 2),
  "triangle-down": (c, x, y, r) => polygon(c, x, y - r * 0.15, 3, r * 1.3, Math.PI / 2),
  diamond: (c, x, y, r) => polygon(c, x, y, 4, r * 1.3, 0),
  square: (c, x, y, r) => polygon(c, x, y, 4, r * 1.25, Math.PI / 4),
  hexagon: (c, x, y, r) => polygon(c, x, y, 6, r * 1.15, 0),
};
const STROKED = {
  plus: (c, x, y, r) => spokes(c, x, y, 2, r * 1.3, 0),
  cross: (c, x, y, r) => spokes(c, x, y, 2, r * 1.3, Math.PI / 4),
  asterisk: (c, x, y, r) => spokes(c, x, y, 3, r * 1.3, Math.PI / 6),
  bar: (c, x, y, r) => spokes(c, x, y, 1, r * 1.3, 0),
  ring: (c, x, y, r) => c.arc(x, y, r, 0, TAU),
};

/** One marker of radius r about (x, y); `halo` is the background's colour, drawn beneath as a thin rim (`extra` wide). */
function drawMarker(ctx, shape, x, y, r, colour, halo, extra = 1.1) {
  ctx.beginPath();
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  if (STROKED[shape]) {
    STROKED[shape](ctx, x, y, r);
    const width = Math.max(1.2, r * 0.55);
    if (halo) {
      ctx.strokeStyle = halo;
      ctx.lineWidth = width + extra;
      ctx.globalAlpha *= 0.75;
      ctx.stroke();
      ctx.globalAlpha /= 0.75;
    }
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
    return;
  }
  (FILLED[shape] ?? FILLED.circle)(ctx, x, y, r);
  if (halo) {
    ctx.strokeStyle = halo;
    ctx.lineWidth = extra;
    ctx.stroke();
  }
  ctx.fillStyle = colour;
  ctx.fill();
}

const CHOSEN_RIM = 3.6; // px, of both sides together

/** The marker of a chosen point: a rim in the text's colour, kept apart from its neighbours by the background's. */
function drawChosen(ctx, shape, x, y, r, colour, { text, background }) {
  drawMarker(ctx, shape, x, y, r, background, background, CHOSEN_RIM + 2.8);
  drawMarker(ctx, shape, x, y, r, colour, text, CHOSEN_RIM);
}

/** F*: a five-pointed gold star with a dark outline and a background rim, so that it stands out on any cloud. */
function drawStar(ctx, x, y, r, colours) {
  const path = () => {
    ctx.beginPath();
    for (let k = 0; k < 10; k++) {
      const radius = k % 2 ? r * 0.42 : r;
      const angle = -Math.PI / 2 + (k * Math.PI) / 5;
      ctx[k ? "lineTo" : "moveTo"](x + radius * Math.cos(angle), y + radius * Math.sin(angle));
    }
    ctx.closePath();
  };
  ctx.lineJoin = "round";
  path();
  ctx.strokeStyle = colours.background;
  ctx.lineWidth = r * 0.5;
  ctx.stroke();
  path();
  ctx.strokeStyle = colours.fssOutline;
  ctx.lineWidth = r * 0.26;
  ctx.stroke();
  ctx.fillStyle = colours.fss;
  ctx.fill();
}

/**
 * All styles of a drawing as lists of pixels, and a buffer they are stamped into. Writing the pixels ourselves is 3 to 4
 * times faster than one drawImage a point where the browser has no GPU, and looks the same everywhere.
 */
class Stamps {
  constructor(styles, radius, ratio, colours) {
    this.half = Math.ceil((radius * 1.5 + 4) * ratio);
    const size = 2 * this.half + 1;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    const ctx = canvas.getContext("2d", { willReadFrequently: true });
    this.chosen = styles.length; // from here on: the same styles, as chosen points
    this.shapes = [...styles, ...styles].map((style, k) => {
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, size, size);
      ctx.translate(this.half + 0.5, this.half + 0.5);
      ctx.scale(ratio, ratio);
      ctx.globalAlpha = 1;
      if (k < styles.length) drawMarker(ctx, style.marker, 0, 0, radius, style.colour, colours.background);
      else drawChosen(ctx, style.marker, 0, 0, radius, style.colour, colours);
      return this.shapeOf(new Uint32Array(ctx.getImageData(0, 0, size, size).data.buffer), size);
    });
  }

  /** Solid pixels apart from those that must be mixed with what lies beneath. */
  shapeOf(pixels, size) {
    const solid = [];
    const edge = [];
    pixels.forEach((value, k) => {
      const alpha = value >>> 24;
      if (alpha > 7) (alpha > 247 ? solid : edge).push([(k % size) - this.half, Math.floor(k / size) - this.half, value]);
    });
    const column = (list, k, kind) => kind.from(list, (entry) => entry[k]);
    const lists = (list) => ({
      x: column(list, 0, Int32Array),
      y: column(list, 1, Int32Array),
      value: column(list, 2, Uint32Array),
      offset: new Int32Array(list.length),
    });
    return { solid: lists(solid), edge: lists(edge) };
  }

  /** A clear buffer of that size; the offsets of all pixels follow from its width. */
  prepare(width, height) {
    if (this.width !== width || this.height !== height) {
      this.canvas = document.createElement("canvas");
      this.canvas.width = this.width = width;
      this.canvas.height = this.height = height;
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
      this.image = this.context.createImageData(width, height);
      this.buffer = new Uint32Array(this.image.data.buffer);
      for (const { solid, edge } of this.shapes) {
        for (const list of [solid, edge]) list.x.forEach((x, k) => (list.offset[k] = list.y[k] * width + x));
      }
    } else this.buffer.fill(0);
  }

  /** Stamps style k at device pixel (x, y), which must lie at least `half` inside the buffer. */
  stamp(k, x, y) {
    const { buffer } = this;
    const { solid, edge } = this.shapes[k];
    const base = y * this.width + x;
    for (let j = 0; j < solid.offset.length; j++) buffer[base + solid.offset[j]] = solid.value[j];
    for (let j = 0; j < edge.offset.length; j++) {
      const at = base + edge.offset[j];
      buffer[at] = over(edge.value[j], buffer[at]);
    }
  }

  /** The same near the border: only pixels within the bounds. */
  stampClipped(k, x, y, bounds) {
    for (const list of [this.shapes[k].solid, this.shapes[k].edge]) {
      for (let j = 0; j < list.offset.length; j++) {
        const [px, py] = [x + list.x[j], y + list.y[j]];
        if (px < bounds.left || px >= bounds.right || py < bounds.top || py >= bounds.bottom) continue;
        const at = py * this.width + px;
        this.buffer[at] = over(list.value[j], this.buffer[at]);
      }
    }
  }

  finish() {
    this.context.putImageData(this.image, 0, 0);
    return this.canvas;
  }
}

/** Source over destination for two pixels 0xAABBGGRR that are not premultiplied. */
function over(source, below) {
  const a = source >>> 24;
  const under = below >>> 24;
  if (under === 0 || a === 255) return source;
  const w = (under * (255 - a)) / 255;
  const out = a + w;
  const mix = (shift) => ((((source >>> shift) & 255) * a + ((below >>> shift) & 255) * w) / out + 0.5) | 0;
  return ((Math.min(255, (out + 0.5) | 0) << 24) | (mix(16) << 16) | (mix(8) << 8) | mix(0)) >>> 0;
}
