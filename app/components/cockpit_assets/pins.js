// Pinned settings: up to four, named, their curves under the present one's, and what the server found to differ.
import { h, percent, setAttribute, setField, setText, share } from "./dom.js";

const MOST = 4;
export const DASHES = [[7, 4], [2, 3], [9, 3, 2, 3], [4, 2]];
const COLUMNS = [
  ["auroc", "AUROC", (v) => share(v), (v) => v.toFixed(4)],
  ["fpr95", "FPR95", percent, (v) => `${(100 * v).toFixed(2)}\u00a0%`],
  ["auprIn", "AUPR-IN", (v) => share(v), (v) => v.toFixed(4)],
];

export class PinsPanel {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.add = h("button", { type: "button", class: "small", onclick: () => this.#add() }, "Pin this setting");
    this.body = h("tbody", {});
    this.table = h(
      "table",
      { class: "pins" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "setting"), ...COLUMNS.map(([, name]) => h("th", { scope: "col" }, name)), h("td", {}))),
      this.body,
    );
    this.note = h("p", { class: "note" });
    this.element = h("section", { class: "panel", "aria-label": "Pinned settings" }, h("header", {}, h("h3", {}, "Pinned settings"), this.add), this.table, this.note);
    this.rows = [];
  }

  rebuild(config) {
    this.rows = config.pins.map((pin, i) => this.#row(pin, i));
    this.body.replaceChildren(...this.rows.map((row) => row.element));
  }

  #add() {
    if (this.cockpit.config.pins.length < MOST) this.cockpit.act({ do: "add" });
  }

  #row(pin, i) {
    const { cockpit } = this;
    const name = h("input", { type: "text", maxlength: 60, "aria-label": `Name of pin ${i + 1}` });
    name.value = pin.name;
    name.addEventListener("change", () => cockpit.act({ do: "rename", pin: i, name: name.value }));
    const cells = COLUMNS.map(([key]) => {
      const parts = { value: h("b", {}), difference: h("small", {}) };
      return { key, ...parts, element: h("td", { "data-pin": i, "data-number": key }, parts.value, parts.difference) };
    });
    const back = h("button", { type: "button", class: "small", title: "Make this the present setting", onclick: () => cockpit.goTo(pin) }, "Go to");
    const drop = h("button", { type: "button", class: "icon", title: `Unpin ${pin.name}`, "aria-label": `Unpin ${pin.name}`, onclick: () => cockpit.act({ do: "remove", pin: i }) }, "×");
    return { pin, name, cells, element: h("tr", {}, h("th", { scope: "row" }, h("div", { class: "named" }, dash(DASHES[i]), name)), ...cells.map((cell) => cell.element), h("td", {}, h("div", { class: "tools" }, back, drop))) };
  }

  update({ config, pins, facts, oodName }) {
    const full = config.pins.length >= MOST;
    setAttribute(this.add, "aria-disabled", String(full));
    setAttribute(this.add, "title", full ? "Four are pinned already; unpin one first" : "Keep this setting to compare others with it");
    this.table.hidden = !pins.length;
    this.rows.forEach((row, i) => {
      setField(row.name, config.pins[i].name);
      const found = facts?.pins?.[i];
      for (const [c, cell] of row.cells.entries()) {
        const [key, , format, difference] = COLUMNS[c];
        setText(cell.value, pins[i] ? format(pins[i].metrics[key]) : "–");
        setText(cell.difference, found ? inWords(found[key], difference) : "");
        cell.difference.classList.toggle("open", Boolean(found && !found[key].decided));
      }
    });
    const left = config.pinsLeft ? ` ${config.pinsLeft} more belong to other layers or a narrower range of ε and are not shown.` : "";
    const what = `Numbers against ${oodName}; below them the present setting minus the pinned one, with paired 95 % bootstrap intervals once you let go.`;
    setText(this.note, (pins.length ? what : "Nothing is pinned: pin a setting to lay its curves under the next ones and see whether they truly differ.") + left);
  }
}

function inWords({ value, low, high, decided }, format) {
  const signed = (v) => (v > 0 ? "+" : v < 0 ? "−" : "±") + format(Math.abs(v));
  return `${signed(value)} [${signed(low)}, ${signed(high)}]${decided ? "" : ": not decided"}`;
}

/** A piece of the pin's line, as in the charts. */
function dash(dashes) {
  let at = 0;
  const stops = dashes.map((length, i) => `${i % 2 ? "transparent" : "currentColor"} ${at}px ${(at += length)}px`);
  return h("i", { class: "dash", "aria-hidden": "true", style: `background:repeating-linear-gradient(to right, ${stops.join(", ")})` });
}
