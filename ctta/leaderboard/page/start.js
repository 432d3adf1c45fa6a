// Addresses: #/benchmark/setting, then /row/ID or /compare/ID/ID.

const data = JSON.parse(document.getElementById("data").textContent);
let drawn = () => {};

function address(panel, ...rest) {
  return ["#", panel.id, ...rest].join("/");
}

function viewOf(parts) {
  const panel = data.panels.find((p) => p.id === parts.slice(0, 2).join("/")) || data.panels[0];
  const [a, b] = parts.slice(3).map((id) => panel.rows.find((row) => row.id === id));
  if (parts[2] === "row" && a) return [panel, rowView(panel, a)];
  if (parts[2] === "compare" && a && b && a !== b) return [panel, compareView(panel, a, b)];
  return [panel, panelView(panel)];
}

function tabs(panel) {
  const firsts = data.panels.filter((p, i, all) => all.findIndex((o) => o.benchmark === p.benchmark) === i);
  return [
    make("nav", { "aria-label": "Benchmarks" }, make("ul", { class: "tabs" }, firsts.map((p) =>
      tab(p, p.benchmark, p.benchmark === panel.benchmark)))),
    make("nav", { "aria-label": "Settings" }, make("ul", { class: "tabs small" }, data.panels
      .filter((p) => p.benchmark === panel.benchmark).map((p) => tab(p, p.name, p === panel)))),
  ];
}

function tab(panel, text, current) {
  return make("li", {}, make("a", {
    href: address(panel), "aria-current": current ? "page" : null,
    class: panel.model ? null : "unmeasured",
  }, text));
}

function problems() {
  if (!data.problems.length) return null;
  return make("details", { class: "problems" },
    make("summary", {}, `Left out: ${data.problems.length} problems of entries`), notes(data.problems));
}

function show(moved) {
  const [panel, view] = viewOf(decodeURIComponent(location.hash.slice(2)).split("/"));
  document.title = `${view.title}: leaderboard`;
  const main = document.querySelector("main");
  main.replaceChildren(...[...tabs(panel), problems(), ...view.nodes].flat(Infinity).filter(Boolean));
  drawn = view.drawn;
  drawn();
  if (moved) {
    scrollTo(0, 0);
    main.querySelector("h2").focus({ preventScroll: true });
  }
}

let width = innerWidth;
addEventListener("hashchange", () => show(true));
addEventListener("resize", () => {
  if (innerWidth !== width) {
    width = innerWidth;
    drawn();
  }
});
show(false);
