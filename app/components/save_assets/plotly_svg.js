// What plotly shows, as one SVG document: its layers merged, its helpers for the pointer left out.
import { xml } from "../shared_assets/svg.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const POINTER_ONLY = ".draglayer, .zoomlayer, .hoverlayer, .selectionlayer, .menulayer";
const FALLBACK = "Arial, Helvetica, sans-serif";
const HEADING = 34; // px for the title of a chart that shows none

/** {markup, width, height} of a plotly chart's element; `look` has the colours background and text. */
export function svgOf(plot, { title, description, look }) {
  const layers = [...plot.querySelectorAll("svg.main-svg")].filter((layer) => !layer.querySelector(".hoverlayer"));
  const [width, chart] = ["width", "height"].map((side) => Number(layers[0].getAttribute(side)) || layers[0].getBoundingClientRect()[side]);
  const top = layers.some((layer) => layer.querySelector(".gtitle")) ? 0 : HEADING;
  const height = chart + top;
  const inside = node("g", top ? { transform: `translate(0 ${top})` } : {});
  for (const layer of layers) inside.append(...copyOf(layer).childNodes);
  for (const unwanted of inside.querySelectorAll(POINTER_ONLY)) unwanted.remove();
  const whole = node("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  whole.append(node("title", {}, title), node("desc", {}, description), node("rect", { width, height, fill: look.background }));
  if (top) whole.append(node("text", { x: 10, y: 23, "font-size": 16, "font-weight": 600, fill: look.text, "font-family": plainFonts(look.font) }, title));
  whole.append(inside);
  return { markup: new XMLSerializer().serializeToString(whole), width, height };
}

function node(tag, attributes, text = "") {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

/** A layer's copy whose texts keep their width in whatever font they will be shown. */
function copyOf(layer) {
  const copy = layer.cloneNode(true);
  const [shown, copied] = [layer, copy].map((one) => [...one.querySelectorAll("text")]);
  copied.forEach((text, i) => {
    for (const name of ["data-unformatted", "data-math"]) text.removeAttribute(name);
    text.style.fontFamily = plainFonts(text.style.fontFamily);
    const lines = [shown[i], text].map((one) => [...one.querySelectorAll("tspan.line")]);
    const [seen, kept] = lines[0].length ? lines : [[shown[i]], [text]];
    seen.forEach((line, k) => {
      const wide = line.getComputedTextLength();
      if (wide > 0) kept[k].setAttribute("textLength", wide.toFixed(1));
      if (wide > 0) kept[k].setAttribute("lengthAdjust", "spacingAndGlyphs");
    });
  });
  return copy;
}

/** Each family once, with fonts as wide as the page's where that is not installed. */
function plainFonts(families) {
  const given = families.split(",").map((family) => family.trim()).filter((family) => family && family !== "sans-serif");
  return [...new Set(given), FALLBACK].join(", ");
}

/** The markup with the page's own font inside, so that a picture painted of it looks as the page does. */
export async function withFonts(markup) {
  const faces = [...document.styleSheets].flatMap(facesOf).filter(({ family, style }) => style !== "italic" && markup.includes(family));
  const rules = await Promise.all(faces.map(async ({ family, weight, url }) => `@font-face{font-family:"${family}";font-weight:${weight || "normal"};src:url(${await dataUrl(url)})}`));
  return markup.replace(/(<svg[^>]*>)/, `$1<style>${xml(rules.join(""))}</style>`);
}

function facesOf(sheet) {
  let rules;
  try {
    rules = [...sheet.cssRules];
  } catch {
    return []; // of another origin: not the page's own fonts
  }
  return rules
    .filter((rule) => rule instanceof CSSFontFaceRule && rule.style.src.includes("url("))
    .map(({ style }) => ({
      family: style.fontFamily.replace(/["']/g, ""),
      style: style.fontStyle,
      weight: style.fontWeight,
      url: new URL(style.src.match(/url\(["']?([^"')]+)/)[1], sheet.href ?? document.baseURI).href,
    }));
}

async function dataUrl(url) {
  const blob = await (await fetch(url)).blob();
  return new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
}
