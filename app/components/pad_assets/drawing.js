// The picture itself: a grey canvas in the network's own size, brush strokes on it, and the way back.

const KEPT = 60; // steps that can be undone

export class Drawing {
  /** @param canvas its width and height are the network's input */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.ground = 0;
    this.ink = 255;
    this.brush = 2;
    this.past = [];
    this.fill(this.ground);
  }

  fill(value) {
    this.context.fillStyle = grey(value);
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** Remembers the picture as it is, before it is changed. */
  remember() {
    this.past.push({ pixels: this.pixels(), ground: this.ground, ink: this.ink });
    if (this.past.length > KEPT) this.past.shift();
  }

  /** A round stroke between two points in pixels; equal points give a dot. */
  stroke(from, to) {
    const { context } = this;
    context.fillStyle = context.strokeStyle = grey(this.ink);
    context.lineWidth = this.brush;
    context.lineCap = "round";
    context.beginPath();
    if (from.x === to.x && from.y === to.y) {
      context.arc(to.x, to.y, this.brush / 2, 0, 2 * Math.PI);
      context.fill();
    } else {
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      context.stroke();
    }
  }

  clear() {
    this.remember();
    this.fill(this.ground);
  }

  /** Black becomes white and white black, the ground and the ink too. */
  invert() {
    this.remember();
    this.write(this.pixels().map((value) => 255 - value));
    this.ground = 255 - this.ground;
    this.ink = 255 - this.ink;
  }

  /** Whether there was something to take back. */
  undo() {
    const last = this.past.pop();
    if (!last) return false;
    this.write(last.pixels);
    this.ground = last.ground;
    this.ink = last.ink;
    return true;
  }

  /** Row by row, 0 to 255. */
  pixels() {
    const { data } = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    return Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i]);
  }

  write(pixels) {
    const image = this.context.createImageData(this.canvas.width, this.canvas.height);
    for (let i = 0; i < pixels.length; i++) {
      image.data.fill(pixels[i], 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    this.context.putImageData(image, 0, 0);
  }
}

function grey(value) {
  return `rgb(${value} ${value} ${value})`;
}

/** Bytes as base64, in pieces that fit on the stack. */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
