// A file from Python, handed to the browser's downloads once.
import { download } from "../shared_assets/saving.js";

export default function file({ data, parentElement }) {
  (parentElement.host ?? parentElement).style.display = "none";
  globalThis.__fssdFiles ??= new Set();
  if (globalThis.__fssdFiles.has(data.id)) return; // told again, of a changed theme
  globalThis.__fssdFiles.add(data.id);
  download(data.text, data.name, data.type);
}
