// Small images with their score and verdict; each is a button that opens it.

const pages = new WeakMap();

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function thumb(item, open) {
  const verdict = item.accepted === null ? "none" : item.accepted ? "accepted" : "rejected";
  const button = make(
    "button",
    { type: "button", class: `thumb ${verdict}`, "data-row": item.row, "aria-label": `${item.label}. Open in Inspect`, title: `${item.label}. Open in Inspect` },
    make("img", { src: item.src, alt: "" }),
    make("b", {}, item.title),
    make("span", {}, `row ${item.row}`),
  );
  if (item.score !== null) button.append(make("span", { class: "score" }, item.score), make("span", { class: "verdict" }, `${item.accepted ? "✓" : "✗"} ${verdict}`));
  if (item.ref === null) button.disabled = true;
  button.addEventListener("click", () => open({ set: item.ref, row: item.row }));
  return make("li", {}, button);
}

export default function thumbs({ data, parentElement, setTriggerValue }) {
  if (!pages.has(parentElement)) {
    const list = make("ul", { class: "thumbs" });
    parentElement.append(list);
    pages.set(parentElement, list);
  }
  const list = pages.get(parentElement);
  list.setAttribute("aria-label", data.label);
  for (const [name, value] of Object.entries(data.colours)) list.style.setProperty(`--${name}`, value);
  list.replaceChildren(...data.items.map((item) => thumb(item, (what) => setTriggerValue("open", what))));
  return () => {
    list.remove();
    pages.delete(parentElement);
  };
}
