// Atlas: keeps one set of point images in the page, by version, for the scatter; shows nothing itself.
// It is a component of its own so that the images cross the wire once while layers and checkpoints change.

const KEPT = 4;

export default function atlas({ data, parentElement }) {
  const given = data instanceof Uint8Array ? data : new Uint8Array(data);
  const buffer = given.slice().buffer;
  const length = new DataView(buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const [, start, count] = header.sections.pixels;
  window.__fssdAtlas ??= new Map();
  window.__fssdAtlas.delete(header.version);
  window.__fssdAtlas.set(header.version, { ...header, pixels: new Uint8Array(buffer, 8 + length + start, count) });
  while (window.__fssdAtlas.size > KEPT) window.__fssdAtlas.delete(window.__fssdAtlas.keys().next().value);
  window.dispatchEvent(new Event("fssd-atlas"));
  (parentElement.host ?? parentElement).style.display = "none";
}
