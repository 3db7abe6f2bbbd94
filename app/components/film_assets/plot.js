// Plot: one small chart over training - grid, bands, lines, direct labels - for any 2D context, and its cursor.
import { ticks } from "../cockpit_assets/dom.js";
import { haloText } from "./marks.js";

const TAU = 2 * Math.PI;

/** Where the axes of a chart of that size lie; all charts of a column share left and right. */
export function areaOf(width, height, { left, right, bottom }) {
  return { x: left, y: 5, w: Math.max(20, width - left - right), h: Math.max(10, height - 5 - bottom) };
}

/** Pixel functions of a chart: checkpoint index and value. */
export function mapping(area, frames, chart) {
  const { low, high, log } = chart;
  const of = log ? Math.log : (v) => v;
  const [a, b] = [of(low), of(high)];
  return {
    x: (position) => area.x + (area.w * position) / Math.max(1, frames - 1),
    y: (value) => area.y + area.h * (1 - (of(value) - a) / (b - a)),
  };
}

/** Range of the values on show, with air; on a log axis only positive ones count. */
export function rangeOf(series, { log = false, zero = false, include = [] } = {}) {
  let [low, high] = [Infinity, -Infinity];
  for (const { values, low: under, high: over } of series) {
    for (const list of [values, under, over]) {
      for (const v of list ?? []) {
        if (!Number.isFinite(v) || (log && v <= 0)) continue;
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    }
  }
  for (const v of include) [low, high] = [Math.min(low, v), Math.max(high, v)];
  if (!(high > low)) return Number.isFinite(low) ? { low: log ? low / 2 : low - 0.5, high: log ? low * 2 : low + 0.5 } : { low: log ? 0.1 : 0, high: 1 };
  if (log) return { low: low / 1.15, high: high * 1.15 };
  return { low: zero ? 0 : low - 0.05 * (high - low), high: high + 0.05 * (high - low) };
}

function levels({ low, high, log, percent }, wanted) {
  if (percent) return [0, 0.5, 1].map((v) => ({ v, text: `${100 * v} %` }));
  if (!log) {
    const { values, digits } = ticks(low, high, wanted);
    return values.map((v) => ({ v, text: v.toFixed(digits).replace("-", "−") }));
  }
  const spread = Math.log10(high / low);
  const steps = spread > 2.2 ? [1] : spread > 1 ? [1, 3] : [1, 2, 5];
  const every = spread > 4 ? 2 : 1;
  const out = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    if (power % every) continue;
    for (const step of steps) {
      const v = step * 10 ** power;
      if (v >= low && v <= high) out.push({ v, text: String(Number(v.toPrecision(1))) });
    }
  }
  return out;
}

/** The still part of a chart. `chart`: {series, low, high, log, refs, wanted}; `look`: colours, font, sizes. */
export function drawChart(ctx, area, frames, chart, look) {
  const { x, y } = mapping(area, frames, chart);
  ctx.font = `${look.size}px ${look.font}`;
  ctx.lineWidth = 1;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (const { v, text } of levels(chart, chart.wanted ?? 3)) {
    const py = Math.round(y(v)) + 0.5;
    ctx.strokeStyle = look.grid;
    ctx.globalAlpha = 0.55;
    segment(ctx, area.x, py, area.x + area.w, py);
    ctx.globalAlpha = 1;
    ctx.fillStyle = look.muted;
    ctx.fillText(text, area.x - 6, py);
  }
  const notes = [];
  for (const { value, text } of chart.refs ?? []) {
    const py = y(value);
    ctx.strokeStyle = look.muted;
    ctx.setLineDash([3, 3]);
    segment(ctx, area.x, py, area.x + area.w, py);
    ctx.setLineDash([]);
    if (text) notes.push([text, area.x + area.w - 4, py - 8 < area.y ? py + 8 : py - 8]);
  }
  ctx.strokeStyle = look.muted;
  segment(ctx, area.x, area.y + area.h + 0.5, area.x + area.w, area.y + area.h + 0.5);
  ctx.save();
  ctx.beginPath();
  ctx.rect(area.x - 3, area.y - 3, area.w + 6, area.h + 5);
  ctx.clip();
  for (const one of chart.series) if (one.low) band(ctx, one, frames, x, y, chart);
  for (const one of chart.series) curve(ctx, one, frames, x, y, chart, look);
  ctx.restore();
  ctx.font = `${look.size}px ${look.font}`;
  for (const [text, px, py] of notes) haloText(ctx, text, px, py, look.muted, look.background, 3);
  if (chart.labels !== false) directLabels(ctx, area, frames, chart, look, y);
}

