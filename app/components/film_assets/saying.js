// Saying: the numbers, words and controls round the stage, brought up to date with the clock.
import { count, setText } from "../cockpit_assets/dom.js";
import { formatNumber } from "../scatter_assets/1_numbers.js";
import { accuracyText, epochText, placeWords } from "./axis.js";
import { setIcon } from "./panel.js";
import { Pointing } from "./pointing.js";
import { updatePins } from "./points_info.js";

export class Saying extends Pointing {
  /** Slider, numbers and words; most of them change at checkpoints only. */
  texts() {
    const { parts, clock, model, pins } = this;
    const { header, dynamics } = model;
    parts.slider.value = String(clock.position);
    parts.slider.style.setProperty("--part", clock.last ? String(clock.position / clock.last) : "1");
    this.moveTooltip();
    const t = clock.nearest;
    const between = Math.abs(clock.position - t) > 1e-6;
    const state = `${t}|${clock.interval}|${between}|${this.mode}`;
    this.legend.update(t, this.hidden);
    if (state === this.shown) return;
    this.shown = state;
    setText(parts.stepValue, count(header.steps[t]));
    setText(parts.next, between ? `between ${count(header.steps[clock.interval])} and ${count(header.steps[clock.interval + 1])}` : "");
    setText(parts.epochValue, header.epochs ? epochText(header.epochs[t]) : "–");
    parts.epochValue.parentElement.hidden = !header.epochs;
    setText(parts.accuracyValue, dynamics?.accuracy ? accuracyText(dynamics.accuracy[t]) : "–");
    parts.accuracyValue.parentElement.hidden = !dynamics?.accuracy;
    setText(parts.medianValue, formatNumber(header.indMedian[t]));
    parts.badge.classList.toggle("off", header.steps[t] !== 0);
    parts.slider.setAttribute("aria-valuetext", placeWords(header, dynamics, t));
    const [frame, motion] = [header.words[t], header.motion[this.mode][clock.interval]];
    for (const [node, said] of [
      [parts.words, frame],
      [parts.motion, motion],
    ]) {
      setText(node, said?.text ?? "");
      node.classList.toggle("warn", Boolean(said?.warn));
    }
    setText(parts.ruler, this.rulerWords());
    updatePins(parts.pins, model, pins, t);
    if (this.hovered >= 0 && !clock.playing) this.showTooltip();
  }

  rulerWords() {
    const { header } = this.model;
    const outside = this.outside();
    const lost = outside ? ` ${count(outside)} point${outside === 1 ? "" : "s"} outside the frame.` : "";
    const circles = header.centred ? " Dashed: group means." : "";
    const what = header.centred ? "Radius: true distance to F*" : "Radius: distance to F* as far as the plane shows it";
    return `${what}, ${this.scale.words()}. ${header.angle}${circles}${lost}`;
  }

  faithWords() {
    const { header } = this.model;
    return [header.words[this.clock.nearest], header.motion[this.mode][this.clock.interval]].map((said) => said?.text ?? "");
  }

  controls() {
    const { play, speeds, loop, stage } = this.parts;
    const { playing, speed } = this.clock;
    setIcon(play, playing ? "pause" : "play");
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    play.title = playing ? "Pause (space)" : "Play (space)";
    stage.classList.toggle("playing", playing);
    loop.setAttribute("aria-pressed", String(this.clock.loop));
    for (const button of speeds) button.setAttribute("aria-pressed", String(Number(button.dataset.speed) === speed));
  }
}
