// State: the data of one chart, what is hidden, colours by meaning. Knows no pixels.

const remembered = new Map(); // what survives when Streamlit takes the element away and mounts it again, by key

class ChartState {
  take(next) {
    const previous = this.header;
    const { header } = next;
    this.model = next;
    this.header = header;
    if (!remembered.has(header.key)) {
      const fresh = { boxes: new Map(), hidden: new Set(header.hidden), mode: header.radiusMode, byClass: header.colourByClass };
      remembered.set(header.key, { ...fresh, selected: null, tool: "pan", chosen: new Map(), frame: null });
    }
    this.memory = remembered.get(header.key);
    if (previous && previous.radiusMode !== header.radiusMode) this.memory.mode = header.radiusMode;
    const count = next.distance.length;
    next.groupOf = new Uint8Array(count);
    header.groups.forEach((group, g) => next.groupOf.fill(g, group.start, group.stop));
    const ind = header.groups[0];
    this.sortedInd = next.distance.slice(ind.start, ind.stop).sort();
    this.classCounts = new Uint32Array(header.classNames.length);
    for (let i = ind.start; i < ind.stop; i++) if (next.label[i] >= 0) this.classCounts[next.label[i]]++;
    this.order = this.drawingOrder();
    this.steps = null;
    this.flagChosen();
    this.setHovered(-1);
  }

  /** ind beneath, then all ood shuffled among each other, then the few and small noise points. */
  drawingOrder() {
    const parts = { noise: [], ind: [], ood: [] };
    for (const group of this.header.groups) for (let i = group.start; i < group.stop; i++) parts[group.kind].push(i);
    return Uint32Array.from([...stableShuffle(parts.ind), ...stableShuffle(parts.ood), ...parts.noise]);
  }

  get hidden() {
    return this.memory.hidden;
  }

  get mode() {
    return this.header.centred ? this.memory.mode : "median";
  }

  get byClass() {
    return this.memory.byClass && this.header.classNames.length > 0;
  }

  isVisible(name) {
    return !this.memory.hidden.has(name);
  }

  classColour(index) {
    const colours = this.header.palette[this.theme].classes;
    return colours[index % colours.length];
  }

  chipColour(index) {
    return this.byClass ? this.classColour(index) : this.header.groups[0].colours[this.theme];
  }

  pointColour(index) {
    const group = this.header.groups[this.model.groupOf[index]];
    const label = this.model.label[index];
    return group.kind === "ind" && this.byClass && label >= 0 ? this.classColour(label) : group.colours[this.theme];
  }

  /** Which points show, in which style; called when groups, colours or sizes change. */
  restyle() {
    const { groups, classNames } = this.header;
    const { groupOf, label } = this.model;
    const styles = groups.map((g) => ({ marker: g.marker, colour: g.colours[this.theme] }));
    const classStart = styles.length;
    classNames.forEach((_, k) => styles.push({ marker: "circle", colour: this.classColour(k) }));
    this.styles = styles;
    this.styleOf = new Uint16Array(groupOf.length);
    this.visible = new Uint8Array(groupOf.length);
    const shown = groups.map((g) => this.isVisible(g.name));
    const classShown = classNames.map((_, k) => this.isVisible(`class:${k}`));
    let count = 0;
    for (let i = 0; i < groupOf.length; i++) {
      const ind = groups[groupOf[i]].kind === "ind";
      const known = ind && label[i] >= 0 && label[i] < classNames.length;
      this.styleOf[i] = known && this.byClass ? classStart + label[i] : groupOf[i];
      this.visible[i] = shown[groupOf[i]] && (!known || classShown[label[i]]) ? 1 : 0;
      count += this.visible[i];
    }
    this.shownCount = count;
    this.grid = null;
    this.steps = null;
    this.stamps = null;
    if (this.hovered >= 0 && !this.visible[this.hovered]) this.setHovered(-1);
    this.requestDraw();
  }

  selectedIndex() {
    const { selected } = this.memory;
    const group = selected && this.header.groups.find((g) => g.name === selected.group);
    if (!group) return -1;
    const place = this.model.row.subarray(group.start, group.stop).indexOf(selected.row);
    return place < 0 ? -1 : group.start + place;
  }
}
