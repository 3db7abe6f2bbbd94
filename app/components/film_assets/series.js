// Series: which lines each chart shows, from the dynamics, the chosen layer, radius mode and comparison. No DOM here.
import { rangeOf } from "./plot.js";

/** All charts of the column that these numbers allow: [{name, title, unit, words, series, low, high, ...}]. */
export function chartsOf(model, { mode, theme, palette, hidden, compare }) {
  const { dynamics, header } = model;
  if (!dynamics) return [];
  const groups = header.groups
    .map((group, g) => ({ group, g, colour: group.colours[theme] }))
    .filter(({ group }) => !hidden.has(group.name));
  const charts = [distances(dynamics, groups, mode), aurocs(dynamics, groups, compare, header), norms(dynamics, groups, mode)];
  const single = (values, label, colour) => [{ values, label, colour, strong: true, width: 2 }];
  if (dynamics.accuracy) {
    const series = single(dynamics.accuracy, "accuracy", palette.text);
    charts.push({ name: "accuracy", title: "Test accuracy", unit: "", series, low: 0, high: 1.04, wanted: 2, percent: true, labels: false, small: true });
  }
  if (dynamics.loss) {
    const series = single(dynamics.loss, "loss", palette.text);
    charts.push({ name: "loss", title: "Training loss", unit: "", series, ...rangeOf(series, { zero: true }), wanted: 2, labels: false, small: true });
  }
  return charts;
}

function distances(dynamics, groups, mode) {
  const k = dynamics.layer;
  const median = dynamics.median(k);
  const relative = mode === "median";
  const scaled = (values) => (relative ? values.map((v, t) => v / median[t]) : values);
  const series = groups.map(({ group, g, colour }) => ({
    name: group.name,
    label: group.label,
    colour,
    values: scaled(dynamics.series("mean", k, g)),
    low: scaled(dynamics.series("low", k, g)),
    high: scaled(dynamics.series("high", k, g)),
  }));
  const [from, to] = dynamics.quantiles.map((q) => Math.round(100 * q));
  return {
    name: "distance",
    title: `Distance to F* in ${dynamics.layers[k]}`,
    unit: relative ? "÷ ind median" : mode === "log" ? "‖F − F*‖, log" : "‖F − F*‖",
    words: `mean; shaded: ${from === 25 && to === 75 ? "the middle half" : `${from} to ${to} %`} of the images`,
    series,
    log: mode === "log",
    ...rangeOf(series, { log: mode === "log", zero: mode !== "log", include: relative ? [1] : [] }),
    refs: relative ? [{ value: 1, text: "" }] : [],
  };
}

/** AUROC of the distance alone: every ood set in this layer, or one set in every layer. */
function aurocs(dynamics, groups, compare, header) {
  const base = { name: "auroc", low: 0, high: 1.04, wanted: 3, refs: [{ value: 0.5, text: "chance" }], choice: true };
  const one = groups.find(({ group }) => group.kind !== "ind" && group.name === compare);
  if (one) {
    const K = dynamics.layers.length;
    const series = dynamics.layers.map((layer, k) => ({
      name: layer,
      label: layer,
      colour: one.colour,
      values: dynamics.series("auroc", k, one.g),
      alpha: 0.35 + (0.65 * (k + 1)) / K,
      dash: k === dynamics.layer ? [] : DASHES[(K - 1 - k) % DASHES.length],
      width: k === dynamics.layer ? 2.4 : 1.5,
      strong: k === dynamics.layer,
    }));
    return { ...base, title: `AUROC of each layer, ${one.group.label}`, unit: "", series };
  }
  const series = groups
    .filter(({ group }) => group.kind === "ood" || (group.kind === "noise" && header.groups.length < 4))
    .map(({ group, g, colour }) => ({ name: group.name, label: group.label, colour, values: dynamics.series("auroc", dynamics.layer, g) }));
  return { ...base, title: `AUROC in ${dynamics.layers[dynamics.layer]}`, unit: "", series };
}

const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2]];

function norms(dynamics, groups, mode) {
  const series = groups.map(({ group, g, colour }) => ({
    name: group.name,
    colour,
    label: group.label,
    values: dynamics.series("norm", dynamics.layer, g),
  }));
  const log = mode === "log";
  return {
    name: "norm",
    title: "Feature norm",
    unit: log ? "‖F‖, log" : "‖F‖",
    words: "a rival score: no F* needed",
    series,
    log,
    ...rangeOf(series, { log, zero: !log }),
    wanted: 2,
    labels: false,
  };
}
