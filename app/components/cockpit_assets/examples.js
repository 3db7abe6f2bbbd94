// Entry of the carrier component: it shows nothing and keeps the example images in the page.
import { holdExamples } from "./gallery.js";

export default function carry({ data, parentElement }) {
  holdExamples(parentElement, data);
  return () => holdExamples(parentElement, null);
}
