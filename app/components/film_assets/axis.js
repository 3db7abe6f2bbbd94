// Axis: training by checkpoint, evenly spaced, which is nearly logarithmic in steps; shared by all charts.
import { count } from "../cockpit_assets/dom.js";

/** Which checkpoints get a label where each may take its own width: the ends first, then round steps, evenly. */
export function labelled(steps, xOf, widthOf, gap = 10) {
  const last = steps.length - 1;
  const taken = [];
  const fits = (k) => {
    const [x, half] = [xOf(k), widthOf(count(steps[k])) / 2];
    return taken.every((t) => Math.abs(t.x - x) >= t.half + half + gap) && taken.push({ k, x, half });
  };
  for (const k of [0, last]) fits(k);
  const round = (step) => Number(String(step).replace(/0+$/, "") || 0);
  const others = steps.map((_, k) => k).slice(1, -1);
  others.sort((a, b) => roundness(round(steps[a])) - roundness(round(steps[b])) || a - b);
  others.forEach(fits);
  return taken.map((t) => t.k).sort((a, b) => a - b);
}

/** 0 for 1, 10, 100 ..., 1 for 2 and 5 times those, more for others. */
function roundness(digits) {
  return digits === 1 ? 0 : digits === 2 || digits === 5 ? 1 : digits < 10 ? 2 : 3;
}

/** 'step 938, epoch 1.00, test accuracy 84.9 %' of a checkpoint. */
export function placeWords(header, dynamics, t) {
  const parts = [header.steps[t] === 0 ? "step 0, untrained: the baseline" : `step ${count(header.steps[t])}`];
  if (header.epochs) parts.push(`epoch ${epochText(header.epochs[t])}`);
  if (dynamics?.accuracy) parts.push(`test accuracy ${accuracyText(dynamics.accuracy[t])}`);
  return parts.join(", ");
}

/** 14, 1.0 or 0.021: at least two significant digits. */
export function epochText(epoch) {
  if (!Number.isFinite(epoch)) return "–";
  return epoch >= 10 ? epoch.toFixed(0) : epoch >= 1 || epoch === 0 ? epoch.toFixed(1).replace(/^0\.0$/, "0") : String(Number(epoch.toPrecision(2)));
}

export function accuracyText(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}
