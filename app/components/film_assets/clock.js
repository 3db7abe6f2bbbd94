// Clock: where in the film we are. One interval between two checkpoints takes the same time, whatever its steps.

const INTERVAL = 800; // ms between two checkpoints at speed 1
const LONGEST = 100; // ms that one frame may advance, after the tab was hidden say

export const SPEEDS = [0.5, 1, 2, 4];

export class Clock {
  constructor() {
    this.position = 0; // 0 .. last, whole at checkpoints
    this.last = 0;
    this.playing = false;
    this.speed = 1;
    this.loop = false;
    this.before = null;
  }

  play() {
    if (this.position >= this.last) this.position = 0;
    this.playing = this.last > 0;
    this.before = null;
  }

  pause() {
    this.playing = false;
  }

  seek(position) {
    this.position = Math.min(this.last, Math.max(0, position));
  }

  /** The next or last checkpoint from here: by +1 or -1. */
  neighbour(by) {
    const here = this.position;
    return by > 0 ? Math.floor(here + 1e-6) + 1 : Math.ceil(here - 1e-6) - 1;
  }

  /** The checkpoint nearest to here: its numbers are shown. */
  get nearest() {
    return Math.round(this.position);
  }

  /** The interval [k, k + 1] the picture is in; at a checkpoint the one that led there. */
  get interval() {
    return Math.max(0, Math.ceil(this.position - 1e-6) - 1);
  }

  /** Goes on to the time of this frame; true once the end is reached. */
  advance(now) {
    const spent = this.before === null ? 0 : Math.min(LONGEST, now - this.before);
    this.before = now;
    this.position += (spent / INTERVAL) * this.speed;
    if (this.position < this.last) return false;
    if (this.loop) {
      this.hold = (this.hold ?? 0) + spent; // rests at the end before it begins again
      this.position = this.last;
      if (this.hold > INTERVAL) {
        this.hold = 0;
        this.position = 0;
      }
      return false;
    }
    this.position = this.last;
    this.playing = false;
    return true;
  }
}
