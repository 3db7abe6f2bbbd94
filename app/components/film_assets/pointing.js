// Pointing: the hovered point with its tooltip, and the pinned ones whose trails are drawn.
import { setText } from "../cockpit_assets/dom.js";
import { fillPins, fillTooltip, placeTooltip } from "./points_info.js";
import { Stage } from "./stage.js";

const MOST_PINS = 8;

export class Pointing extends Stage {
  togglePin(index) {
    const place = this.pins.indexOf(index);
    if (place >= 0) this.pins.splice(place, 1);
    else if (this.pins.length >= MOST_PINS) return setText(this.parts.live, `${MOST_PINS} points are followed already; let one go first.`);
    else this.pins.push(index);
    this.pinsChanged();
    return undefined;
  }

  pinHovered() {
    if (this.hovered >= 0) this.togglePin(this.hovered);
  }

  pinsChanged() {
    const { header, groupOf, row } = this.model;
    this.memory.pins = this.pins.map((i) => ({ group: header.groups[groupOf[i]].name, row: row[i] }));
    this.fillPins();
    this.showTooltip();
    this.draw();
  }

  fillPins() {
    const { header, groupOf, row } = this.model;
    fillPins(this.parts.pins, this.model, this.pins, this.clock.nearest, {
      colourOf: (i) => this.colourOf(i),
      ratio: this.ratio ?? 1,
      canInspect: header.inspect,
      actions: {
        unpin: (i) => this.togglePin(i),
        open: (i) => this.trigger("open", { group: header.groups[groupOf[i]].name, row: row[i] }),
      },
    });
  }

  hover(index, aloud = false) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.parts.stage.classList.toggle("over-point", index >= 0);
    this.showTooltip(aloud);
    this.schedule();
  }

  showTooltip(aloud = false) {
    const { tooltip, live } = this.parts;
    tooltip.hidden = this.hovered < 0;
    if (this.hovered < 0) return;
    const about = { colour: this.colourOf(this.hovered), ratio: this.ratio, pinned: this.pins.includes(this.hovered) };
    const said = fillTooltip(tooltip, this.model, this.hovered, this.clock.nearest, about);
    this.tipSize = [tooltip.offsetWidth, tooltip.offsetHeight];
    this.moveTooltip();
    if (aloud) setText(live, said);
  }

  moveTooltip() {
    if (this.hovered < 0) return;
    const [x, y] = this.pixelOf(this.hovered);
    placeTooltip(this.parts.tooltip, x, y, this.tipSize, this.scene.width, this.scene.height);
  }
}
