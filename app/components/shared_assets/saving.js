// Saving a figure: one small menu beside each, a file name from its title, and a page that holds it without a network.
import { xml } from "./svg.js";

const FORMATS = {
  png: { name: "PNG", type: "image/png", words: "picture, twice the size" },
  svg: { name: "SVG", type: "image/svg+xml", words: "vectors, to edit and print" },
  html: { name: "HTML", type: "text/html", words: "a page of its own, offline" },
};

/** 'fssd-around-f-layer-fc1' of a title. */
export function fileName(title) {
  const words = title.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return `fssd-${words.replace(/^-|-$/g, "").slice(0, 80) || "figure"}`;
}

/** Hands a file to the browser's downloads. */
export function download(content, name, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The bytes of a canvas as a PNG. */
export function pngOf(canvas) {
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Paints SVG markup of that size as a PNG, `ratio` pixels a unit. */
export async function pngOfSvg(markup, width, height, ratio) {
  const url = URL.createObjectURL(new Blob([markup], { type: FORMATS.svg.type }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await pngOf(canvas);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** A page around SVG markup: nothing is fetched; points with a name show it under the pointer, with their image. */
export function pageOf(markup, { title, background, text, surface, images = null }) {
  const sprite = images
    ? `#tip i{background-image:url(${images.url});background-size:${images.columns * 96}px auto;width:96px;height:96px;display:block;image-rendering:pixelated;margin-bottom:6px}`
    : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${xml(title)}</title><link rel="icon" href="data:,">
<style>body{margin:0;background:${background};color:${text};font:14px/1.4 sans-serif}
svg{display:block;margin:0 auto;max-width:100%;height:auto}
#tip{position:fixed;z-index:1;pointer-events:none;max-width:260px;padding:8px 10px;border-radius:8px;background:${surface};box-shadow:0 4px 16px rgb(0 0 0/.35)}
${sprite}</style></head>
<body>${markup}<div id="tip" role="status" hidden>${images ? "<i></i>" : ""}<span></span></div>
<script>(${hoverNames.toString()})(${images ? images.columns : 0});</script></body></html>
`;
}

/** Runs in the saved page. */
function hoverNames(columns) {
  const [svg, tip] = [document.querySelector("svg"), document.getElementById("tip")];
  const points = [...svg.querySelectorAll(".point")].map((node) => {
    const box = node.getBBox();
    const title = node.querySelector("title");
    title.remove();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2, words: title.textContent, cell: Number(node.classList[1]?.slice(4) ?? -1) };
  });
  svg.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let [best, least] = [null, 144];
    for (const point of points) {
      const square = (point.x - at.x) ** 2 + (point.y - at.y) ** 2;
      if (square < least) [best, least] = [point, square];
    }
    tip.hidden = !best;
    if (!best) return;
    tip.querySelector("span").textContent = best.words;
    const image = tip.querySelector("i");
    if (image) {
      image.hidden = best.cell < 0;
      image.style.display = best.cell < 0 ? "none" : "";
      image.style.backgroundPosition = `${-96 * (best.cell % columns)}px ${-96 * Math.floor(best.cell / columns)}px`;
    }
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4)}px`;
  });
  svg.addEventListener("pointerleave", () => (tip.hidden = true));
}

/**
 * The menu: a button 'Save' and one entry a format. `make(format)` gives the file's content or null where it comes later.
 * `title()` names the file.
 */
export function saveMenu(figure, { title, make }) {
  const root = document.createElement("div");
  root.className = "save-menu";
  const button = part("button", { type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `Save ${figure}`, title: `Save ${figure}` });
  button.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 4v11M7 11l5 5 5-5M5 20h14"/></svg><span>Save</span>';
  const menu = part("div", { role: "menu", "aria-label": `Save ${figure} as` });
  menu.hidden = true;
  const items = Object.entries(FORMATS).map(([format, { name, words }]) => {
    const item = part("button", { type: "button", role: "menuitem", tabindex: "-1", "data-format": format });
    item.append(part("b", {}, name), part("span", {}, words));
    item.addEventListener("click", async () => {
      show(false);
      button.focus();
      const content = await make(format);
      if (content !== null) download(content, `${fileName(title())}.${format}`, FORMATS[format].type);
    });
    return item;
  });
  menu.append(...items);
  const show = (open) => {
    menu.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => {
    show(menu.hidden);
    if (!menu.hidden) items[0].focus();
  });
  root.addEventListener("keydown", (event) => {
    if (menu.hidden || !["ArrowDown", "ArrowUp", "Home", "End", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") {
      show(false);
      button.focus();
      return;
    }
    const now = items.indexOf(root.getRootNode().activeElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    items.at(to % items.length).focus();
  });
  root.addEventListener("focusout", (event) => !root.contains(event.relatedTarget) && show(false));
  root.append(button, menu);
  return root;
}

function part(tag, attributes, text = "") {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}
