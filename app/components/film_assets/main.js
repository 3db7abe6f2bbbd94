// Entry of the component: one film for each place on the page, told again whenever data or theme change.
import { Film } from "./film.js";

const films = new WeakMap();

export default function mount(component) {
  const { parentElement } = component;
  if (!films.has(parentElement)) films.set(parentElement, new Film(parentElement));
  films.get(parentElement).receive(component);
  return () => {
    films.get(parentElement)?.destroy();
    films.delete(parentElement);
  };
}
