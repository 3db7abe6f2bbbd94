// What one point is: its image, its place, its words; the tooltip and the chips of pinned points.
import { h, percent } from "../cockpit_assets/dom.js";
import { clamp, formatNumber } from "../scatter_assets/1_numbers.js";
import { swatch } from "./legend.js";
import { icon } from "./panel.js";

/** The point's image as a canvas, or null where its group has none or the images have not come yet. */
export function thumbnail(model, index, kind) {
  const { header } = model;
  const group = header.groups[model.groupOf[index]];
  const atlas = header.atlas && window.__fssdAtlas?.get(header.atlas);
  if (!atlas || group.cell < 0) return null;
  const { width, height, channels, pixels } = atlas;
  const start = (group.cell + index - group.start) * width * height * channels;
  const image = new ImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = pixels[start + k * channels + (channels === 3 ? c : 0)];
    image.data[4 * k + 3] = 255;
  }
  const canvas = h("canvas", { class: kind, role: "img", "aria-label": "image of this point" });
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Facts of a point at checkpoint t. */
export function describe(model, index, t) {
  const { header } = model;
  const group = header.groups[model.groupOf[index]];
  const label = model.label[index];
  const distance = model.at(t, index);
  const share = model.shareOfInd(t, distance);
  const place = share < 0.5 ? `nearer to F* than ${percent(1 - share)} of ind` : `farther from F* than ${percent(share)} of ind`;
  const className = label >= 0 && group.kind === "ind" ? (header.classNames[label] ?? `class ${label}`) : "";
  return {
    group,
    className,
    row: model.row[index],
    distance: formatNumber(distance),
    ratio: `${formatNumber(distance / header.indMedian[t])}×`,
    place,
    sentence: `${group.label}${className ? `, ${className}` : ""}, row ${model.row[index]}: distance ${formatNumber(distance)}, ${formatNumber(distance / header.indMedian[t])} of the ind median, ${place}.`,
  };
}

export function fillTooltip(node, model, index, t, { colour, ratio, pinned }) {
  const about = describe(model, index, t);
  const picture = thumbnail(model, index, "tip-image");
  const facts = h(
    "div",
    { class: "tip-facts" },
    h("div", { class: "tip-name" }, swatch(about.group.marker, colour, ratio), about.group.label),
    h("div", { class: "dim" }, `${about.className ? `${about.className} · ` : ""}row ${about.row}`),
    h("div", { class: "tip-distance" }, h("b", {}, about.distance), " from F*"),
    h("div", {}, h("b", {}, about.ratio), " the ind median"),
    h("div", { class: "dim" }, about.place),
    h("div", { class: "dim hint" }, pinned ? "click: let go" : "click: follow its trail"),
  );
  node.replaceChildren(...(picture ? [picture] : []), facts);
  return about.sentence;
}

/** Puts the tooltip beside (x, y) inside the stage, on the side with room. `size` is the tooltip's, measured once. */
export function placeTooltip(node, x, y, size, width, height) {
  const [w, tall] = size;
  const left = x + 18 + w <= width - 4 ? x + 18 : x - 18 - w;
  const top = clamp(y - tall / 2, 4, Math.max(4, height - tall - 4));
  if (left >= 4) node.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  else {
    const below = y + 18 + tall <= height - 4 ? y + 18 : Math.max(4, y - 18 - tall);
    node.style.transform = `translate(${Math.round(clamp(x - w / 2, 4, Math.max(4, width - w - 4)))}px, ${Math.round(below)}px)`;
  }
}

/** A chip a pinned point: number, image, name, distance; buttons to look closer and to let it go. */
export function fillPins(node, model, pins, t, { colourOf, ratio, canInspect, actions }) {
  const chips = pins.map((index, n) => {
    const about = describe(model, index, t);
    const name = `${about.group.label}, row ${about.row}`;
    const inspect =
      canInspect && about.group.kind !== "noise"
        ? h("button", { type: "button", class: "mini", "aria-label": `Inspect ${name}`, title: "Inspect this image", onclick: () => actions.open(index) }, icon("inspect"))
        : null;
    return h(
      "div",
      { class: "pin", "data-pin": String(index) },
      h("span", { class: "pin-number" }, String(n + 1)),
      thumbnail(model, index, "pin-image"),
      swatch(about.group.marker, colourOf(index), ratio),
      h("span", { class: "pin-name" }, h("span", {}, about.className || about.group.label), h("span", { class: "dim" }, h("span", { "data-number": "pin" }, about.ratio), ` · row ${about.row}`)),
      inspect,
      h("button", { type: "button", class: "mini", "aria-label": `Let go of ${name}`, title: "Let go", onclick: () => actions.unpin(index) }, icon("close")),
    );
  });
  const hint = h("p", { class: "dim pins-hint" }, "Click a point to follow it: its trail is drawn through all past checkpoints.");
  node.replaceChildren(...(chips.length ? chips : [hint]));
}

/** Brings the distances on the chips up to date. */
export function updatePins(node, model, pins, t) {
  node.querySelectorAll('[data-number="pin"]').forEach((cell, n) => {
    const ratio = `${formatNumber(model.at(t, pins[n]) / model.header.indMedian[t])}×`;
    if (cell.textContent !== ratio) cell.textContent = ratio;
  });
}
