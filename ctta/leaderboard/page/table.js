// A table of a panel: parts with headings, sorted within each, at most LIMIT rows until all are asked for.

const LIMIT = 100;

// options: table (number of the panel's table), state, changed (rows were chosen), choose (with boxes)
function tableOf(panel, options) {
  const { table, state } = options, shape = panel.tables[table];
  const axis = shape.bar !== undefined && barAxis(panel.rows);
  const bodies = [], region = make("div", {}), count = make("p", { class: "count" });
  let sorted = null, down = false, all = false;

  const head = ["method", ...shape.head].map((name, i) => {
    const column = i - 1;
    const button = make("button", { type: "button", click: () => sort(column) }, name);
    return make("th", { scope: "col", class: i ? null : "name" }, button);
  });

  function sort(column) {
    down = sorted === column ? !down : false;
    sorted = column;
    head.forEach((cell, i) => {
      if (i - 1 === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    update();
  }

  // Numbers before rows without one, whichever way; equal rows stay in the order of their means.
  function inOrder(rows) {
    if (sorted === null) return rows;
    const keys = new Map(rows.map((row) =>
      [row, sorted < 0 ? row.name : number(row.cells[table][sorted])]));
    return [...rows].sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
    });
  }

  function line(part, row) {
    const cells = row.cells[table].map((text, i) => {
      const cell = make("td", {});
      const shown = row.bold[table].includes(i) ? make("strong", {}, text) : text;
      cell.append(row.published !== undefined && text ? make("em", {}, shown) : shown);
      if (axis && i === shape.bar && row.mean !== undefined) cell.append(intervalBar(row, axis));
      const error = shape.shaded && !part.plain ? number(text) : null;
      if (error !== null) {
        cell.className = "heat";
        cell.style.setProperty("--share", (0.85 * Math.sqrt(Math.min(error, 100) / 100)).toFixed(3));
      }
      return cell;
    });
    return make("tr", { class: row.published !== undefined ? "published" : null },
      make("th", { scope: "row", class: "name" }, named(panel, row, options)), cells);
  }

  function update() {
    let left = all ? Infinity : LIMIT, hidden = 0, shown = 0;
    bodies.length = 0;
    for (const part of panel.parts) {
      const rows = inOrder(part.rows.map((i) => panel.rows[i]).filter((row) => seen(row, part, state)));
      if (!rows.length) continue;
      const kept = rows.slice(0, left);
      left -= kept.length;
      shown += kept.length;
      hidden += rows.length - kept.length;
      if (!kept.length) continue;
      bodies.push(make("tbody", {},
        make("tr", { class: "part" },
          make("th", { scope: "rowgroup", colspan: shape.head.length + 1 },
            make("span", {}, part.heading))),
        kept.map((row) => line(part, row))));
    }
    node.replaceChildren(caption, thead, ...bodies);
    count.replaceChildren(`${shown} rows`);
    if (hidden) {
      count.replaceChildren(`${shown} of ${shown + hidden} rows `,
        make("button", { type: "button", click: () => { all = true; update(); } }, "Show all"));
    }
  }

  const caption = make("caption", {}, shape.title);
  const thead = make("thead", {}, make("tr", {}, head));
  const node = make("table", { class: shape.shaded ? "heatmap" : null });
  update();
  region.append(scrolling(shape.title, node), count);
  return { node: region, update };
}

// Whether the filters let a row through; negative controls stay in every table.
function seen(row, part, state) {
  if (row.control) return true;
  if (state.hidden.has(part.heading)) return false;
  if (state.verified && row.verified === false) return false;
  const name = row.name.toLowerCase();
  return state.words.every((word) => name.includes(word));
}

// A row's name: a link to its page, a box to choose it, marks, and of a published one its source.
function named(panel, row, { state, changed, choose }) {
  if (row.published !== undefined) {
    return [make("span", { class: "method" }, row.name), panel.model && badge("published"),
      choose && make("small", { class: "source" }, data.texts[row.published])];
  }
  const box = choose && make("input", {
    type: "checkbox", "aria-label": `choose ${row.name}`, "data-row": row.id,
    change: (event) => {
      if (event.target.checked) state.chosen.add(row.id);
      else state.chosen.delete(row.id);
      changed();
    },
  });
  if (box) box.checked = state.chosen.has(row.id);
  return [box, make("a", { class: "method", href: address(panel, "row", row.id) }, row.name),
    marksOf(row)];
}

function marksOf(row) {
  return row.marks.map(badge);
}

function badge(text) {
  return make("span", { class: `badge ${text.replaceAll(" ", "-")}` }, text);
}
