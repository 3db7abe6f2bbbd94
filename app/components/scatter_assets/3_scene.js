// Scene: one function draws the whole picture into any 2D context, for the page, the saved PNG and the SVG alike.

/** The plot's rectangle, in CSS pixels: axes need room at the left and below, the centred views use all of it. */
function plotRect(width, height, centred) {
  const [left, bottom] = centred ? [0, 0] : [width < 480 ? 38 : 52, 40];
  const [right, top] = centred ? [0, 0] : [10, 8];
  return { x: left, y: top, w: Math.max(20, width - left - right), h: Math.max(20, height - top - bottom) };
}

/** Scale and offset of world -> CSS pixels; `box.half` is half the shorter side of the plot in world units. */
function viewTransform(box, rect) {
  const scale = Math.min(rect.w, rect.h) / (2 * box.half);
  const [midX, midY] = [rect.x + rect.w / 2, rect.y + rect.h / 2];
  return {
    scale,
    x: (wx) => midX + (wx - box.cx) * scale,
    y: (wy) => midY - (wy - box.cy) * scale,
    worldX: (px) => box.cx + (px - midX) / scale,
    worldY: (py) => box.cy - (py - midY) / scale,
  };
}

function haloText(ctx, text, x, y, colour, halo, width = 3.5) {
  ctx.lineJoin = "round";
  ctx.lineWidth = width;
  ctx.strokeStyle = halo;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

function drawRings(ctx, s, t) {
  const { colours, rect, mode, median } = s;
  const [ox, oy] = [t.x(0), t.y(0)];
  const corners = [
    [rect.x, rect.y],
    [rect.x + rect.w, rect.y],
    [rect.x, rect.y + rect.h],
    [rect.x + rect.w, rect.y + rect.h],
  ];
  const farthest = Math.max(...corners.map(([x, y]) => Math.hypot(x - ox, y - oy))) / t.scale;
  const reach = Math.min(farthest, s.fit);
  const rings = ringsFor(mode, reach, median);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const ring of rings) {
    ctx.beginPath();
    ctx.arc(ox, oy, ring.radius * t.scale, 0, TAU);
    ctx.strokeStyle = colours.grid;
    ctx.lineWidth = ring.strong ? 1.8 : 1;
    ctx.stroke();
  }
  ctx.beginPath();
  ctx.arc(ox, oy, s.fit * t.scale, 0, TAU);
  ctx.strokeStyle = colours.grid;
  ctx.lineWidth = 1;
  ctx.stroke();
  return rings;
}

/** Ring numbers go on top of the points, along the free direction nearest to straight up. */
function drawRingLabels(ctx, s, t, rings) {
  const { colours, rect, fontFamily } = s;
  ctx.font = `11px ${fontFamily}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const angle = s.ringAngle;
  let last = -Infinity;
  for (const ring of rings) {
    const reach = ring.radius * t.scale;
    const [x, y] = [t.x(0) + reach * Math.cos(angle), t.y(0) - reach * Math.sin(angle)];
    const inside = x > rect.x + 12 && x < rect.x + rect.w - 12 && y > rect.y + 8 && y < rect.y + rect.h - 8;
    if (!inside || reach < 26 || reach - last < 22) continue;
    last = reach;
    haloText(ctx, ring.label, x, y, colours.muted, colours.background);
  }
}

const groupColour = (group, s) => group.colours[s.theme];

function drawMeanCircles(ctx, s, t) {
  const [ox, oy] = [t.x(0), t.y(0)];
  for (const group of s.groups) {
    if (!s.isVisible(group.name) || !(group.mean > 0)) continue;
    ctx.beginPath();
    ctx.setLineDash(group.kind === "noise" ? [2, 4] : [7, 5]);
    ctx.arc(ox, oy, RADIUS_MODES[s.mode].of(group.mean, s.median) * t.scale, 0, TAU);
    ctx.strokeStyle = groupColour(group, s);
    ctx.lineWidth = 1.6;
    ctx.stroke();
    ctx.setLineDash([]);
  }
}

function drawSpokeLines(ctx, s, t) {
  ctx.strokeStyle = s.colours.grid;
  ctx.lineWidth = 1;
  ctx.globalAlpha = 0.7;
  for (const spoke of s.spokes) {
    ctx.beginPath();
    ctx.moveTo(t.x(0), t.y(0));
    ctx.lineTo(t.x(s.fit * Math.cos(spoke.angle)), t.y(s.fit * Math.sin(spoke.angle)));
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

/** Class names at the rim; where the rim is outside the view, at the edge in the spoke's direction. */
function drawSpokeNames(ctx, s, t) {
  const { rect, colours } = s;
  ctx.font = `600 12px ${s.fontFamily}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const taken = [];
  for (const spoke of s.spokes) {
    if (!s.isVisible(`class:${spoke.index}`) || !s.isVisible(s.groups[0].name)) continue;
    const half = ctx.measureText(spoke.name).width / 2 + 5;
    const edge = { x0: rect.x + half, x1: rect.x + rect.w - half, y0: rect.y + 10, y1: rect.y + rect.h - 10 };
    const [ux, uy] = [Math.cos(spoke.angle), -Math.sin(spoke.angle)];
    const rim = s.fit * t.scale + 7 + Math.abs(ux) * half + Math.abs(uy) * 8;
    const place = alongRay(t.x(0), t.y(0), ux, uy, rim, edge);
    if (!place) continue;
    let [x, y] = place;
    for (const shift of [0, 1, -1, 2, -2, 3, -3]) {
      const [tryX, tryY] = [x - shift * 16 * uy * 0.6, y + shift * 16 * Math.max(0.7, Math.abs(ux))];
      if (tryY < edge.y0 || tryY > edge.y1 || tryX < edge.x0 || tryX > edge.x1) continue;
      if (taken.some((b) => Math.abs(b.x - tryX) < b.half + half && Math.abs(b.y - tryY) < 15)) continue;
      taken.push({ x: tryX, y: tryY, half });
      const colour = s.byClass && spoke.index >= 0 ? s.classColour(spoke.index) : colours.muted;
      haloText(ctx, spoke.name, tryX, tryY, colour, colours.background);
      break;
    }
  }
}

