// The 'Save' menu of a plotly chart: PNG and SVG from what the page shows; the page of its own comes from Python.
import { pngOfSvg, saveMenu } from "../shared_assets/saving.js";
import { svgOf, withFonts } from "./plotly_svg.js";

const told = new WeakMap();

export default function save({ data, parentElement, setTriggerValue }) {
  const first = !told.has(parentElement);
  told.set(parentElement, { ...data, ask: () => setTriggerValue("html", true) });
  if (!first) return undefined;
  const now = () => told.get(parentElement);
  const host = parentElement.host ?? parentElement;
  const root = document.createElement("div");
  root.className = "save-row";
  const make = async (format) => {
    const { frame, title, description, look, ask } = now();
    if (format === "html") {
      ask();
      return null;
    }
    const plot = host.closest(`.st-key-${frame}`).querySelector(".js-plotly-plot");
    const { markup, width, height } = svgOf(plot, { title, description, look: { ...look, font: getComputedStyle(host).getPropertyValue("--st-font") } });
    return format === "svg" ? markup : pngOfSvg(await withFonts(markup), width, height, Math.max(2, devicePixelRatio));
  };
  root.append(saveMenu(data.figure, { title: () => now().title, make }));
  parentElement.append(root);
  return () => {
    root.remove();
    told.delete(parentElement);
  };
}
