// Thresholds by rule, and what they mean at a stated prevalence: fssd_core/operating_point.py in the page. No DOM.
// `choice` is {by, tpr, fpr, miss, alarm, alarms, images, prevalence}; prevalence is the expected share of ood.
import { thresholdAtTpr } from "./metrics.js";

/** The rule's threshold; Infinity where it is to accept nothing. `ind` is sorted, `curve` as metrics.evaluate fills it. */
export function chooseThreshold(ind, curve, oodCount, choice) {
  if (choice.by === "tpr") return thresholdAtTpr(ind, choice.tpr);
  if (choice.by === "alarms") return byAlarms(ind, choice);
  return curve.thresholds[choice.by === "fpr" ? stepByFpr(curve, oodCount, choice.fpr) : stepByCost(curve, ind.length, oodCount, choice)];
}

/** Whether the rule looks at ood images, and so at their labels. */
export function usesOod(choice) {
  return choice.by === "fpr" || choice.by === "cost";
}

/** The last step of the curve that accepts at most the share `fpr` of ood. */
function stepByFpr(curve, oodCount, fpr) {
  let low = 0;
  let high = curve.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (curve.fp[middle] / oodCount <= fpr) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The step of least expected cost; of equal ones the last, which accepts most. */
function stepByCost({ tp, fp, length }, indCount, oodCount, choice) {
  const missed = choice.prevalence * choice.miss;
  const alarmed = (1 - choice.prevalence) * choice.alarm;
  let best = Infinity;
  let step = 0;
  for (let s = 0; s < length; s++) {
    const cost = missed * (fp[s] / oodCount) + alarmed * ((indCount - tp[s]) / indCount);
    if (cost <= best) {
      best = cost;
      step = s;
    }
  }
  return step;
}

/** Rejects as many ind images as the budget of a day spares. */
function byAlarms(ind, choice) {
  const spare = spareOf(ind.length, choice);
  return spare < ind.length ? ind[spare] : Infinity;
}

/** Most of `count` ind images that may be rejected within the budget of alarms. */
export function spareOf(count, { alarms, images, prevalence }) {
  const daily = (1 - prevalence) * images;
  let low = 0;
  let high = count + 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (daily * (middle / count) <= alarms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** What rates mean at the stated prevalence: shares of all images, and of the accepted and the rejected. */
export function outlook({ tpr, fpr }, { prevalence, miss, alarm }) {
  const missed = prevalence * fpr;
  const falseAlarms = (1 - prevalence) * (1 - tpr);
  const accepted = missed + (1 - prevalence) * tpr;
  const rejected = falseAlarms + prevalence * (1 - fpr);
  return {
    ...{ missed, falseAlarms, accepted, rejected },
    oodAmongAccepted: missed / accepted,
    indAmongRejected: falseAlarms / rejected,
    cost: prevalence * miss * fpr + (1 - prevalence) * alarm * (1 - tpr),
  };
}
