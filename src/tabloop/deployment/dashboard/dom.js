// Elements made of values: text goes in as text, never as markup, so that no value can become an element.

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") listen(element, name, value);
    else if (name === "value") {
      element.value = value;
      element.setAttribute("value", value);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// One listener an event, which looks up what to do: an element that stays gets what the new one would have done.
function listen(element, type, act) {
  element.acts ??= {};
  if (!(type in element.acts)) element.addEventListener(type, (event) => element.acts[type]?.(event));
  element.acts[type] = act;
}

export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) =>
  build(document.createElementNS(SVG, tag), attributes, children);

// Make what is shown into what should be shown, and leave alone what is equal: focus, scrolling, opened details
// and what was typed stay.
export function show(container, ...wanted) {
  const fresh = container.cloneNode(false);
  append(fresh, wanted);
  mergeChildren(container, fresh);
}

function mergeChildren(old, fresh) {
  const wanted = [...fresh.childNodes];
  wanted.forEach((node, place) => {
    const there = old.childNodes[place];
    if (!there) old.append(node);
    else if (isSame(there, node)) merge(there, node);
    else old.replaceChild(node, there);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

const isSame = (a, b) =>
  a.nodeType === b.nodeType &&
  a.nodeName === b.nodeName &&
  (a.nodeType !== Node.ELEMENT_NODE || (a.dataset?.key === b.dataset?.key && a.type === b.type));

function merge(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open"))
      old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
      if (name === "value" && old !== document.activeElement) old.value = value;
    }
  }
  for (const type of Object.keys(old.acts ?? {})) if (!(type in (fresh.acts ?? {}))) delete old.acts[type];
  for (const [type, act] of Object.entries(fresh.acts ?? {})) listen(old, type, act);
  const chosen = old.nodeName === "SELECT" ? old.value : null;
  mergeChildren(old, fresh);
  if (chosen !== null) {
    const own = fresh.getAttribute("data-value") ?? chosen;
    if ([...old.options].some((option) => option.value === own)) old.value = own;
  }
}

// Characters that would turn a text around, or hide, are shown as what they are.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const code = (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;

export function visible(text, most = 120) {
  const characters = [...String(text).slice(0, 2 * most + 2)];
  const short = characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : characters.join("");
  return short.replace(HIDDEN, code);
}

// What strangers wrote keeps its direction to itself.
export const stranger = (text, most = 80) =>
  h("bdi", String(text).length > most ? { title: visible(text, 600) } : {}, visible(text, most));

// What stands between two backticks is code.
export function prose(text, most = 1000) {
  return visible(text, most)
    .split("`")
    .map((part, place) => (place % 2 ? h("code", null, part) : part));
}

export const announce = (text) => {
  document.getElementById("said").textContent = text;
};

// A way back to what was focused: the element that opens the same, since what was drawn anew may be another.
export function wayBack() {
  const opener = document.activeElement;
  const { open } = opener.dataset;
  const same = () => [...document.querySelectorAll("[data-open]")].find((each) => each.dataset.open === open);
  return () => ((open === undefined ? null : same()) ?? opener).focus();
}

// The button that closes what was opened.
export function closing(close) {
  return h("p", null, h("button", { type: "button", click: close }, "Close"));
}

export function table(caption, headers, rows, { stacked = true, hideCaption = true } = {}) {
  const cell = (value, place) => {
    const content = value?.content ?? value;
    const attributes = {
      class: value?.figure ? "figure" : null,
      "data-of": headers[place]?.label ?? headers[place],
    };
    if (content === "" || content === null || content === undefined) attributes.class = "empty";
    return place === 0 ? h("th", { scope: "row" }, content) : h("td", attributes, content);
  };
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { class: stacked ? "stacks" : null },
      h("caption", { class: hideCaption ? "hidden" : null }, caption),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          headers.map((header) => h("th", { scope: "col", ...header.attributes }, header.content ?? header)),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map((row) => h("tr", { "data-key": row.key }, (row.cells ?? row).map(cell))),
      ),
    ),
  );
}

export const figure = (content) => ({ figure: true, content });
export const empty = (words) => h("p", { class: "nothing" }, words);
export const tile = (label, value, below, tone) =>
  h(
    "li",
    { class: tone ?? null },
    h("span", { class: "label" }, label),
    " ",
    h("strong", null, value),
    " ",
    h("span", { class: "below" }, below),
  );
