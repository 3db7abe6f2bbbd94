// Input: keys and pointer on the stage. What they do stands in film.js.
import { clamp } from "../scatter_assets/1_numbers.js";

const NEAR = 14; // CSS pixels between pointer and point

/** Keys of the whole component: space, arrows, Home, End; on the stage also N, P, Enter, Escape. */
export function listenToKeys(film) {
  const { root, stage } = film.parts;
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const isSlider = target.matches?.(".scrubber");
    if (target.matches?.("select, input:not(.scrubber)")) return;
    const onButton = target.matches?.("button");
    const acts = {
      " ": onButton ? null : () => film.toggle(),
      k: () => film.toggle(),
      ArrowRight: () => film.go(film.clock.neighbour(1)),
      ArrowLeft: () => film.go(film.clock.neighbour(-1)),
      ArrowUp: isSlider ? () => film.go(film.clock.neighbour(1)) : null,
      ArrowDown: isSlider ? () => film.go(film.clock.neighbour(-1)) : null,
      PageUp: isSlider ? () => film.go(Math.round(film.clock.position) + 5) : null,
      PageDown: isSlider ? () => film.go(Math.round(film.clock.position) - 5) : null,
      Home: () => film.go(0),
      End: () => film.go(film.clock.last),
      l: () => film.setLoop(!film.clock.loop),
    };
    const onStage = { n: () => step(film, 1), p: () => step(film, -1), Enter: () => film.pinHovered(), Escape: () => film.hover(-1) };
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = acts[name] ?? (target === stage ? onStage[name] : null);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

/** Goes through the visible points by their true distance to F* now, nearest first, and reads each out. */
function step(film, by) {
  const t = film.clock.nearest;
  const order = Uint32Array.from(film.shownOrder).sort((a, b) => film.model.at(t, a) - film.model.at(t, b) || a - b);
  if (!order.length) return;
  const now = film.hovered < 0 ? -1 : order.indexOf(film.hovered);
  const next = now < 0 ? (by > 0 ? 0 : order.length - 1) : clamp(now + by, 0, order.length - 1);
  film.hover(order[next], true);
}

export function listenToPointer(film) {
  const { stage } = film.parts;
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") film.hover(film.pointAt(...place(event), NEAR));
  });
  stage.addEventListener("pointerleave", () => film.hover(-1));
  stage.addEventListener("blur", () => film.hover(-1));
  stage.addEventListener("click", (event) => {
    if (event.target.closest?.("button")) return;
    const index = film.pointAt(...place(event), event.pointerType === "touch" ? 2 * NEAR : NEAR);
    film.hover(index);
    if (index >= 0) film.togglePin(index);
  });
}
