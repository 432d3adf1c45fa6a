"use strict";
// Elements. Strings of entries become text nodes and attributes that name no code, never markup.

function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// Attributes that are null, undefined or false are left out; functions listen.
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  const kept = children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);
  node.append(...kept);
  return node;
}

// A link that leaves the page; any other address stays text.
function outside(address, text) {
  if (!address || !address.startsWith("https://")) return address || "";
  return make("a", { href: address, rel: "noopener noreferrer" }, text);
}

// Wide content scrolls by itself, with the keyboard too.
function scrolling(label, ...children) {
  return make("div", { class: "wide", role: "region", "aria-label": label, tabindex: 0 }, children);
}

function copyable(text) {
  const shown = make("pre", { tabindex: 0 }, text);
  const button = make("button", { type: "button", class: "copy", click: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(shown);
      button.textContent = "Selected: press Ctrl-C";
    }
  }
  return make("div", { class: "copyable" }, shown, button);
}

// Terms and what belongs to them; without those that have nothing.
function facts(entries) {
  const told = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return make("dl", {}, told.map(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
}

const number = (text) => { const value = parseFloat(text); return Number.isNaN(value) ? null : value; };
const points = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
const signed = (value) => {
  const text = points(Math.abs(value));
  return parseFloat(text) === 0 ? text : (value < 0 ? "\u2212" : "+") + text;
};
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
