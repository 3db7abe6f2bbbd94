// Entry of the component: one cockpit for each place on the page, told again whenever data or theme change.
import { Cockpit } from "./cockpit.js";

const cockpits = new WeakMap();

export default function mount(component) {
  const { parentElement } = component;
  if (!cockpits.has(parentElement)) cockpits.set(parentElement, new Cockpit(parentElement));
  cockpits.get(parentElement).receive(component);
  return () => {
    cockpits.get(parentElement)?.destroy();
    cockpits.delete(parentElement);
  };
}
