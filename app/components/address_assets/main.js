// Streamlit makes every change of the address a new step of the browser's history. What a page writes there of its own
// (the setting) is no step: it takes the place of what stood there, so that Back leads to the page before.
const PATCHED = Symbol.for("fssd.address");

/** What is left of an address without the parameters of these names, their order set aside. */
export function rest(url, names) {
  const others = [...url.searchParams].filter(([name]) => !names.includes(name));
  return JSON.stringify([url.pathname, url.hash, others.sort()]);
}

/** A pushState that replaces where `from()` and the new address differ in parameters of these names alone. */
export function replacing(history, push, from, names) {
  return function pushState(state, title, url) {
    const here = new URL(from());
    const there = new URL(url ?? here, here);
    if (rest(here, names) === rest(there, names)) history.replaceState(state, title, url);
    else push.call(history, state, title, url);
  };
}

/** Stays in force once it is there: a later visit of the page writes its address before this is mounted again. */
export default function mount({ data }) {
  if (window.history[PATCHED]) return;
  window.history[PATCHED] = true;
  window.history.pushState = replacing(window.history, window.history.pushState, () => window.location.href, data.names);
}
