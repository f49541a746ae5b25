// Elements, made of text only: what a service or its clients have named is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an element; strings among its children become text. */
export const html = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);

/** Make an element of SVG. */
export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

/** Find an element that the page has. */
export const byId = (id) => document.getElementById(id);

/** Set an element's text; one that stays the same is left alone, so that nothing is read out anew. */
export function say(element, text) {
  const node = typeof element === "string" ? byId(element) : element;
  if (node.textContent !== text) node.textContent = text;
  return node;
}

/** Show an element or hide it. */
export function show(element, shown) {
  const node = typeof element === "string" ? byId(element) : element;
  node.hidden = !shown;
  return node;
}

/** Put elements in the place of others that say something else; what is selected or focused in equal ones stays so. */
export function refill(parent, children) {
  const said = (nodes) => [...nodes].map((node) => node.textContent).join("\n");
  if (said(parent.children) !== said(children)) parent.replaceChildren(...children);
}

/** Have exactly these elements in another; those that are there already are not touched. */
export function arrange(parent, children) {
  if (children.length !== parent.children.length || children.some((child, i) => child !== parent.children[i])) parent.replaceChildren(...children);
}
