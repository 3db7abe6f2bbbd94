// The pad: a canvas to draw on with mouse, finger, pen or keys, its tools, and what is told when the hand lets go.
import { Drawing, fromBase64, toBase64 } from "./drawing.js";

const KEY_PAUSE = 350; // ms after the last key until the picture goes to Python
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = "Arrow keys move the cursor, Space puts the pen down or lifts it, Ctrl+Z undoes.";

export class Pad {
  constructor(parent) {
    this.root = element("div", { class: "pad" });
    parent.append(this.root);
    this.listening = new AbortController();
  }

  receive({ data, setStateValue }) {
    this.send = setStateValue;
    const size = `${data.width}x${data.height}`;
    if (this.size === size) return; // the picture on the page is newer than what Python last heard of
    this.size = size;
    this.#build(data);
  }

  destroy() {
    clearTimeout(this.timer);
    this.listening.abort();
    this.root.remove();
  }

  #build({ width, height, start }) {
    this.canvas = element("canvas", { width, height, tabindex: 0, role: "application" });
    this.canvas.setAttribute("aria-label", `Drawing pad of ${width} by ${height} pixels. ${HELP}`);
    this.cursor = element("div", { class: "cursor" });
    this.sheet = element("div", { class: "sheet" }, this.canvas, this.cursor);
    this.sheet.style.aspectRatio = `${width} / ${height}`;
    this.drawing = new Drawing(this.canvas);
    this.drawing.brush = Math.max(1, Math.round(width / 12));
    if (start) this.drawing.write(fromBase64(start));
    this.place = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    this.penDown = false;
    this.announcer = element("div", { class: "unseen", "aria-live": "polite" });
    this.root.replaceChildren(this.sheet, this.#tools(width), this.announcer);
    this.#listen();
    this.#showCursor();
  }

  #tools(width) {
    const button = (text, does) => {
      const made = element("button", { type: "button" }, text);
      made.addEventListener("click", does);
      return made;
    };
    this.undo = button("Undo", () => this.#undo());
    this.undo.disabled = true;
    const most = Math.max(4, Math.round(width / 5));
    this.brush = slider("Brush", 1, most, this.drawing.brush, (value) => {
      this.drawing.brush = value;
      return `${value} px`;
    });
    this.ink = slider("Ink", 0, 255, this.drawing.ink, (value) => {
      this.drawing.ink = value;
      return value === 0 ? "black" : value === 255 ? "white" : `grey ${value}`;
    });
    const clear = button("Clear", () => this.#change(() => this.drawing.clear(), "cleared"));
    const invert = button("Invert", () => this.#change(() => this.drawing.invert(), "inverted"));
    const buttons = element("div", { class: "buttons" }, clear, this.undo, invert);
    return element("div", { class: "tools" }, this.brush.label, this.ink.label, buttons);
  }

  #listen() {
    const { canvas } = this;
    const options = { signal: this.listening.signal };
    let pointer = null;
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || pointer !== null) return;
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
      canvas.focus({ preventScroll: true, focusVisible: false });
      event.preventDefault();
      this.drawing.remember();
      last = this.#pointOf(event);
      this.drawing.stroke(last, last);
    }, options);
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pointer) return;
      const between = event.getCoalescedEvents?.() ?? [];
      for (const each of between.length ? between : [event]) {
        const point = this.#pointOf(each);
        this.drawing.stroke(last, point);
        last = point;
      }
    }, options);
    const finish = (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      this.#tell();
    };
    canvas.addEventListener("pointerup", finish, options);
    canvas.addEventListener("pointercancel", finish, options);
    this.root.addEventListener("keydown", (event) => this.#key(event), options);
    canvas.addEventListener("blur", () => this.#lift(), options);
  }

  #pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * this.canvas.width) / box.width,
      y: ((event.clientY - box.top) * this.canvas.height) / box.height,
    };
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      this.#undo();
      return;
    }
    if (event.target !== this.canvas || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      if (this.penDown) this.#lift();
      else this.#lower();
    } else if (event.key === "Escape") {
      this.#lift();
    } else if (ARROWS[event.key]) {
      event.preventDefault();
      this.#step(...ARROWS[event.key]);
    }
  }

  #lower() {
    this.penDown = true;
    this.drawing.remember();
    this.drawing.stroke(this.#middle(), this.#middle());
    this.#say("pen down");
    this.#tellSoon();
    this.#showCursor();
  }

  #lift() {
    if (!this.penDown) return;
    this.penDown = false;
    this.#say("pen up");
    this.#showCursor();
    this.#tell();
  }

  #step(dx, dy) {
    const from = this.#middle();
    this.place.x = Math.min(this.canvas.width - 1, Math.max(0, this.place.x + dx));
    this.place.y = Math.min(this.canvas.height - 1, Math.max(0, this.place.y + dy));
    this.#showCursor();
    if (!this.penDown) return;
    this.drawing.stroke(from, this.#middle());
    this.#tellSoon();
  }

  #middle() {
    return { x: this.place.x + 0.5, y: this.place.y + 0.5 };
  }

  #showCursor() {
    const { width, height } = this.canvas;
    const { style } = this.cursor;
    style.left = `${(100 * this.place.x) / width}%`;
    style.top = `${(100 * this.place.y) / height}%`;
    style.width = `${100 / width}%`;
    style.height = `${100 / height}%`;
    this.cursor.classList.toggle("down", this.penDown);
  }

  #undo() {
    if (this.drawing.past.length) this.#change(() => this.drawing.undo(), "undone");
  }

  #change(does, words) {
    does();
    this.ink.show(this.drawing.ink);
    this.#say(words);
    this.#tell();
  }

  #say(words) {
    this.announcer.textContent = words;
  }

  #tellSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#tell(), KEY_PAUSE);
  }

  #tell() {
    clearTimeout(this.timer);
    this.undo.disabled = this.drawing.past.length === 0;
    const { width, height } = this.canvas;
    this.send("picture", { width, height, pixels: toBase64(this.drawing.pixels()) });
  }
}

/** A labelled range input; `words(value)` takes the value over and says it. */
function slider(name, min, max, value, words) {
  const input = element("input", { type: "range", min, max, value, "aria-label": name });
  const said = element("output", {}, words(value));
  const take = () => {
    said.textContent = words(Number(input.value));
    input.setAttribute("aria-valuetext", said.textContent);
  };
  input.addEventListener("input", take);
  const show = (now) => {
    input.value = now;
    take();
  };
  take();
  return { label: element("label", {}, element("span", {}, name), input, said), show };
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
