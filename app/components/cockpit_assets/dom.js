// Small helpers: elements, numbers in words, dragging. Text always goes in as text, never as HTML.

/** h("button", { class: "x", onclick }, "text", child ...): an element; `on*` become listeners, the rest attributes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let waiting = null;

/**
 * Runs `draw`, holding back what setText, setAttribute and setStyle would change until it is over: text on a canvas
 * makes the browser bring all styles up to date first, which after every such change would cost more than the drawing.
 */
export function changesAfter(draw) {
  waiting = [];
  try {
    draw();
  } finally {
    const changes = waiting;
    waiting = null;
    for (const [change, ...args] of changes) change(...args);
  }
}

/** Sets the text only where it differs, so that an update lays out nothing needlessly. */
export function setText(element, text) {
  if (waiting) waiting.push([setText, element, text]);
  else if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute only where it differs; null removes it. */
export function setAttribute(element, name, value) {
  if (waiting) waiting.push([setAttribute, element, name, value]);
  else if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Sets a style property only where it differs. */
export function setStyle(element, name, value) {
  if (waiting) waiting.push([setStyle, element, name, value]);
  else if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
}

/** Writes a field's value unless the user is typing in it. */
export function setField(input, text) {
  if (input.getRootNode().activeElement !== input && input.value !== text) input.value = text;
}

const whole = new Intl.NumberFormat("en-US");

/** 2,000 */
export function count(value) {
  return whole.format(value);
}

/** 0.9731, or a dash where undefined. */
export function share(value, digits = 4) {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/** 12.3 %; two decimals near 0 and 100, where they matter. */
export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  const hundred = value * 100;
  const near = Math.min(Math.abs(hundred), Math.abs(100 - hundred));
  return `${hundred.toFixed(near > 0 && near < 1 ? 2 : 1)} %`;
}

/** A score with as many decimals as its span can tell apart. */
export function scoreText(value, span) {
  if (!Number.isFinite(value)) return "–";
  const digits = span > 0 ? Math.max(0, Math.min(8, 3 - Math.floor(Math.log10(span)))) : 3;
  return value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1");
}

/** At most `significant` digits, without trailing zeros: 0.002, 0.0157. */
export function short(value, significant = 3) {
  return String(Number(value.toPrecision(significant)));
}

/** Round steps over [low, high], about `wanted` of them: {values, digits}. */
export function ticks(low, high, wanted) {
  const power = 10 ** Math.floor(Math.log10((high - low) / Math.max(1, wanted)));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => (high - low) / s <= wanted + 1);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const values = [];
  for (let i = first; i <= last && values.length < 50; i++) values.push(i * step);
  return { values, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** Pointer dragging with capture: move(event) from the press on, end() at its release or loss. */
export function draggable(element, { move, end }) {
  let pointer = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointer = event.pointerId;
    element.setPointerCapture(pointer);
    element.focus?.({ preventScroll: true });
    event.preventDefault();
    move(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (event.pointerId === pointer) move(event);
  });
  const finish = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    end();
  };
  element.addEventListener("pointerup", finish);
  element.addEventListener("pointercancel", finish);
}