function segment(ctx, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

const usable = (value, chart) => Number.isFinite(value) && !(chart.log && value <= 0);

function band(ctx, one, frames, x, y, chart) {
  ctx.beginPath();
  for (let t = 0; t < frames; t++) ctx[t ? "lineTo" : "moveTo"](x(t), y(usable(one.high[t], chart) ? one.high[t] : chart.low));
  for (let t = frames - 1; t >= 0; t--) ctx.lineTo(x(t), y(usable(one.low[t], chart) ? one.low[t] : chart.low));
  ctx.closePath();
  ctx.fillStyle = one.colour;
  ctx.globalAlpha = 0.13;
  ctx.fill();
  ctx.globalAlpha = 1;
}

function curve(ctx, one, frames, x, y, chart, look) {
  ctx.lineJoin = "round";
  for (const [colour, width, alpha] of [
    [look.background, (one.width ?? 1.8) + 1.6, 0.6],
    [one.colour, one.width ?? 1.8, one.alpha ?? 1],
  ]) {
    ctx.beginPath();
    let on = false;
    for (let t = 0; t < frames; t++) {
      if (!usable(one.values[t], chart)) {
        on = false;
        continue;
      }
      ctx[on ? "lineTo" : "moveTo"](x(t), y(one.values[t]));
      on = true;
    }
    ctx.setLineDash(colour === one.colour ? (one.dash ?? []) : []);
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** Names at the right end of the lines, pushed apart where they would overlap. */
function directLabels(ctx, area, frames, chart, look, y) {
  const high = look.size + 2.5;
  const ends = chart.series
    .filter((one) => one.label && usable(one.values[frames - 1], chart))
    .map((one) => ({ one, at: y(one.values[frames - 1]) }))
    .sort((a, b) => a.at - b.at);
  const places = spread(
    ends.map((e) => e.at),
    high,
    area.y + look.size / 2,
    area.y + area.h + 2,
  );
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ends.forEach(({ one, at }, k) => {
    const left = area.x + area.w;
    ctx.strokeStyle = one.colour;
    ctx.globalAlpha = 0.5;
    ctx.lineWidth = 1;
    segment(ctx, left + 3, at, left + 10, places[k]);
    ctx.globalAlpha = 1;
    ctx.fillStyle = one.colour;
    ctx.font = `${one.strong ? "600 " : ""}${look.size}px ${look.font}`;
    ctx.fillText(shortened(one.label, look.room, look.widthOf), left + 13, places[k]);
  });
}

/** Sorted places moved as little as needed to stand `high` apart within [low, top]. */
export function spread(places, high, low, top) {
  const out = [...places];
  for (let round = 0; round < 60; round++) {
    let moved = false;
    for (let k = 1; k < out.length; k++) {
      const short = high - (out[k] - out[k - 1]);
      if (short <= 0.01) continue;
      out[k - 1] -= short / 2;
      out[k] += short / 2;
      moved = true;
    }
    if (out.length && out[0] < low) out[0] = low;
    if (out.length && out[out.length - 1] > top) out[out.length - 1] = top;
    if (!moved) break;
  }
  return out;
}

function shortened(text, room, widthOf) {
  if (!room || widthOf(text) <= room) return text;
  let end = text.length - 1;
  while (end > 3 && widthOf(`${text.slice(0, end)}…`) > room) end--;
  return `${text.slice(0, end)}…`;
}

/** The moving part: where the film is, and a dot on every line. */
export function drawCursor(ctx, area, frames, chart, look, position) {
  const { x, y } = mapping(area, frames, chart);
  const px = x(position);
  ctx.strokeStyle = look.text;
  ctx.lineWidth = 1.2;
  ctx.globalAlpha = 0.75;
  segment(ctx, px, area.y, px, area.y + area.h);
  ctx.globalAlpha = 1;
  const k = Math.min(Math.floor(position), frames - 1);
  const next = Math.min(k + 1, frames - 1);
  for (const one of chart.series) {
    if (!usable(one.values[k], chart) || !usable(one.values[next], chart)) continue;
    const [a, b] = [y(one.values[k]), y(one.values[next])];
    ctx.beginPath();
    ctx.arc(px, a + (b - a) * (position - k), one.strong === false ? 2.4 : 3.3, 0, TAU);
    ctx.fillStyle = one.colour;
    ctx.fill();
    ctx.strokeStyle = look.background;
    ctx.lineWidth = 1.2;
    ctx.stroke();
  }
}

/** Step numbers below the last chart, and what step 0 is. */
export function drawSteps(ctx, area, chosen, steps, look, format) {
  const { x } = mapping(area, steps.length, { low: 0, high: 1 });
  ctx.font = `${look.size}px ${look.font}`;
  ctx.fillStyle = look.muted;
  ctx.strokeStyle = look.muted;
  ctx.lineWidth = 1;
  ctx.textBaseline = "top";
  const base = area.y + area.h;
  steps.forEach((_, k) => segment(ctx, x(k), base + 0.5, x(k), base + (chosen.includes(k) ? 5 : 3)));
  for (const k of chosen) {
    ctx.textAlign = "center";
    ctx.fillText(format(steps[k]), x(k), base + 7);
  }
  const second = base + 9 + look.size;
  if (steps[0] === 0) {
    ctx.textAlign = "left";
    ctx.fillText("untrained: baseline", Math.max(2, area.x - 26), second);
  }
  ctx.textAlign = "right";
  ctx.fillText("training step", area.x + area.w + 14, second);
}
