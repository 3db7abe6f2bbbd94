// Entry of the component: one pad for each place on the page.
import { Pad } from "./pad.js";

const pads = new WeakMap();

export default function mount(component) {
  const { parentElement } = component;
  if (!pads.has(parentElement)) pads.set(parentElement, new Pad(parentElement));
  pads.get(parentElement).receive(component);
  return () => {
    pads.get(parentElement)?.destroy();
    pads.delete(parentElement);
  };
}
