// Scene: the still ground (rings, spokes) and what moves over the points (means, trails, names, F*), for any 2D context.
import { drawMarker, drawStar } from "../scatter_assets/2_markers.js";
import { haloText } from "./marks.js";

const TAU = 2 * Math.PI;

/** Scale and centre of world -> CSS pixels: the rim fits, names have room round it. */
export function viewOf(width, height, reach, large) {
  const margin = (large ? 34 : 26) * (width < 420 ? 0.8 : 1);
  const scale = Math.max(20, Math.min(width, height) / 2 - margin) / reach;
  return { scale, cx: width / 2, cy: height / 2 };
}

/** Ground, spokes and rings: drawn once for a size, a theme and a radius mode. */
export function drawGround(ctx, s) {
  const { colours, view, rings, spokes, reach, axes } = s;
  ctx.fillStyle = colours.background;
  ctx.fillRect(0, 0, s.width, s.height);
  ctx.strokeStyle = colours.grid;
  ctx.lineWidth = 1;
  ctx.globalAlpha = 0.7;
  const rim = reach * view.scale;
  const rays = axes.length ? [0, Math.PI / 2, Math.PI, -Math.PI / 2] : spokes.map((spoke) => spoke.angle);
  for (const angle of rays) {
    ctx.beginPath();
    ctx.moveTo(view.cx, view.cy);
    ctx.lineTo(view.cx + rim * Math.cos(angle), view.cy - rim * Math.sin(angle));
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  for (const ring of [...rings, { radius: reach, strong: false }]) {
    ctx.beginPath();
    ctx.arc(view.cx, view.cy, ring.radius * view.scale, 0, TAU);
    ctx.lineWidth = ring.strong ? 1.8 : 1;
    ctx.stroke();
  }
}

/** Everything above the points at one moment. `moment` holds circles, trails, names and marked points. */
export function drawMoment(ctx, s, moment) {
  const { view, colours } = s;
  for (const circle of moment.circles) {
    ctx.beginPath();
    ctx.setLineDash(circle.dash);
    ctx.arc(view.cx, view.cy, Math.max(0, circle.radius * view.scale), 0, TAU);
    ctx.strokeStyle = colours.background;
    ctx.lineWidth = 3.4;
    ctx.globalAlpha = 0.65;
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = circle.colour;
    ctx.lineWidth = 1.7;
    ctx.stroke();
  }
  ctx.setLineDash([]);
  for (const trail of moment.trails) drawTrail(ctx, s, trail);
  drawRingLabels(ctx, s);
  drawNames(ctx, s, moment.names);
  drawStar(ctx, view.cx, view.cy, s.large ? 15 : 12, colours);
  ctx.font = `700 ${s.large ? 18 : 14}px ${s.font}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  haloText(ctx, "F*", view.cx + (s.large ? 17 : 14), view.cy - (s.large ? 16 : 13), colours.text, colours.background, 6);
  for (const mark of moment.marks) drawMark(ctx, s, mark);
}

/** Past checkpoints of a pinned point as a line, a dot each, the first one hollow. */
function drawTrail(ctx, s, { places, colour }) {
  const { view, colours } = s;
  const at = ([x, y]) => [view.cx + x * view.scale, view.cy - y * view.scale];
  ctx.lineJoin = ctx.lineCap = "round";
  for (const [stroke, width, alpha] of [
    [colours.background, 4.4, 0.75],
    [colour, 1.9, 1],
  ]) {
    ctx.beginPath();
    places.forEach((place, k) => ctx[k ? "lineTo" : "moveTo"](...at(place)));
    ctx.strokeStyle = stroke;
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  places.slice(0, -1).forEach((place, k) => {
    ctx.beginPath();
    ctx.arc(...at(place), k ? 2.1 : 3.4, 0, TAU);
    ctx.fillStyle = k ? colour : colours.background;
    ctx.fill();
    if (k) return;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.8;
    ctx.stroke();
  });
}

/** Ring numbers along the free direction nearest to straight up. */
function drawRingLabels(ctx, s) {
  const { view, rings, colours } = s;
  ctx.font = `${s.large ? 14 : 11}px ${s.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  let last = -Infinity;
  for (const ring of rings) {
    const reach = ring.radius * view.scale;
    if (reach < 26 || reach - last < 20) continue;
    last = reach;
    haloText(ctx, ring.label, view.cx + reach * Math.cos(s.ringAngle), view.cy - reach * Math.sin(s.ringAngle), colours.muted, colours.background, 3.5);
  }
}

/** Names of classes (at the rim, or moving with their points) and of axes; those that would lie on another are left out. */
function drawNames(ctx, s, names) {
  ctx.font = `600 ${s.large ? 15 : 12}px ${s.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const taken = [];
  const high = s.large ? 18 : 15;
  for (const { text, x, y, colour } of names) {
    const half = s.widthOf(text) / 2 + 4;
    const px = Math.min(s.width - half, Math.max(half, s.view.cx + x * s.view.scale));
    const py = Math.min(s.height - 9, Math.max(9, s.view.cy - y * s.view.scale));
    if (taken.some((t) => Math.abs(t.px - px) < t.half + half && Math.abs(t.py - py) < high)) continue;
    taken.push({ px, py, half });
    haloText(ctx, text, px, py, colour, s.colours.background, 4);
  }
}

/** A hovered or pinned point: enlarged, ringed, pinned ones numbered. */
function drawMark(ctx, s, { x, y, style, radius, number }) {
  const [px, py] = [s.view.cx + x * s.view.scale, s.view.cy - y * s.view.scale];
  const { colours } = s;
  drawMarker(ctx, style.marker, px, py, radius * 1.35, style.colour, colours.background);
  for (const [colour, width] of [
    [colours.background, 3.6],
    [colours.text, 1.7],
  ]) {
    ctx.beginPath();
    ctx.arc(px, py, radius + 5, 0, TAU);
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
  }
  if (!number) return;
  ctx.font = `700 ${s.large ? 14 : 11}px ${s.font}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  haloText(ctx, String(number), px + radius + 7, py - radius - 4, colours.text, colours.background, 4);
}

/** Places of spoke names just outside the rim, in world units. */
export function namesAtRim(s, spokes) {
  return spokes.map((spoke) => {
    const [ux, uy] = [Math.cos(spoke.angle), Math.sin(spoke.angle)];
    const half = s.widthOf(spoke.name) / 2 + 6;
    const out = s.reach + (5 + Math.abs(ux) * half + Math.abs(uy) * 9) / s.view.scale;
    return { text: spoke.name, index: spoke.index, x: ux * out, y: uy * out };
  });
}

/** Direction for the ring numbers: the middle of the gap between spokes nearest to straight up. */
export function freeAngle(angles) {
  const sorted = [...angles].sort((a, b) => a - b);
  if (sorted.length < 2) return Math.PI / 2.6;
  const middles = sorted.map((a, k) => (a + (k + 1 < sorted.length ? sorted[k + 1] : sorted[0] + TAU)) / 2);
  const away = (angle) => Math.abs(Math.atan2(Math.sin(angle - Math.PI / 2), Math.cos(angle - Math.PI / 2)));
  return middles.sort((a, b) => away(a) - away(b))[0];
}
