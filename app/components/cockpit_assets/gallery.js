// Example images in the page, by content id: which they are, and one picture with all of them side by side.
const EVENT = "fssd:examples";
const ACROSS = 32; // images in a line of the picture

function registry() {
  globalThis.__fssdExamples ??= new Map();
  return globalThis.__fssdExamples;
}

/** Reads 'FSD1', header length, header, sections (see packing.py), and draws the picture. */
function read(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== 0x31445346) throw new Error("these bytes are no example images");
  const start = 8 + view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const section = (name, Type) => {
    const [, from, count] = header.sections[name];
    const begin = start + from;
    return new Type(bytes.slice(begin, begin + count * Type.BYTES_PER_ELEMENT).buffer);
  };
  const [at, row] = [section("at", Int32Array), section("row", Int32Array)];
  const sets = new Map(
    header.sets.map(({ name, ref, first, count }) => [
      name,
      Array.from({ length: count }, (_, i) => ({ name, ref, cell: first + i, at: at[first + i], row: row[first + i] })),
    ]),
  );
  const gallery = { id: header.version, sets, columns: ACROSS, lines: Math.ceil(header.count / ACROSS), url: null };
  paint(header, section("pixels", Uint8Array)).then((url) => {
    gallery.url = url;
    tell(gallery.id);
  });
  return gallery;
}

async function paint({ height, width, channels, count }, pixels) {
  const canvas = document.createElement("canvas");
  canvas.width = ACROSS * width;
  canvas.height = Math.ceil(count / ACROSS) * height;
  const image = new ImageData(canvas.width, canvas.height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0, p = 0; i < count; i++) {
    const corner = Math.floor(i / ACROSS) * height * canvas.width + (i % ACROSS) * width;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, p += channels) {
        const [r, g, b] = channels === 3 ? [pixels[p], pixels[p + 1], pixels[p + 2]] : [pixels[p], pixels[p], pixels[p]];
        out[corner + y * canvas.width + x] = 0xff000000 | (b << 16) | (g << 8) | r;
      }
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done));
  return URL.createObjectURL(blob);
}

function tell(id) {
  globalThis.dispatchEvent(new CustomEvent(EVENT, { detail: id }));
}

/** Keeps what `bytes` hold as long as `holder` does; null ends it. */
export function holdExamples(holder, bytes) {
  const galleries = registry();
  const before = galleries.get(holder);
  if (before?.url) URL.revokeObjectURL(before.url);
  galleries.delete(holder);
  if (!bytes) return;
  const gallery = read(bytes);
  galleries.set(holder, gallery);
  tell(gallery.id);
}

/** The gallery of that id, or undefined while it is on its way. */
export function galleryOf(id) {
  return [...registry().values()].find((gallery) => gallery.id === id);
}

/** Calls back when a gallery comes in or its picture is ready; gives a function that ends it. */
export function onGallery(callback) {
  globalThis.addEventListener(EVENT, callback);
  return () => globalThis.removeEventListener(EVENT, callback);
}
