// Panel: the elements around the picture - heading, toolbar, legend, tooltip - and what they show.

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null));
  return node;
}

const ICONS = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  reset: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  pan: "M12 3v18M3 12h18M12 3l-2.5 2.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5",
  lasso: "M8 15.5c-3-.7-5-2.6-5-5C3 7 7 4.5 12 4.5s9 2.5 9 6-4 6-9 6c-.7 0-1.4 0-2-.1M10 16.5a2 2 0 1 1-3.5-1.5A2 2 0 0 1 10 16.5zM9 18c.5 1.5-.5 2.5-2 3",
  close: "M6 6l12 12M18 6L6 18",
};

const REGION_WORDS =
  "Selection rectangle. Arrow keys move it, Shift and arrows change its size, Control makes small steps. Enter selects " +
  "the visible points inside, Shift and Enter adds them, Alt and Enter takes them away. Escape clears.";

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Builds the fixed elements once; returns them by name. */
function buildPanel(root, actions) {
  const button = (name, label, act) =>
    make("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: act }, icon(name));
  const parts = {
    title: make("h3", { class: "title" }),
    subtitle: make("p", { class: "subtitle" }),
    modes: make("div", { class: "modes", role: "group", "aria-label": "Radius" }),
    scene: make("canvas", { class: "scene", "aria-hidden": "true" }),
    overlay: make("canvas", { class: "overlay", "aria-hidden": "true" }),
    tooltip: make("div", { class: "tooltip", hidden: "" }),
    note: make("div", { class: "note" }, make("span", {}), make("span", {})),
    live: make("div", { class: "live", "aria-live": "polite", role: "status" }),
    legend: make("div", { class: "legend", role: "group", "aria-label": "Groups" }),
    region: make("div", { class: "region", tabindex: "0", role: "application", "aria-label": REGION_WORDS, "aria-roledescription": "selection rectangle", hidden: "" }, make("span", {})),
    clear: make("button", { type: "button", class: "clear", title: "Clear the selection (Escape)", hidden: "", onclick: actions.clear }, icon("close"), make("span", {})),
  };
  const tool = (name, label) => {
    const made = button(name, label, (event) => actions.tool(name, event.detail === 0));
    made.dataset.tool = name;
    return made;
  };
  parts.tools = make(
    "div",
    { class: "zoom", role: "group", "aria-label": "What dragging does" },
    tool("pan", "Move and zoom"),
    tool("lasso", "Lasso: select points by drawing around them (key L)"),
  );
  parts.stage = make(
    "div",
    { class: "stage", tabindex: "0", role: "application", "aria-roledescription": "scatter plot" },
    parts.scene,
    parts.overlay,
    parts.region,
    parts.tooltip,
  );
  const tools = make(
    "div",
    { class: "tools" },
    parts.clear,
    parts.modes,
    parts.tools,
    make(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("minus", "Zoom out (key −)", actions.zoomOut),
      button("plus", "Zoom in (key +)", actions.zoomIn),
      button("reset", "Whole picture (key 0)", actions.reset),
    ),
    saveMenu("the picture", { title: actions.name, make: actions.save }),
  );
  const heading = make("div", { class: "heading" }, parts.title, parts.subtitle);
  root.replaceChildren(
    make(
      "div",
      { class: "frame" },
      make("div", { class: "top" }, heading, tools),
      make("div", { class: "body" }, make("div", { class: "picture" }, parts.stage, parts.note), parts.legend),
      parts.live,
    ),
  );
  return parts;
}

function fillModes(node, current, choose) {
  const there = node.querySelectorAll("[data-mode]");
  if (there.length) {
    for (const button of there) button.setAttribute("aria-pressed", String(button.dataset.mode === current));
    return;
  }
  node.replaceChildren(
    make("span", { class: "modes-name", "aria-hidden": "true" }, "radius"),
    ...Object.entries(RADIUS_MODES).map(([mode, { name, help }]) =>
      make(
        "button",
        { type: "button", title: help, "data-mode": mode, "aria-pressed": String(mode === current), onclick: () => choose(mode) },
        name,
      ),
    ),
  );
}

function swatch(marker, colour, ratio) {
  const canvas = make("canvas", { class: "swatch", "aria-hidden": "true" });
  canvas.width = canvas.height = 18 * ratio;
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  if (marker === "star") drawStar(ctx, 9, 9.5, 7, { background: "transparent", ...colour });
  else drawMarker(ctx, marker, 9, 9, 4.6, colour, null);
  return canvas;
}

/** One toggle: click hides or shows, double click, Alt-click or the key I shows this one alone. */
function toggleButton(name, pressed, label, chart, ...content) {
  return make(
    "button",
    {
      type: "button",
      class: name.startsWith("class:") ? "chip" : "item",
      "data-group": name,
      "aria-pressed": String(pressed),
      "aria-label": label,
      title: "Click: hide or show. Double click, Alt-click or key I: show alone.",
      onclick: (event) => (event.detail >= 2 || event.altKey ? chart.isolate(name) : chart.toggle(name)),
      onkeydown: (event) => event.key.toLowerCase() === "i" && !event.ctrlKey && !event.metaKey && chart.isolate(name),
    },
    ...content,
  );
}

/** What the legend's buttons are made of; while it stays, new data change their numbers only. */
function legendKey(chart) {
  const { groups, classNames } = chart.header;
  const parts = groups.map((g) => [g.name, g.label, g.kind, g.marker, g.stop - g.start, g.colours[chart.theme]]);
  return JSON.stringify([parts, classNames, [...chart.classCounts], chart.theme, chart.ratio, chart.colours]);
}

const meanWords = (group, median) =>
  `${group.label}: ${formatCount(group.stop - group.start)} points, mean distance ${formatNumber(group.mean / median)} of the ind median`;

/** Builds the legend: one toggle a group, the ind classes beneath ind, F* last. A click under way keeps its button. */
function fillLegend(node, chart) {
  const { groups, classNames, median } = chart.header;
  const key = legendKey(chart);
  if (node.fssdKey === key) {
    const buttons = [...node.querySelectorAll(".item")];
    groups.forEach((group, k) => {
      buttons[k].setAttribute("aria-label", meanWords(group, median));
      buttons[k].querySelector(".mean").textContent = `${(group.mean / median).toFixed(2)}×`;
    });
    return;
  }
  node.fssdKey = key;
  const ratio = chart.ratio;
  const list = make("ul", { class: "groups" });
  for (const group of groups) {
    const count = group.stop - group.start;
    const mean = group.mean / median;
    const colour = group.colours[chart.theme];
    const words = meanWords(group, median);
    const item = toggleButton(
      group.name,
      chart.isVisible(group.name),
      words,
      chart,
      swatch(group.marker, colour, ratio),
      make("span", { class: "label" }, group.label),
      make("span", { class: "count" }, formatCount(count)),
      make("span", { class: "mean", title: "mean distance over the ind median" }, `${mean.toFixed(2)}×`),
    );
    const entry = make("li", {}, item);
    if (group.kind === "ind" && classNames.length) entry.append(classLegend(chart));
    list.append(entry);
  }
  const star = make("li", { class: "fss" }, swatch("star", chart.colours, ratio), make("span", { class: "label" }, "F*, the singularity"));
  list.append(star);
  const head = make(
    "div",
    { class: "legend-head" },
    make("span", {}, "Groups"),
    make("span", { class: "columns" }, make("span", {}, "points"), make("span", { class: "mean", title: "mean distance over the ind median" }, "mean")),
  );
  const all = make("button", { type: "button", class: "all", onclick: () => chart.showAll() }, "Show all");
  all.hidden = chart.hidden.size === 0;
  node.replaceChildren(head, list, all);
}

/** Brings the legend's buttons up to date in place, so that focus and double clicks survive. */
function refreshLegend(node, chart) {
  for (const button of node.querySelectorAll("[data-group]")) {
    button.setAttribute("aria-pressed", String(chart.isVisible(button.dataset.group)));
    const dot = button.querySelector(".dot");
    if (dot) dot.style.background = chart.chipColour(Number(button.dataset.group.slice(6)));
  }
  node.querySelector(".by-class")?.setAttribute("aria-checked", String(chart.byClass));
  node.querySelector(".classes")?.classList.toggle("off", !chart.isVisible(chart.header.groups[0].name));
  node.querySelector(".all").hidden = chart.hidden.size === 0;
}

function classLegend(chart) {
  const { classNames } = chart.header;
  const box = make("div", { class: "classes" });
  const by = make(
    "button",
    { type: "button", role: "switch", class: "by-class", "aria-checked": String(chart.byClass), onclick: () => chart.setByClass(!chart.byClass) },
    make("span", { class: "knob", "aria-hidden": "true" }),
    "colour ind by class",
  );
  const chips = make("div", { class: "chips" });
  classNames.forEach((name, k) => {
    const count = chart.classCounts[k];
    if (!count) return;
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = chart.chipColour(k);
    const id = `class:${k}`;
    chips.append(toggleButton(id, chart.isVisible(id), `ind class ${name}: ${formatCount(count)} points`, chart, dot, name));
  });
  box.append(by, chips);
  return box;
}

/** What one point is, as rows for the tooltip and as one sentence for screen readers. */
function describePoint(chart, index) {
  const { header, model } = chart;
  const group = header.groups[model.groupOf[index]];
  const label = model.label[index];
  const distance = model.distance[index];
  const ratio = distance / header.median;
  const rank = rankIn(chart.sortedInd, distance);
  const share = Math.round(rank * 100);
  const place =
    group.kind === "ind"
      ? `${ordinal(clamp(share, 1, 100))} percentile of ind`
      : rank < 0.5
        ? `nearer to F* than ${Math.round((1 - rank) * 100)} % of ind`
        : `farther from F* than ${share} % of ind`;
  const className = label >= 0 ? (header.classNames[label] ?? `class ${label}`) : null;
  return {
    group,
    className,
    row: model.row[index],
    distance: formatNumber(distance),
    ratio: `${formatNumber(ratio)}×`,
    place,
    sentence:
      `${group.label}${className ? `, ${className}` : ""}, row ${model.row[index]}: distance ${formatNumber(distance)}, ` +
      `${formatNumber(ratio)} of the ind median, ${place}.`,
  };
}

function fillTooltip(node, chart, index) {
  const about = describePoint(chart, index);
  const picture = chart.thumbnail(index);
  const name = make("div", { class: "tip-name" }, swatch(about.group.marker, chart.pointColour(index), chart.ratio), about.group.label);
  const facts = make(
    "div",
    { class: "tip-facts" },
    name,
    make("div", { class: "tip-class" }, `${about.className ? `${about.className} · ` : ""}row ${about.row}`),
    make("div", { class: "tip-distance" }, make("b", {}, about.distance), " from F*"),
    make("div", {}, make("b", {}, about.ratio), " the ind median"),
    make("div", { class: "tip-place" }, about.place),
  );
  node.replaceChildren(...(picture ? [picture] : []), facts);
  return about.sentence;
}

/** Puts the tooltip beside (x, y) inside the stage, on the side with room. */
function placeTooltip(node, x, y, width, height) {
  node.hidden = false;
  const [w, h] = [node.offsetWidth, node.offsetHeight];
  const left = x + 16 + w <= width - 4 ? x + 16 : x - 16 - w;
  const top = clamp(y - h / 2, 4, Math.max(4, height - h - 4));
  if (left >= 4) node.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  else {
    const below = y + 18 + h <= height - 4 ? y + 18 : Math.max(4, y - 18 - h);
    const middle = clamp(x - w / 2, 4, Math.max(4, width - w - 4));
    node.style.transform = `translate(${Math.round(middle)}px, ${Math.round(below)}px)`;
  }
}
