// One benchmark and setting: tables, filters and pictures.

const states = new Map(); // of panels: what was filtered and chosen stays while one looks elsewhere
const COSTS = ["ms an image", "MFLOPs an image", "peak MiB", "forwards a batch", "backwards a batch"];

function stateOf(panel) {
  if (!states.has(panel.id)) {
    states.set(panel.id, {
      words: [], hidden: new Set(), verified: false, chosen: new Set(), cost: COSTS[0],
    });
  }
  return states.get(panel.id);
}

function panelView(panel) {
  const state = stateOf(panel), measured = panel.rows.some((row) => row.id);
  const pictures = make("div", { class: "pictures" });
  const compare = make("a", { class: "button", role: "link" });
  const said = make("span", { role: "status" });

  function redraw() {
    if (measured) pictures.replaceChildren(...picturesOf(panel, state, pictures, redraw));
  }
  function chosen() {
    const [a, b] = [...state.chosen];
    const two = state.chosen.size === 2;
    compare.textContent = two ? "Compare the two chosen rows" : "Choose two rows to compare them";
    if (two) {
      compare.setAttribute("href", address(panel, "compare", a, b));
      compare.removeAttribute("aria-disabled");
    } else {
      compare.removeAttribute("href");
      compare.setAttribute("aria-disabled", "true");
    }
  }
  const tables = panel.tables.map((_, table) => tableOf(panel, {
    table, state, choose: table === 0, changed: () => { chosen(); redraw(); },
  }));
  function filter() {
    tables.forEach((table) => table.update());
    redraw();
    const left = panel.parts.reduce((sum, part) =>
      sum + part.rows.filter((i) => seen(panel.rows[i], part, state)).length, 0);
    said.textContent = `${left} of ${panel.rows.length} rows`;
  }
  chosen();
  return {
    title: `${panel.benchmark}, ${panel.name}`,
    nodes: [
      make("h2", { tabindex: -1 }, `${panel.benchmark}: ${panel.name}`),
      make("p", { class: "lead" }, panel.model
        ? `Source model ${[panel.model, ...panel.set].join(", ")}; ${panel.streams.length} orders`
          + " of the stream."
        : "Nothing was measured here yet; these are numbers from papers."),
      make("div", { class: "tools" }, filters(panel, state, filter), measured && compare, said),
      tables[0].node,
      notes([...panel.tables[0].notes, measured && barNote(panel)].filter(Boolean)),
      measured && pictures,
      tables.slice(1).map((table) => [table.node, legend(panel)]),
    ],
    drawn: redraw,
  };
}

function filters(panel, state, changed) {
  const search = make("input", {
    type: "search", input: (event) => {
      state.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      changed();
    },
  });
  search.value = state.words.join(" ");
  const toggle = (text, checked, set) => {
    const box = make("input", { type: "checkbox", change: () => { set(box.checked); changed(); } });
    box.checked = checked;
    return make("label", {}, box, text);
  };
  const measured = panel.rows.some((row) => row.id);
  const parts = measured ? panel.parts.map((part) =>
    toggle(part.heading, !state.hidden.has(part.heading), (on) => {
      if (on) state.hidden.delete(part.heading);
      else state.hidden.add(part.heading);
    })) : [];
  return [
    make("label", {}, "Methods with ", search),
    parts.length > 1 && make("fieldset", {}, make("legend", {}, "Show"), parts),
    panel.rows.some((row) => row.verified === false)
      && toggle("verified only", state.verified, (on) => { state.verified = on; }),
  ];
}

function notes(texts) {
  return make("ul", { class: "notes" }, texts.map((text) => make("li", {}, text)));
}

function barNote(panel) {
  const [low, high] = barAxis(panel.rows);
  return make("span", { class: "interval" },
    `Bars beside the means go from ${low} to ${high} %; an arrow points to what lies beyond`);
}

function legend(panel) {
  if (panel.parts.every((part) => part.plain)) return null;
  const steps = [0, 5, 20, 50, 100].map((error) => {
    const step = make("span", { class: "heat" }, `${error} %`);
    step.style.setProperty("--share", (0.85 * Math.sqrt(error / 100)).toFixed(3));
    return step;
  });
  return make("p", { class: "scale" }, "Shades: ", steps);
}

// The rows of the picture along the stream: those chosen, else controls and the best of each part.
function pictured(panel, state) {
  const measured = panel.rows.filter((row) => row.id);
  const chosen = measured.filter((row) => state.chosen.has(row.id));
  if (chosen.length) return chosen;
  const best = panel.parts.filter((part) => !part.published)
    .flatMap((part) => part.rows.map((i) => panel.rows[i])
      .filter((row) => row.along && !row.control).slice(0, 2));
  const controls = measured.filter((row) => row.control).slice(0, MOST_LINES / 2);
  return [...best.slice(0, MOST_LINES - controls.length), ...controls];
}

function picturesOf(panel, state, container, redraw) {
  const wide = container.clientWidth > 1000;
  const width = Math.max(300, wide ? (container.clientWidth - 24) / 2 : container.clientWidth);
  const visible = panel.parts.filter((part) => !part.published).flatMap((part) =>
    part.rows.map((i) => panel.rows[i]).filter((row) => seen(row, part, state)));
  const costs = COSTS.filter((cost) => panel.tables[0].head.includes(cost));
  const select = make("select", {
    change: () => { state.cost = select.value; redraw(); container.querySelector("select").focus(); },
  }, costs.map((cost) => make("option", { value: cost, selected: cost === state.cost }, cost)));
  return [
    make("section", {},
      make("h3", {}, "Along the stream"),
      make("p", { class: "hint" }, state.chosen.size
        ? "The chosen rows." : "The best rows and the controls; choose rows in the table for others."),
      alongPicture(panel, pictured(panel, state), width)),
    make("section", {},
      make("h3", {}, "Error against cost"),
      make("p", { class: "hint" }, make("label", {}, "Cost: ", select),
        make("span", {}, "The broken line joins rows that none beats in both.")),
      paretoPicture(panel, visible, state.cost, state.chosen, width)),
  ];
}
