"use strict";
// The page is whole without this; here are tabs, sorting, filtering, shades and copying.
const all = (selector, node = document) => [...node.querySelectorAll(selector)];

function show(number) {
  all("[role=tab]").forEach((tab, i) => {
    tab.setAttribute("aria-selected", String(i === number));
    tab.tabIndex = i === number ? 0 : -1;
  });
  all("[role=tabpanel]").forEach((panel, i) => { panel.hidden = i !== number; });
}

function tabs() {
  const found = all("[role=tab]");
  found.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (i + step + found.length) % found.length;
      show(next);
      found[next].focus();
    });
  });
  if (found.length) show(0);
}

const value = (row, column) => {
  const text = row.cells[column].textContent;
  const number = parseFloat(text);
  return column === 0 ? text : Number.isNaN(number) ? Infinity : number;
};

function sort(table, column, button) {
  const head = button.parentElement;
  const down = head.getAttribute("aria-sort") === "ascending";
  all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => row.cells.length > 1);
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    });
    body.append(...rows);
  }
}

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(table, column, button));
  });
}

function shade(table) {
  const first = [...table.tHead.rows[0].cells].findIndex((h) => h.textContent === "rank") + 1;
  const last = [...table.tHead.rows[0].cells].findIndex((h) => h.textContent === "mean");
  if (first < 1) return;
  for (const row of table.tBodies.length ? all("tbody tr", table) : []) {
    [...row.cells].slice(first, last).forEach((cell) => {
      const error = parseFloat(cell.textContent);
      if (!Number.isNaN(error)) {
        cell.style.backgroundColor = `rgba(var(--heat), ${Math.min(error, 100) / 250})`;
      }
    });
  }
}

function filter(input) {
  const words = input.value.toLowerCase();
  all("tbody tr", input.closest("[role=tabpanel]")).forEach((row) => {
    row.hidden = row.cells.length > 1 && !row.cells[0].textContent.toLowerCase().includes(words);
  });
}

function copying(button) {
  const text = button.previousElementSibling.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected: press Ctrl-C";
    }
  });
}

tabs();
all("table").forEach((table) => { sortable(table); shade(table); });
all("input[type=search]").forEach((input) => input.addEventListener("input", () => filter(input)));
all("button.copy").forEach(copying);
all("[data-script]").forEach((node) => { node.hidden = false; });
