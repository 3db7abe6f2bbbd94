// Markers: one shape function for the plot, the legend and the saved picture; sprites so that a point is one drawImage.

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

/** One marker of radius r about (x, y); `halo` is the background's colour, drawn beneath as a thin rim. */
function drawMarker(ctx, shape, x, y, r, colour, halo) {
  ctx.beginPath();
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  if (STROKED[shape]) {
    STROKED[shape](ctx, x, y, r);
    const width = Math.max(1.2, r * 0.55);
    if (halo) {
      ctx.strokeStyle = halo;
      ctx.lineWidth = width + 1.1;
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
    ctx.lineWidth = 1.1;
    ctx.stroke();
  }
  ctx.fillStyle = colour;
  ctx.fill();
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

/** All styles of a drawing side by side on one canvas; the source tile of style k starts at k * size. */
class SpriteSheet {
  constructor(styles, radius, ratio, halo) {
    this.size = 2 * Math.ceil((radius * 1.4 + 2) * ratio) + 1;
    this.half = this.size >> 1;
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.size * Math.max(1, styles.length);
    this.canvas.height = this.size;
    const ctx = this.canvas.getContext("2d");
    styles.forEach((style, k) => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(k * this.size, 0, this.size, this.size);
      ctx.clip();
      ctx.translate(k * this.size + this.half + 0.5, this.half + 0.5);
      ctx.scale(ratio, ratio);
      ctx.globalAlpha = style.alpha;
      drawMarker(ctx, style.marker, 0, 0, radius * style.scale, style.colour, halo);
      ctx.restore();
    });
  }
}
