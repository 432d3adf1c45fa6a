// Two rows of a panel side by side: the paired difference, domain by domain, along the stream.

function compareView(panel, a, b) {
  const { mean: difference, interval, nOrders, nGroups } =
    pairedRows(panel, a, b, data.draws, data.point);
  const rows = panel.rows.filter((row) => row.id);
  const chart = make("div", {});
  const go = (one, other) => { location.hash = address(panel, "compare", one, other); };
  const part = (row) => panel.parts.find((p) => p.rows.includes(panel.rows.indexOf(row))).heading;
  return {
    title: `${a.name} and ${b.name}, ${panel.benchmark}, ${panel.name}`,
    nodes: [
      back(panel),
      make("h2", { tabindex: -1 }, `${a.name} and ${b.name}`),
      make("div", { class: "tools" },
        choice("First", rows.filter((row) => row !== b), a, (id) => go(id, b.id)),
        choice("Second", rows.filter((row) => row !== a), b, (id) => go(a.id, id)),
        make("a", { class: "button", href: address(panel, "compare", b.id, a.id) }, "Swap")),
      part(a) !== part(b) && make("p", { class: "warning" },
        `They had not the same means: ${a.name} is ${part(a)}, ${b.name} is ${part(b)}.`),
      [a, b].filter((row) => !row.verified).map((row) =>
        make("p", { class: "warning" }, row.name, marksOf(row))),
      make("p", { class: "verdict", "data-mean": difference,
        "data-low": interval && interval[0], "data-high": interval && interval[1] },
        make("strong", {}, `${signed(difference)} points of error`),
        interval && `, 95 % interval ${signed(interval[0])} to ${signed(interval[1])}`,
        `: ${verdict(a, b, interval)}.`),
      make("p", { class: "hint" }, `The first less the second, so below zero the first is better. `,
        `Paired bootstrap: ${data.draws.resamples.toLocaleString("en")} times, ${nOrders} of `,
        `${nOrders} orders and ${nGroups} of ${nGroups} corruptions are drawn again, the same for both, `,
        `and runs of each; the interval is the middle 95 %.`),
      chart,
      scrolling("Difference on each domain", byDomain(panel, a, b)),
    ],
    drawn() { chart.replaceChildren(alongPicture(panel, [a, b], chart.clientWidth)); },
  };
}

function verdict(a, b, interval) {
  if (!interval) return "one run each, so nothing is known of others";
  if (interval[1] < 0) return `${a.name} is better`;
  if (interval[0] > 0) return `${b.name} is better`;
  return "the two are not told apart";
}

function byDomain(panel, a, b) {
  const errors = (row) => panel.domains.map((_, domain) =>
    mean(row.orders.map(([, own]) => mean(own.map((run) => run[domain] / data.point)))));
  const [one, other] = [errors(a), errors(b)];
  const most = Math.max(1, ...one.map((error, i) => Math.abs(error - other[i])));
  const lines = panel.domains.map((domain, i) => {
    const difference = one[i] - other[i];
    return make("tr", {}, make("th", { scope: "row" }, domain), make("td", {}, points(one[i])),
      make("td", {}, points(other[i])),
      make("td", {}, signed(difference), differenceBar(difference / most)));
  });
  return make("table", { class: "compact" }, make("caption", {}, "Error in % on each domain"),
    make("thead", {}, make("tr", {}, ["domain", a.label, b.label, "difference"].map((text) =>
      make("th", { scope: "col", class: text === "difference" ? "before" : null }, text)))),
    make("tbody", {}, lines));
}

// To the left of the middle the first row is better, to the right the second.
function differenceBar(share) {
  const width = innerWidth < 600 ? 48 : 160, middle = width / 2, end = middle + share * (middle - 2);
  return draw("svg", { "aria-hidden": "true", class: "bar", width, height: 14 },
    draw("rect", {
      class: share < 0 ? "first" : "second", x: Math.min(middle, end), y: 2,
      width: Math.abs(end - middle), height: 10,
    }),
    draw("line", { class: "axis", x1: middle, x2: middle, y1: 0, y2: 14 }));
}
