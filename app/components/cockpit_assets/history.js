// Undo and redo: the settings that were released, oldest first.

export class History {
  constructor(limit = 200) {
    this.limit = limit;
    this.entries = [];
    this.place = -1;
  }

  /** Adds a setting after the current place, unless nothing changed; what was undone is forgotten. */
  push(setting) {
    const entry = JSON.stringify(setting);
    if (this.entries[this.place] === entry) return false;
    this.entries.length = this.place + 1;
    this.entries.push(entry);
    if (this.entries.length > this.limit) this.entries.shift();
    this.place = this.entries.length - 1;
    return true;
  }

  get canUndo() {
    return this.place > 0;
  }

  get canRedo() {
    return this.place < this.entries.length - 1;
  }

  /** One step back (-1) or on (+1): the setting there, or null at the end. */
  step(by) {
    if (!(by < 0 ? this.canUndo : this.canRedo)) return null;
    this.place += by;
    return JSON.parse(this.entries[this.place]);
  }
}
