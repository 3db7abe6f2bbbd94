// Legend: one line a group - its marker, and its numbers at this checkpoint - and a switch that hides it.
import { count, h, setText } from "../cockpit_assets/dom.js";
import { drawMarker, drawStar } from "../scatter_assets/2_markers.js";
import { formatNumber } from "../scatter_assets/1_numbers.js";

export function swatch(marker, colour, ratio) {
  const canvas = h("canvas", { class: "swatch", "aria-hidden": "true" });
  canvas.width = canvas.height = 18 * ratio;
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  if (marker === "star") drawStar(ctx, 9, 9.5, 7, { background: "transparent", ...colour });
  else drawMarker(ctx, marker, 9, 9, 4.6, colour, null);
  return canvas;
}

/** The numbers of group g at checkpoint t: measured on all samples where the dynamics are there, else on the drawn points. */
export function numbersOf(model, g, t) {
  const { dynamics, header } = model;
  if (!dynamics) {
    const mean = model.means[g][t];
    return { mean, ratio: mean / header.indMedian[t], auroc: NaN, count: header.groups[g].stop - header.groups[g].start };
  }
  const k = dynamics.layer;
  const mean = dynamics.series("mean", k, g)[t];
  return { mean, ratio: mean / dynamics.median(k)[t], auroc: dynamics.series("auroc", k, g)[t], count: dynamics.counts?.[g] ?? NaN };
}

const TIP = "Click: hide or show. Double click, Alt-click or key I: show alone.";

export class Legend {
  /** `actions`: toggle(name), isolate(name), showAll(). */
  constructor(node, actions) {
    this.node = node;
    this.actions = actions;
  }

  /** Builds the lines anew for a model and a theme. */
  build(model, { theme, colours, ratio }) {
    this.model = model;
    const head = h(
      "div",
      { class: "row headings", "aria-hidden": "true" },
      h("span", { class: "label" }, "Groups"),
      h("span", { title: "Mean distance to F* in the layer's own units" }, "distance"),
      h("span", { title: "Mean distance over the ind median: below 1, nearer to F* than most of ind" }, "÷ ind"),
      h("span", { title: "AUROC of this layer's distance alone; below 0.5 the group lies farther from F* than ind" }, "AUROC"),
    );
    this.rows = model.header.groups.map((group) => this.#row(group, theme, ratio));
    const star = h("div", { class: "row star" }, swatch("star", colours, ratio), h("span", { class: "label" }, "F*, the singularity"), h("span", {}, "0"), h("span", {}, "0"), h("span", {}, ""));
    this.all = h("button", { type: "button", class: "all", hidden: true, onclick: () => this.actions.showAll() }, "Show all");
    this.node.replaceChildren(head, ...this.rows.map((r) => r.button), star, this.all);
    this.shown = null;
  }

  #row(group, theme, ratio) {
    const cells = ["distance", "ratio", "auroc"].map((name) => h("span", { "data-number": name }));
    const act = (event) => (event.detail >= 2 || event.altKey ? this.actions.isolate(group.name) : this.actions.toggle(group.name));
    const button = h(
      "button",
      { type: "button", class: "row item", "data-group": group.name, title: TIP, onclick: act, onkeydown: (event) => event.key.toLowerCase() === "i" && !event.ctrlKey && !event.metaKey && this.actions.isolate(group.name) },
      swatch(group.marker, group.colours[theme], ratio),
      h("span", { class: "label" }, group.label),
      ...cells,
    );
    return { button, cells, group };
  }

  /** Shows the numbers of checkpoint t. */
  update(t, hidden) {
    const state = `${t}|${[...hidden].join()}`;
    if (state === this.shown) return;
    this.shown = state;
    this.rows.forEach(({ button, cells, group }, g) => {
      const { mean, ratio, auroc, count: size } = numbersOf(this.model, g, t);
      setText(cells[0], formatNumber(mean));
      setText(cells[1], Number.isFinite(ratio) ? ratio.toFixed(2) : "–");
      setText(cells[2], group.kind === "ind" || !Number.isFinite(auroc) ? "–" : auroc.toFixed(3));
      cells[2].classList.toggle("inverted", auroc < 0.5);
      button.setAttribute("aria-pressed", String(!hidden.has(group.name)));
      const words = Number.isFinite(size) ? `${count(size)} images` : "";
      const said = group.kind === "ind" || !Number.isFinite(auroc) ? "" : `, AUROC ${auroc.toFixed(3)}`;
      button.setAttribute("aria-label", `${group.label}: ${words}, mean distance ${formatNumber(mean)}, ${ratio.toFixed(2)} of the ind median${said}`);
    });
    this.all.hidden = hidden.size === 0;
  }
}
