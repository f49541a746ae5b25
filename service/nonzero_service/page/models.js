// The list of models: links, of which one is reached by Tab and the others by arrow keys.

import { byId, html, say, show } from "./dom.js";
import { count } from "./words.js";

const FIND = 8; // more models than this can be searched
const items = new Map();
let chosen = "";

/** Return the fragment that shows a model. */
export const fragmentOf = (model, range) =>
  `#${new URLSearchParams({ model, ...(range ? { range } : {}) })}`;

/** Show the models of the service. */
export function showModels(models, current) {
  const list = byId("models-list");
  const names = new Set(models.map((one) => one.model));
  for (const [name, item] of items) if (!names.has(name) && items.delete(name)) item.remove();
  let before = null;
  for (const one of models) {
    let item = items.get(one.model);
    if (!item) {
      item = html("li", {}, html("a", { href: fragmentOf(one.model), title: one.model }, html("span", { class: "name" }, one.model), html("span", { class: "size" })));
      items.set(one.model, item);
    }
    note(one);
    const next = before ? before.nextSibling : list.firstChild;
    if (next !== item) list.insertBefore(item, next);
    before = item;
  }
  say("models-count", count(models.length));
  show("models-filter-label", models.length > FIND);
  choose(current);
}

/** Note in the list how far a model is, or that its learning is paused. */
export function note({ model, sequence, learning }) {
  const item = items.get(model);
  if (!item) return;
  say(item.querySelector(".size"), learning?.paused ? "paused" : count(sequence));
  item.classList.toggle("stopped", Boolean(learning?.paused));
}

/** Mark the chosen model. */
export function choose(current) {
  const moved = current !== chosen;
  chosen = current;
  for (const [name, item] of items) {
    const link = item.firstChild;
    if (name === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  filter();
  if (moved) items.get(current)?.scrollIntoView({ block: "nearest" });
}

const links = () => [...byId("models-list").querySelectorAll("li:not([hidden]) > a")];

function filter() {
  const wanted = byId("models-filter").value.trim().toLowerCase();
  for (const [name, item] of items) {
    const hidden = !name.toLowerCase().includes(wanted);
    if (item.hidden !== hidden) item.hidden = hidden;
  }
  const shown = links();
  show("models-none", items.size > 0 && !shown.length);
  const focused = shown.includes(document.activeElement) ? document.activeElement : null;
  const first = focused ?? shown.find((link) => link.hasAttribute("aria-current")) ?? shown[0];
  for (const link of shown) link.tabIndex = link === first ? 0 : -1;
}

byId("models-filter").addEventListener("input", filter);
byId("models-filter").addEventListener("keydown", (event) => {
  const [first] = links();
  if (!first || (event.key !== "ArrowDown" && event.key !== "Enter")) return;
  event.preventDefault();
  first.focus();
  if (event.key === "Enter") first.click();
});
byId("models-list").addEventListener("focusin", filter);
byId("models-list").addEventListener("keydown", (event) => {
  const shown = links();
  const at = shown.indexOf(event.target);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: shown.length - 1 }[event.key];
  if (to === undefined || at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  shown[Math.min(shown.length - 1, Math.max(0, to))].focus();
});

// On a phone the list is folded, and folds again when one was chosen.
const narrow = matchMedia("(max-width: 52rem)");
const fold = () => (byId("models-fold").open = !narrow.matches);
narrow.addEventListener("change", fold);
byId("models-list").addEventListener("click", () => narrow.matches && fold());
fold();
