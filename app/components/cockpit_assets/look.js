// Colours and fonts of the page as it is now: Streamlit's variables for ground and text, the palette for meaning.

/** Whether a CSS colour (#rgb, #rrggbb, rgb(...)) is darker than middle grey. */
export function isDark(colour) {
  const hex = colour.trim().match(/^#([0-9a-f]{3,8})$/i)?.[1];
  let channels;
  if (hex) {
    const wide = hex.length < 6 ? [...hex].map((c) => c + c).join("") : hex;
    channels = [0, 2, 4].map((i) => parseInt(wide.slice(i, i + 2), 16));
  } else {
    channels = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map(Number);
  }
  return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2] < 128;
}

/** Reads the theme at `root`, hands the palette to its CSS and gives the colours for the canvases. */
export function readLook(root, palette) {
  const style = getComputedStyle(root);
  const read = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const background = read("--st-background-color", "#ffffff");
  const mode = isDark(background) ? "dark" : "light";
  const colours = palette[mode];
  root.dataset.mode = mode;
  for (const name of ["ind", "accept", "reject", "muted", "grid", "surface"]) {
    root.style.setProperty(`--${name}`, colours[name]);
  }
  return {
    ...colours,
    background,
    text: read("--st-text-color", colours.text),
    font: read("--st-font", "sans-serif"),
    type: Number(read("--fssd-type", "1")) || 1, // presenter mode enlarges the type
    oodAt: (index) => (index < 0 ? colours.muted : colours.ood[index % colours.ood.length]),
  };
}
