// Saving: title, subtitle, the scene as it stands and the visible groups' legend, painted by one function for PNG, SVG
// and a page of its own.
import { SvgContext } from "../shared_assets/svg.js";
import { pageOf, pngOf, saveMenu } from "../shared_assets/saving.js";

const FRAME = 16; // px around the whole

function wrapLines(ctx, text, width) {
  const lines = [];
  let current = "";
  for (const word of text.split(/\s+/)) {
    const longer = current ? `${current} ${word}` : word;
    if (current && ctx.measureText(longer).width > width) {
      lines.push(current);
      current = word;
    } else current = longer;
  }
  return current ? [...lines, current] : lines;
}

/** Where everything of the saved figure lies, in CSS pixels. */
function planFigure(ctx, chart, scene) {
  const { fontFamily } = scene;
  ctx.font = `600 17px ${fontFamily}`;
  const title = wrapLines(ctx, chart.header.title, scene.width);
  ctx.font = `13px ${fontFamily}`;
  const subtitle = wrapLines(ctx, chart.header.subtitle, scene.width);
  const rows = legendRows(ctx, legendEntries(chart), scene.width);
  const top = FRAME + title.length * 22 + subtitle.length * 18 + 8;
  return { title, subtitle, rows, top, width: scene.width + 2 * FRAME, height: top + scene.height + 34 + rows.length * 22 + FRAME };
}

/** Paints the figure in CSS pixels; `drawInner` draws the scene at its place and gives the counts of drawPoints. */
function paintFigure(ctx, plan, scene, drawInner) {
  const { colours, fontFamily } = scene;
  ctx.fillStyle = colours.background;
  ctx.fillRect(0, 0, plan.width, plan.height);
  const { outside } = drawInner();
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.fillStyle = colours.text;
  ctx.font = `600 17px ${fontFamily}`;
  plan.title.forEach((text, k) => ctx.fillText(text, FRAME, FRAME + 22 * k));
  ctx.fillStyle = colours.muted;
  ctx.font = `13px ${fontFamily}`;
  plan.subtitle.forEach((text, k) => ctx.fillText(text, FRAME, FRAME + 22 * plan.title.length + 18 * k));
  ctx.textBaseline = "middle";
  ctx.font = `12px ${fontFamily}`;
  const bottom = plan.top + scene.height;
  ctx.fillText(sceneNotes(scene, outside).filter(Boolean).join("  ·  "), FRAME, bottom + 14, scene.width);
  ctx.font = `13px ${fontFamily}`;
  plan.rows.forEach((row, r) => {
    const y = bottom + 34 + 22 * r + 10;
    for (const { entry, x } of row) {
      if (entry.marker === "star") drawStar(ctx, FRAME + x + 7, y, 7, colours);
      else if (entry.chosen) drawChosen(ctx, entry.marker, FRAME + x + 7, y, 4, entry.colour, colours);
      else drawMarker(ctx, entry.marker, FRAME + x + 7, y, 4.6, entry.colour, null);
      ctx.fillStyle = colours.text;
      ctx.fillText(entry.text, FRAME + x + 18, y);
    }
  });
}

function paintedPng(chart) {
  const ratio = Math.max(2, chart.ratio);
  const scene = chart.sceneState(new Stamps(chart.styles, chart.markerRadius(), ratio, chart.colours));
  const [canvas, inner] = [document.createElement("canvas"), document.createElement("canvas")];
  const ctx = canvas.getContext("2d");
  const plan = planFigure(ctx, chart, scene);
  canvas.width = Math.round(plan.width * ratio);
  canvas.height = Math.round(plan.height * ratio);
  inner.width = Math.round(scene.width * ratio);
  inner.height = Math.round(scene.height * ratio);
  ctx.scale(ratio, ratio);
  paintFigure(ctx, plan, scene, () => {
    const counts = drawScene(inner.getContext("2d"), scene, ratio);
    ctx.drawImage(inner, FRAME, plan.top, scene.width, scene.height);
    return counts;
  });
  return pngOf(canvas);
}

function paintedSvg(chart) {
  const named = { nameOf: (i) => describePoint(chart, i).sentence, cellOf: (i) => chart.cellOf(i), radius: chart.markerRadius() };
  const scene = { ...chart.sceneState(null), ...named };
  const ctx = new SvgContext();
  const plan = planFigure(ctx, chart, scene);
  paintFigure(ctx, plan, scene, () => {
    let counts;
    ctx.within(FRAME, plan.top, () => (counts = drawScene(ctx, scene, 1)));
    return counts;
  });
  const description = `${chart.header.subtitle} ${sceneNotes(scene, 0)[0]}`.trim();
  return ctx.markup(plan.width, plan.height, { title: figureTitle(chart), description });
}

const figureTitle = ({ header }) => header.title || `${header.view} of ${header.layer}`;

/** All images of the atlas in one picture, for the tooltips of the saved page; null while there are none. */
function spriteOf({ atlas }) {
  if (!atlas) return null;
  const { width, height, channels, pixels, count } = atlas;
  const columns = Math.ceil(Math.sqrt(count));
  const canvas = document.createElement("canvas");
  canvas.width = columns * width;
  canvas.height = Math.ceil(count / columns) * height;
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0, p = 0; i < count; i++) {
    const corner = Math.floor(i / columns) * height * canvas.width + (i % columns) * width;
    for (let k = 0; k < width * height; k++, p += channels) {
      const at = 4 * (corner + Math.floor(k / width) * canvas.width + (k % width));
      for (let c = 0; c < 3; c++) image.data[at + c] = pixels[channels === 3 ? p + c : p];
      image.data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return { url: canvas.toDataURL("image/png"), columns };
}

const savedAs = {
  png: paintedPng,
  svg: paintedSvg,
  html: (chart) => pageOf(paintedSvg(chart), { title: figureTitle(chart), ...chart.colours, images: spriteOf(chart) }),
};

function legendEntries(chart) {
  const entries = [];
  for (const group of chart.header.groups) {
    if (!chart.isVisible(group.name)) continue;
    const text = `${group.label} (${formatCount(group.stop - group.start)})`;
    entries.push({ marker: group.marker, colour: group.colours[chart.theme], text });
    if (group.kind !== "ind" || !chart.byClass) continue;
    chart.header.classNames.forEach((name, k) => {
      if (chart.classCounts[k] && chart.isVisible(`class:${k}`)) {
        entries.push({ marker: "circle", colour: chart.classColour(k), text: name });
      }
    });
  }
  entries.push({ marker: "star", text: "F*" });
  if (chart.chosenCount) entries.push({ marker: "circle", colour: chart.colours.muted, chosen: true, text: `${formatCount(chart.chosenCount)} selected` });
  return entries;
}

function legendRows(ctx, entries, width) {
  const rows = [[]];
  let x = 0;
  for (const entry of entries) {
    const wide = ctx.measureText(entry.text).width + 34;
    if (x && x + wide > width) {
      rows.push([]);
      x = 0;
    }
    rows[rows.length - 1].push({ entry, x });
    x += wide;
  }
  return rows;
}