/** The point `reach` along a ray, pulled back to the last one inside `edge`; null where the ray misses it. */
function alongRay(x, y, ux, uy, reach, edge) {
  let [near, far] = [0, reach];
  for (const [o, u, low, high] of [
    [x, ux, edge.x0, edge.x1],
    [y, uy, edge.y0, edge.y1],
  ]) {
    if (Math.abs(u) < 1e-9) {
      if (o < low || o > high) return null;
      continue;
    }
    const [a, b] = [(low - o) / u, (high - o) / u];
    near = Math.max(near, Math.min(a, b));
    far = Math.min(far, Math.max(a, b));
  }
  return far >= near ? [x + ux * far, y + uy * far] : null;
}

function drawAxes(ctx, s, t) {
  const { rect, colours, fontFamily } = s;
  ctx.strokeStyle = colours.grid;
  ctx.lineWidth = 1;
  ctx.strokeRect(rect.x + 0.5, rect.y + 0.5, rect.w - 1, rect.h - 1);
  ctx.font = `11px ${fontFamily}`;
  const [left, right] = [t.worldX(rect.x), t.worldX(rect.x + rect.w)];
  const [low, high] = [t.worldY(rect.y + rect.h), t.worldY(rect.y)];
  ctx.fillStyle = colours.muted;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  const wide = clamp(Math.round(rect.w / 90), 2, 8);
  const tall = clamp(Math.round(rect.h / 70), 2, 8);
  for (const tick of niceTicks(left, right, wide)) {
    const x = t.x(tick);
    line(ctx, x, rect.y + rect.h, x, rect.y + rect.h + 4);
    const label = formatTick(tick, (right - left) / wide);
    const half = ctx.measureText(label).width / 2;
    if (x - half > 2 && x + half < rect.x + rect.w + 8) ctx.fillText(label, x, rect.y + rect.h + 6);
  }
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const tick of niceTicks(low, high, tall)) {
    const y = t.y(tick);
    line(ctx, rect.x - 4, y, rect.x, y);
    if (y > rect.y + 5 && y < rect.y + rect.h - 5) ctx.fillText(formatTick(tick, (high - low) / tall), rect.x - 6, y);
  }
  ctx.fillStyle = colours.text;
  ctx.textAlign = "center";
  ctx.textBaseline = "alphabetic";
  ctx.fillText(s.axes[0], rect.x + rect.w / 2, rect.y + rect.h + 34, rect.w);
  ctx.save();
  ctx.translate(11, rect.y + rect.h / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.textBaseline = "middle";
  ctx.fillText(s.axes[1], 0, 0, rect.h);
  ctx.restore();
}

