// Saving: title, the frame as it stands, the legend with its numbers, and the charts, as PNG or SVG.
import { h } from "../cockpit_assets/dom.js";
import { drawMarker, drawStar } from "../scatter_assets/2_markers.js";
import { formatNumber } from "../scatter_assets/1_numbers.js";
import { placeWords } from "./axis.js";
import { areaOf, drawCursor } from "./plot.js";
import { drawGround, drawMoment } from "./scene.js";
import { numbersOf } from "./legend.js";
import { SvgContext } from "./svg.js";

const PAD = 18;

/** Draws the whole figure with `ctx`; gives its size. With no context it only measures. */
function figure(ctx, film, svg = false) {
  const { scene, model, clock, charts, look } = film;
  const wide = scene.width;
  const beside = charts.charts?.length ? charts.width + 24 : 0;
  const width = PAD + wide + beside + PAD;
  const top = PAD + 46;
  const legend = legendOf(film);
  const perRow = Math.max(1, Math.floor(wide / 290));
  const rows = Math.ceil(legend.length / perRow);
  const room = svg ? 0.84 * wide : wide; // where SVG is opened the font may be wider
  const note = wrapped(`${film.rulerWords()} ${film.faithWords().join(" ")}`, room, look);
  const leftHeight = top + scene.height + 14 + 16 * note.length + 10 + 22 * rows + PAD;
  const chartsHeight = (charts.charts ?? []).reduce((sum, c) => sum + charts.panels.get(c.name).height + 24, top);
  const height = Math.max(leftHeight, chartsHeight + PAD);
  if (!ctx) return { width, height };
  ctx.fillStyle = look.background;
  ctx.fillRect(0, 0, width, height);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  write(ctx, model.header.title, PAD, PAD + 10, look.text, `600 18px ${look.font}`);
  write(ctx, placeWords(model.header, model.dynamics, clock.nearest), PAD, PAD + 33, look.muted, `13px ${look.font}`);
  ctx.save();
  ctx.translate(PAD, top);
  drawFrame(ctx, film);
  ctx.restore();
  let y = top + scene.height + 14;
  for (const line of note) write(ctx, line, PAD, (y += 16) - 8, look.muted, `12px ${look.font}`);
  y += 10;
  legend.forEach(({ group, text }, n) => {
    const [x, row] = [PAD + (n % perRow) * 290, y + 22 * Math.floor(n / perRow) + 10];
    if (group) drawMarker(ctx, group.marker, x + 8, row, 4.6, group.colours[film.theme], null);
    else drawStar(ctx, x + 8, row, 7, look);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    write(ctx, text, x + 20, row, look.text, `13px ${look.font}`);
  });
  if (beside) drawBeside(ctx, film, PAD + wide + 24, top);
  return { width, height };
}

/** Ground, points and what moves above them, without the page's canvases. */
function drawFrame(ctx, film) {
  const { scene, track, clock, shownOrder, styleOf, styles } = film;
  ctx.beginPath();
  ctx.rect(0, 0, scene.width, scene.height);
  ctx.clip();
  drawGround(ctx, scene);
  for (const i of shownOrder) {
    const [x, y] = film.placeOf(track, clock.position, i);
    const { marker, colour } = styles[styleOf[i]];
    drawMarker(ctx, marker, scene.view.cx + x * scene.view.scale, scene.view.cy - y * scene.view.scale, film.radius, colour, scene.colours.background);
  }
  drawMoment(ctx, scene, film.moment());
}

function drawBeside(ctx, film, left, top) {
  const { charts, look, clock } = film;
  let y = top - 20;
  charts.charts.forEach((chart, n) => {
    const { height } = charts.panels.get(chart.name);
    const last = n === charts.charts.length - 1;
    ctx.save();
    ctx.translate(left, y);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    write(ctx, `${chart.title}${chart.unit ? ` · ${chart.unit}` : ""}`, 0, 10, look.text, `600 12px ${look.font}`);
    ctx.translate(0, 22);
    const area = areaOf(charts.width, height, charts.margins(last));
    charts.drawOne(ctx, chart, area, last);
    drawCursor(ctx, area, charts.frames, chart, look, clock.position);
    ctx.restore();
    y += height + 24;
  });
}

function legendOf({ model, clock, hidden }) {
  const entries = model.header.groups.map((group, g) => ({ group, ...numbersOf(model, g, clock.nearest) }));
  const shown = entries.filter(({ group }) => !hidden.has(group.name));
  const text = (e) => `${e.group.label}: ${formatNumber(e.mean)}, ${e.ratio.toFixed(2)} × ind median`;
  return [...shown.map((e) => ({ group: e.group, text: text(e) })), { group: null, text: "F*, the singularity" }];
}

function write(ctx, text, x, y, colour, font) {
  ctx.font = font;
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

function wrapped(text, width, look) {
  const font = `12px ${look.font}`;
  const lines = [];
  let current = "";
  for (const word of text.split(/\s+/)) {
    const longer = current ? `${current} ${word}` : word;
    if (current && look.widths.of(longer, font) > width) {
      lines.push(current);
      current = word;
    } else current = longer;
  }
  return current ? [...lines, current] : lines;
}

/** The frame as SVG text. */
export function asSvg(film) {
  const { width, height } = figure(null, film, true);
  const ctx = new SvgContext(Math.ceil(width), Math.ceil(height));
  figure(ctx, film, true);
  return ctx.text(`${film.model.header.title}, ${placeWords(film.model.header, film.model.dynamics, film.clock.nearest)}`);
}

/** The frame on a canvas, two device pixels a CSS pixel at least. */
export function asCanvas(film) {
  const ratio = Math.max(2, film.ratio);
  const { width, height } = figure(null, film);
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * ratio);
  canvas.height = Math.ceil(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  figure(ctx, film);
  return canvas;
}

/** Hands the file to the browser. */
export function saveFrame(film, kind) {
  const { layer, view } = film.model.header;
  const name = `fssd-film-${layer}-${view}-step-${film.model.header.steps[film.clock.nearest]}`.replace(/[^\w-]+/g, "-");
  const hand = (blob, ending) => {
    const url = URL.createObjectURL(blob);
    const link = h("a", { href: url, download: `${name}.${ending}` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  if (kind === "SVG") hand(new Blob([asSvg(film)], { type: "image/svg+xml" }), "svg");
  else asCanvas(film).toBlob((blob) => hand(blob, "png"), "image/png");
}
