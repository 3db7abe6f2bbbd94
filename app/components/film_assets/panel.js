// Panel: the elements of the component, built once - numbers on top, stage, transport, pinned points, words, legend.
import { h } from "../cockpit_assets/dom.js";
import { SPEEDS } from "./clock.js";
import { RADIUS_MODES } from "./scales.js";

const ICONS = {
  play: "M7 4.5v15l13-7.5z",
  pause: "M6 4.5h4.4v15H6zM13.6 4.5H18v15h-4.4z",
  loop: "M17 2.5 21 6.5l-4 4M3 11.5v-1a4 4 0 0 1 4-4h14M7 21.5l-4-4 4-4M21 12.5v1a4 4 0 0 1-4 4H3",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  inspect: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  close: "M6 6l12 12M18 6 6 18",
};

/** An icon of 24 units: filled for play and pause, else drawn with lines. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", name === "play" || name === "pause" ? "solid" : "lines");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function setIcon(button, name) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.querySelector("svg")?.remove();
  button.prepend(icon(name));
}

/** Builds everything; returns the elements by name. `charts` and `legend` are elements made elsewhere. */
export function buildPanel(actions, charts) {
  const stat = (name, label) => {
    const value = h("b", { "data-value": name });
    return { value, box: h("div", { class: `stat ${name}` }, h("span", {}, label), value) };
  };
  const parts = {
    next: h("span", { class: "next", "aria-hidden": "true" }),
    badge: h("span", { class: "badge" }, "untrained: the baseline"),
    modes: h("div", { class: "segments", role: "group", "aria-label": "Radius" }),
    under: h("canvas", { class: "layer under", "aria-hidden": "true" }),
    points: h("canvas", { class: "layer", "aria-hidden": "true" }),
    over: h("canvas", { class: "layer", "aria-hidden": "true" }),
    tooltip: h("div", { class: "tooltip", hidden: true }),
    ruler: h("p", { class: "ruler" }),
    pins: h("div", { class: "pins", role: "group", "aria-label": "Pinned points" }),
    words: h("p", { class: "words" }),
    motion: h("p", { class: "words" }),
    legend: h("div", { class: "legend", role: "group", "aria-label": "Groups" }),
    live: h("div", { class: "unseen", "aria-live": "polite", role: "status" }),
  };
  const stats = [stat("step", "Training step"), stat("epoch", "Epoch"), stat("accuracy", "Test accuracy"), stat("median", "Ind median")];
  stats[3].box.title = "Median distance of the in-distribution points to F*, in the layer's own units: it grows, everything moves outward";
  for (const { value } of stats) parts[`${value.dataset.value}Value`] = value;
  stats[0].box.append(parts.next);
  parts.stats = h("div", { class: "stats" }, ...stats.map((s) => s.box), parts.badge);
  parts.byClass = h("button", { type: "button", role: "switch", class: "switch", onclick: actions.byClass }, h("span", { class: "knob", "aria-hidden": "true" }), "by class");
  parts.byClass.title = "Colour the in-distribution points by their class";
  const save = (kind) =>
    h("button", { type: "button", class: "save", "aria-label": `Save this frame as ${kind}`, title: `Save this frame as ${kind}`, onclick: () => actions.save(kind) }, kind === "PNG" ? icon("save") : "", kind);
  parts.tools = h("div", { class: "tools" }, parts.modes, parts.byClass, h("div", { class: "segments saves", role: "group", "aria-label": "Save" }, save("PNG"), save("SVG")));
  parts.stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-roledescription": "film" }, parts.under, parts.points, parts.over, parts.tooltip);
  Object.assign(parts, transport(actions));
  const left = h("div", { class: "left" }, parts.stage, parts.transport, parts.ruler, parts.pins, h("div", { class: "faith" }, parts.words, parts.motion));
  parts.right = h("div", { class: "right" }, parts.legend, charts);
  parts.root = h("div", { class: "film" }, h("div", { class: "head" }, parts.stats, parts.tools), h("div", { class: "body" }, left, parts.right), parts.live);
  return parts;
}

function transport(actions) {
  const play = h("button", { type: "button", class: "play", onclick: actions.toggle });
  const slider = h("input", { type: "range", min: "0", step: "any", class: "scrubber", "aria-label": "Training step", oninput: (e) => actions.scrub(Number(e.target.value)), onchange: actions.release });
  const marks = h("div", { class: "ticks", "aria-hidden": "true" });
  const speeds = SPEEDS.map((speed) => h("button", { type: "button", "data-speed": speed, onclick: () => actions.speed(speed) }, `${speed}×`));
  const loop = h("button", { type: "button", class: "loop", "aria-label": "Loop", title: "Loop", onclick: actions.loop }, icon("loop"));
  const bar = h(
    "div",
    { class: "transport", role: "group", "aria-label": "Play the film" },
    play,
    h("div", { class: "track" }, marks, slider),
    h("div", { class: "segments speeds", role: "group", "aria-label": "Speed" }, ...speeds),
    loop,
  );
  return { transport: bar, play, slider, marks, speeds, loop };
}

/** The radius buttons, the chosen one pressed. */
export function fillModes(node, current, choose) {
  if (!node.childElementCount) {
    node.append(h("span", { class: "name", "aria-hidden": "true" }, "radius"));
    for (const [mode, { name, help }] of Object.entries(RADIUS_MODES)) {
      node.append(h("button", { type: "button", title: help, "data-mode": mode, onclick: () => choose(mode) }, name));
    }
  }
  for (const button of node.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.mode === current));
}