function line(ctx, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

/** The visible points in the order of drawing: those that are not chosen, then the chosen ones on top. */
function eachVisible({ order, visible, chosen }, draw) {
  for (const pass of chosen ? [0, 1] : [0]) {
    for (let k = 0; k < order.length; k++) {
      const i = order[k];
      if (visible[i] && (!chosen || chosen[i] === pass)) draw(i, pass);
    }
  }
}

/** Draws the visible points; returns how many lie inside the plot and how many visible ones lie outside. */
function drawPoints(ctx, s, t, ratio) {
  if (ctx.vector) return drawVectors(ctx, s, t);
  const { rect, position, styleOf, stamps } = s;
  const [scale, x0, y0] = [t.scale * ratio, t.x(0) * ratio, t.y(0) * ratio];
  stamps.prepare(ctx.canvas.width, ctx.canvas.height);
  const { half, width, height } = stamps;
  const bounds = {
    left: Math.max(0, Math.round(rect.x * ratio)),
    right: Math.min(width, Math.round((rect.x + rect.w) * ratio)),
    top: Math.max(0, Math.round(rect.y * ratio)),
    bottom: Math.min(height, Math.round((rect.y + rect.h) * ratio)),
  };
  let drawn = 0;
  let outside = 0;
  eachVisible(s, (i, pass) => {
    const x = Math.round(x0 + position[2 * i] * scale);
    const y = Math.round(y0 - position[2 * i + 1] * scale);
    if (x < bounds.left || x >= bounds.right || y < bounds.top || y >= bounds.bottom) {
      outside++;
      return;
    }
    drawn++;
    const style = styleOf[i] + pass * stamps.chosen;
    const inner = x - half >= bounds.left && x + half < bounds.right && y - half >= bounds.top && y + half < bounds.bottom;
    if (inner) stamps.stamp(style, x, y);
    else stamps.stampClipped(style, x, y, bounds);
  });
  ctx.save();
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.drawImage(stamps.finish(), 0, 0);
  ctx.restore();
  return { drawn, outside };
}

/** The same as vectors, each point a group with its name. */
function drawVectors(ctx, s, t) {
  const { rect, position, styleOf, styles, colours, radius } = s;
  let drawn = 0;
  let outside = 0;
  ctx.save();
  ctx.beginPath();
  ctx.rect(rect.x, rect.y, rect.w, rect.h);
  ctx.clip();
  eachVisible(s, (i, pass) => {
    const [x, y] = [t.x(position[2 * i]), t.y(position[2 * i + 1])];
    if (x < rect.x || x >= rect.x + rect.w || y < rect.y || y >= rect.y + rect.h) {
      outside++;
      return;
    }
    drawn++;
    const { marker, colour } = styles[styleOf[i]];
    ctx.group(`point cell${s.cellOf(i)}${pass ? " chosen" : ""}`, s.nameOf(i), () => {
      if (pass) drawMarker(ctx, marker, x, y, radius, colour, colours.text, CHOSEN_RIM);
      else drawMarker(ctx, marker, x, y, radius, colour, colours.background);
    });
  });
  ctx.restore();
  return { drawn, outside };
}

function drawFss(ctx, s, t) {
  const [x, y] = [t.x(s.fss[0]), t.y(s.fss[1])];
  const { rect } = s;
  if (x < rect.x - 14 || x > rect.x + rect.w + 14 || y < rect.y - 14 || y > rect.y + rect.h + 14) return;
  drawStar(ctx, x, y, 12, s.colours);
  ctx.font = `700 14px ${s.fontFamily}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  haloText(ctx, "F*", x + 14, y - 13, s.colours.text, s.colours.background, 6);
}

/** What the line below the picture says: the radius' unit, and how many visible points the view leaves out. */
function sceneNotes(s, outside) {
  const unit = {
    median: `1× = ind median = ${formatNumber(s.median)}`,
    absolute: "rings: ‖F − F*‖ in the layer's own units",
    log: "log scale, 1× = ind median",
  }[s.mode];
  const radius = s.centred ? `Radius: true distance to F*, ${unit}. Dashed: group means.` : "";
  return [radius, outside ? `${formatCount(outside)} point${outside === 1 ? "" : "s"} outside the view` : ""];
}

/** The whole picture, in CSS pixels, background included. Returns the counts of drawPoints. */
function drawScene(ctx, s, ratio) {
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.globalAlpha = 1;
  ctx.fillStyle = s.colours.background;
  ctx.fillRect(0, 0, s.width, s.height);
  const t = viewTransform(s.box, s.rect);
  ctx.save();
  ctx.beginPath();
  ctx.rect(s.rect.x, s.rect.y, s.rect.w, s.rect.h);
  if (s.centred) ctx.clip();
  let rings = [];
  if (s.centred) {
    drawSpokeLines(ctx, s, t);
    rings = drawRings(ctx, s, t);
  } else drawAxes(ctx, s, t);
  ctx.restore();
  const counts = drawPoints(ctx, s, t, ratio);
  ctx.save();
  ctx.beginPath();
  ctx.rect(s.rect.x, s.rect.y, s.rect.w, s.rect.h);
  ctx.clip();
  if (s.centred) {
    drawMeanCircles(ctx, s, t);
    drawRingLabels(ctx, s, t, rings);
    drawSpokeNames(ctx, s, t);
  }
  drawFss(ctx, s, t);
  ctx.restore();
  return counts;
}
