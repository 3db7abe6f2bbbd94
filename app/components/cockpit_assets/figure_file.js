// A chart of the cockpit as a file: heading, setting, the chart as it stands, legend and note, composed by one function
// for PNG, SVG and a page of its own.
import { SvgContext } from "../shared_assets/svg.js";
import { pageOf, pngOf, saveMenu } from "../shared_assets/saving.js";
import { percent, scoreText } from "./dom.js";

const FRAME = 16; // px around the whole
const LINE = 17; // px, of small text
const APART = 6; // px between the named points of a curve

/** The 'Save' menu of a panel with a plot; `figure` is what the button calls it. */
export function figureMenu(panel, figure) {
  const make = (format) => ({ png: asPng, svg: asSvg, html: asPage })[format](panel);
  return saveMenu(figure, { title: () => titleOf(panel), make });
}

function titleOf({ element, cockpit }) {
  const { indName, oodName } = cockpit.model;
  return `${element.querySelector("h3").textContent} · ${indName} against ${oodName}`;
}

/** Draws a panel's plot into another context and leaves the page's own as it was. */
function drawInto(panel, context, ratio) {
  const { plot, cockpit } = panel;
  const kept = { context: plot.context, ratio: plot.ratio, font: plot.font, widths: plot.widths };
  Object.assign(plot, { context, ratio, font: null });
  try {
    panel.draw(cockpit.model, cockpit.look);
  } finally {
    Object.assign(plot, kept);
  }
}

function wrapped(ctx, text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (lines.at(-1) && ctx.measureText(longer).width > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines.filter(Boolean);
}

/** What stands around the chart, and where, in CSS pixels. */
function plan(ctx, panel) {
  const { plot, cockpit } = panel;
  const { look } = cockpit;
  const words = (text, font) => {
    ctx.font = font;
    return wrapped(ctx, text, plot.width);
  };
  const title = words(titleOf(panel), `600 15px ${look.font}`);
  const small = `12px ${look.font}`;
  const setting = words(cockpit.labels.textContent, small);
  const note = words((panel.note ?? panel.outside).textContent, small);
  const entries = [...(panel.legend?.querySelectorAll(".entry") ?? [])].map((entry) => ({ text: entry.textContent, colour: entry.firstChild.style.background }));
  const top = FRAME + 22 * title.length + LINE * setting.length + 8;
  const bottom = top + plot.height + 8;
  const height = bottom + LINE * (note.length + entries.length) + FRAME;
  return { title, setting, note, entries, small, top, bottom, width: plot.width + 2 * FRAME, height };
}

function compose(ctx, panel, layout, drawPlot) {
  const { look } = panel.cockpit;
  ctx.fillStyle = look.background;
  ctx.fillRect(0, 0, layout.width, layout.height);
  drawPlot();
  drawKnob(ctx, panel, layout.top);
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.fillStyle = look.text;
  ctx.font = `600 15px ${look.font}`;
  layout.title.forEach((text, i) => ctx.fillText(text, FRAME, FRAME + 22 * i));
  ctx.font = layout.small;
  ctx.fillStyle = look.muted;
  layout.setting.forEach((text, i) => ctx.fillText(text, FRAME, FRAME + 22 * layout.title.length + LINE * i));
  layout.entries.forEach(({ text, colour }, i) => {
    ctx.fillStyle = colour;
    ctx.fillRect(FRAME, layout.bottom + LINE * i + 1, 11, 11);
    ctx.fillStyle = look.text;
    ctx.fillText(text, FRAME + 18, layout.bottom + LINE * i);
  });
  ctx.fillStyle = look.muted;
  layout.note.forEach((text, i) => ctx.fillText(text, FRAME, layout.bottom + LINE * (layout.entries.length + i)));
}

/** The handle of the operating point, which on the page is an element of its own. */
function drawKnob(ctx, { handle, canvas, cockpit }, top) {
  if (handle.hidden) return;
  const [knob, whole] = [handle.querySelector(".knob"), canvas].map((element) => element.getBoundingClientRect());
  ctx.beginPath();
  ctx.arc(FRAME + knob.x + knob.width / 2 - whole.x, top + knob.y + knob.height / 2 - whole.y, 6.5, 0, 2 * Math.PI);
  ctx.fillStyle = cockpit.look.text;
  ctx.strokeStyle = cockpit.look.background;
  ctx.lineWidth = 3;
  ctx.stroke();
  ctx.fill();
}

function asPng(panel) {
  const ratio = Math.max(2, globalThis.devicePixelRatio || 1);
  const { plot } = panel;
  const [canvas, inner] = [document.createElement("canvas"), document.createElement("canvas")];
  const ctx = canvas.getContext("2d");
  const layout = plan(ctx, panel);
  canvas.width = Math.round(layout.width * ratio);
  canvas.height = Math.round(layout.height * ratio);
  inner.width = Math.round(plot.width * ratio);
  inner.height = Math.round(plot.height * ratio);
  ctx.scale(ratio, ratio);
  compose(ctx, panel, layout, () => {
    drawInto(panel, inner.getContext("2d"), ratio);
    ctx.drawImage(inner, FRAME, layout.top, plot.width, plot.height);
  });
  return pngOf(canvas);
}

function asSvg(panel, names = () => {}) {
  const ctx = new SvgContext();
  const layout = plan(ctx, panel);
  compose(ctx, panel, layout, () => ctx.within(FRAME, layout.top, () => drawInto(panel, ctx, 1)));
  ctx.within(FRAME, layout.top, () => names(ctx, panel));
  return ctx.markup(layout.width, layout.height, { title: titleOf(panel), description: panel.canvas.getAttribute("aria-label") });
}

function asPage(panel) {
  return pageOf(asSvg(panel, nameCurve), { title: titleOf(panel), ...panel.cockpit.look });
}

/** Unseen marks along a curve that the saved page names under the pointer. */
function nameCurve(ctx, panel) {
  const { plot } = panel;
  const { model } = panel.cockpit;
  if (!panel.kind || !model.defined) return;
  const { curve, metrics, range } = model;
  const { indCount: n, oodCount: m } = metrics;
  const place = panel.at(model);
  let last = null;
  ctx.globalAlpha = 0;
  for (let s = 0; s < curve.length; s++) {
    const [tp, fp] = [curve.tp[s], curve.fp[s]];
    const [x, y] = [plot.x(place.x(tp, fp, n, m)), plot.y(place.y(tp, fp, n, m))];
    const { area } = plot;
    if (x < area.x - 1 || x > area.x + area.w + 1 || y < area.y - 1 || y > area.y + area.h + 1) continue;
    if (last && Math.hypot(x - last[0], y - last[1]) < APART) continue;
    last = [x, y];
    const words = `threshold ${scoreText(curve.thresholds[s], range.high - range.low)}: TPR ${percent(tp / n)}, FPR ${percent(fp / m)}`;
    ctx.group("point", words, () => {
      ctx.beginPath();
      ctx.arc(x, y, 3, 0, 2 * Math.PI);
      ctx.fill();
    });
  }
  ctx.globalAlpha = 1;
}
