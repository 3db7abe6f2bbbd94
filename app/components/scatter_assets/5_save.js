// Saving: title, subtitle, the scene as it stands and the visible groups' legend on one canvas, as a PNG file.

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

/** Canvas of the whole figure at `ratio` device pixels a CSS pixel; `sceneAt(ratio)` gives the scene's state. */
function paintFigure(chart, sceneAt, ratio) {
  const scene = sceneAt(ratio);
  const { colours, fontFamily } = scene;
  const pad = 16;
  const width = scene.width + 2 * pad;
  const canvas = document.createElement("canvas");
  const ctx = canvas.getContext("2d");
  ctx.font = `600 17px ${fontFamily}`;
  const title = wrapLines(ctx, chart.header.title, scene.width);
  ctx.font = `13px ${fontFamily}`;
  const subtitle = wrapLines(ctx, chart.header.subtitle, scene.width);
  const entries = legendEntries(chart);
  const rows = legendRows(ctx, entries, scene.width);
  const top = pad + title.length * 22 + subtitle.length * 18 + 8;
  const height = top + scene.height + 34 + rows.length * 22 + pad;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  ctx.fillStyle = colours.background;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  const inner = document.createElement("canvas");
  inner.width = Math.round(scene.width * ratio);
  inner.height = Math.round(scene.height * ratio);
  const { outside } = drawScene(inner.getContext("2d"), scene, ratio);
  ctx.drawImage(inner, Math.round(pad * ratio), Math.round(top * ratio));
  ctx.scale(ratio, ratio);
  ctx.textBaseline = "top";
  ctx.fillStyle = colours.text;
  ctx.font = `600 17px ${fontFamily}`;
  title.forEach((text, k) => ctx.fillText(text, pad, pad + 22 * k));
  ctx.fillStyle = colours.muted;
  ctx.font = `13px ${fontFamily}`;
  subtitle.forEach((text, k) => ctx.fillText(text, pad, pad + 22 * title.length + 18 * k));
  ctx.textBaseline = "middle";
  ctx.font = `12px ${fontFamily}`;
  ctx.fillText(sceneNotes(scene, outside).filter(Boolean).join("  ·  "), pad, top + scene.height + 14, scene.width);
  ctx.font = `13px ${fontFamily}`;
  rows.forEach((row, r) => {
    const y = top + scene.height + 34 + 22 * r + 10;
    for (const { entry, x } of row) {
      if (entry.marker === "star") drawStar(ctx, pad + x + 7, y, 7, colours);
      else drawMarker(ctx, entry.marker, pad + x + 7, y, 4.6, entry.colour, null);
      ctx.fillStyle = colours.text;
      ctx.fillText(entry.text, pad + x + 18, y);
    }
  });
  return canvas;
}

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
  return [...entries, { marker: "star", text: "F*" }];
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

function download(canvas, name) {
  canvas.toBlob((blob) => {
    const url = URL.createObjectURL(blob);
    const link = make("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }, "image/png");
}
