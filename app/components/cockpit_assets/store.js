// Score blocks in the page, by content id. The carriers (one a data set) put them in; every cockpit reads them.
// So a changed setting, preset or label never sends the scores again.

const EVENT = "fssd:scores";

function registry() {
  globalThis.__fssdScores ??= { blocks: new Map(), holders: new Map() };
  return globalThis.__fssdScores;
}

/**
 * Reads one packed block: 'FSSD', header length (uint32, little endian), header JSON, then float32 (E, K, N).
 *
 * @param {Uint8Array} bytes as they came; the floats in them are not aligned, so they are copied out.
 * @returns {{id: string, shape: number[], values: Float32Array}}
 */
export function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== 0x44535346) throw new Error("these bytes are no score block");
  const headerLength = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)));
  const values = new Float32Array(bytes.slice(8 + headerLength).buffer);
  const wanted = header.shape.reduce((a, b) => a * b, 1);
  if (values.length !== wanted) throw new Error(`a score block holds ${values.length} values instead of ${wanted}`);
  return { ...header, values };
}

/** Keeps the block as long as `holder` does; tells the cockpits when it is new. */
export function hold(holder, bytes) {
  const { blocks, holders } = registry();
  const block = unpack(bytes);
  release(holder, block.id);
  holders.set(holder, block.id);
  if (blocks.has(block.id)) return;
  blocks.set(block.id, block);
  globalThis.dispatchEvent(new CustomEvent(EVENT, { detail: block.id }));
}

/** Forgets what `holder` kept, unless another holder keeps it too or it is `except`. */
export function release(holder, except = null) {
  const { blocks, holders } = registry();
  const id = holders.get(holder);
  if (id === undefined || id === except) return;
  holders.delete(holder);
  if (![...holders.values()].includes(id)) blocks.delete(id);
}

/** The block of that id, or undefined while it is on its way. */
export function block(id) {
  return registry().blocks.get(id);
}

/** Calls back whenever a block comes in; gives a function that ends it. */
export function onBlock(callback) {
  globalThis.addEventListener(EVENT, callback);
  return () => globalThis.removeEventListener(EVENT, callback);
}
