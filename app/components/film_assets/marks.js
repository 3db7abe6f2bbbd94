// Marks: what the canvases share besides the scatter's markers.

/** Text with a rim of the background's colour. */
export function haloText(ctx, text, x, y, colour, halo, width) {
  ctx.lineJoin = "round";
  ctx.lineWidth = width;
  ctx.strokeStyle = halo;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** Widths of texts in one font, each measured once: measuring makes the browser lay out the page. */
export class Widths {
  constructor() {
    this.context = document.createElement("canvas").getContext("2d");
    this.known = new Map();
  }

  of(text, font) {
    const key = `${font}|${text}`;
    if (!this.known.has(key)) {
      if (this.known.size > 3000) this.known.clear();
      this.context.font = font;
      this.known.set(key, this.context.measureText(text).width);
    }
    return this.known.get(key);
  }
}
