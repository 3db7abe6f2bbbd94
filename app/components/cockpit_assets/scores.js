// Entry of the carrier component: it shows nothing and keeps one data set's scores in the page.
import { hold, release } from "./store.js";

export default function carry({ data, parentElement }) {
  hold(parentElement, data);
  return () => release(parentElement);
}
