// A row's page: its numbers, its runs, and everything that is needed to run it again.

function rowView(panel, row) {
  const part = panel.parts.find((p) => p.rows.includes(panel.rows.indexOf(row)));
  const [results] = panel.tables, cell = (name) => row.cells[0][results.head.indexOf(name)];
  const [artefact, environment] = [data.texts[row.artefact] || {}, data.texts[row.environment]];
  const difference = cell("difference");
  const others = panel.rows.filter((other) => other.id && other !== row);
  const chart = make("div", {});
  const control = panel.rows.filter((other) => other.control && other !== row);
  return {
    title: `${row.name}, ${panel.benchmark}, ${panel.name}`,
    nodes: [
      back(panel),
      make("h2", { tabindex: -1 }, row.name, " ", marksOf(row), badge(part.heading)),
      facts([
        ["error in %", make("strong", {}, cell("mean"))],
        ["95 % interval", row.interval && `${points(row.interval[0])} to ${points(row.interval[1])}`],
        ["rank", cell("rank") && `${cell("rank")} among ${part.heading}`],
        ["published", row.published_by === null ? ""
          : `${cell("published")} (difference ${difference}); ${data.texts[row.published_by]}`],
        ["authors", data.texts[row.authors]],
        ["method", [`${row.method}, version ${row.version}`,
          row.links.paper && [", ", outside(row.links.paper, "paper")],
          row.links.code && [", ", outside(row.links.code, "code")]]],
        ["tuning", data.texts[row.tuning]],
        ["hardware", data.texts[row.hardware]],
      ]),
      make("h3", {}, "Run it again"),
      copyable(row.command),
      others.length > 0 && [make("h3", {}, "Compare"), choice("with", others, null, (id) => {
        location.hash = address(panel, "compare", row.id, id);
      })],
      chart,
      make("h3", {}, "Runs"), scrolling("Runs", runs(panel, row)),
      make("h3", {}, "Protocol"),
      make("h4", {}, "Hashes"), listing(hashes(panel, row)),
      Object.keys(artefact).length > 0
        && [make("h4", {}, "Prepared from source data"), listing(artefact)],
      make("h4", {}, "Configuration of the first run"), listing({ ...panel.config, ...row.config }),
      make("h4", {}, "Environment of the first run"), listing(environment),
    ],
    drawn() {
      if (row.along) chart.replaceChildren(alongPicture(panel, [row, ...control], chart.clientWidth));
    },
  };
}

function back(panel) {
  return make("p", {}, make("a", { href: address(panel) },
    `\u2190 all rows of ${panel.benchmark}, ${panel.name}`));
}

function runs(panel, row) {
  const head = ["orders' seed", "method's seed", "error in %", "order", "images", "trace", "downloads"];
  const lines = row.runs.map((run) => {
    const stream = panel.streams[run.stream], file = fileOf(panel, row, run);
    return make("tr", {},
      make("th", { scope: "row" }, String(run.seeds[0])), make("td", {}, String(run.seeds[1])),
      make("td", {}, run.error),
      [stream.stream_sha256, stream.data_sha256, run.trace_sha256].map((hash) =>
        make("td", {}, make("code", { title: hash }, hash.slice(0, 12)))),
      make("td", {}, make("a", { href: `${file}.json`, download: true }, "record"),
        " ", traceOf(run, file), run.unverified && badge(run.unverified)));
  });
  return make("table", { class: "compact" }, make("caption", {}, "SHA-256 cut short; whole below"),
    make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, lines));
}

function traceOf(run, file) {
  if (!run.trace) return null;
  if (run.trace !== true) return outside(run.trace, "trace");
  return make("a", { href: `${file}.npz`, download: true }, "trace");
}

function hashes(panel, row) {
  const own = row.runs.flatMap((run, i) => Object.entries({
    identity: run.identity, ...panel.streams[run.stream], trace_sha256: run.trace_sha256,
  }).map(([key, hash]) => [`runs.${i}.${key}`, hash]));
  return { ...panel.hashes, ...Object.fromEntries(own) };
}

// Where an entry lies, without the ending: `check` refuses any other place.
function fileOf(panel, row, run) {
  return [data.entries, panel.benchmark, row.method, run.identity].join("/");
}

// Keys and values on lines of their own.
function listing(values) {
  const spelt = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  return copyable(Object.entries(values).map(([key, value]) => `${key}: ${spelt(value)}`).join("\n"));
}

// A list of rows to choose one from.
function choice(label, rows, chosen, changed) {
  const options = rows.map((row) =>
    make("option", { value: row.id, selected: row === chosen }, row.label));
  if (!chosen) options.unshift(make("option", { value: "", selected: true }, "choose a row"));
  return make("label", {}, `${label} `, make("select", {
    change: (event) => { if (event.target.value) changed(event.target.value); },
  }, options));
}
