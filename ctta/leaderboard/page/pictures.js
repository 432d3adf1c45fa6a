// Pictures as SVG: an interval in a cell, error along the stream, error against cost.

const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];
const MOST_LINES = DASHES.length;
const MOST_NAMES = 60; // beside dots; of more rows only the front, controls and the chosen are named

function picture(label, width, height, ...children) {
  const size = { width, height, viewBox: `0 0 ${width} ${height}` };
  return draw("svg", { role: "img", "aria-label": label, ...size }, children);
}

// A row's mean with its interval on an axis from low to high; an arrow where it lies beyond.
function intervalBar(row, [low, high]) {
  const width = 110, height = 14, y = height / 2;
  const x = (value) => 4 + (width - 8) * Math.min(Math.max((value - low) / (high - low), 0), 1);
  const marks = [draw("line", { class: "axis", x1: 4, x2: width - 4, y1: y, y2: y })];
  if (row.mean > high) {
    const tip = width - 1;
    marks.push(draw("path", { class: "dot", d: `M${tip} ${y}l-8 -5v10z` }));
  } else {
    if (row.interval) {
      const [from, to] = row.interval.map(x);
      marks.push(draw("path", { class: "whisker", d: `M${from} ${y}H${to}M${from} 3v8M${to} 3v8` }));
    }
    marks.push(draw("circle", { class: "dot", cx: x(row.mean), cy: y, r: 3.5 }));
  }
  return draw("svg", { "aria-hidden": "true", class: "bar interval", width, height }, marks);
}

// The axis of all interval bars of a panel: far outliers, as an unadapted model, do not stretch it.
function barAxis(rows) {
  const own = rows.filter((row) => row.mean !== undefined);
  const sorted = own.map((row) => row.mean).sort((a, b) => a - b);
  const ends = (i) => own.map((row) => (row.interval ? row.interval[i] : row.mean));
  const high = Math.min(Math.max(...ends(1)), 1.6 * sorted[Math.floor(sorted.length / 2)]);
  return [Math.floor(Math.min(...ends(0))), Math.max(Math.ceil(high), 1)];
}

// Round numbers that cut 0 to most into about five.
function ticks(most) {
  const rough = most / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

const logShare = (value, low, high) => Math.log(value / low) / Math.log(high / low);

// The given multiples of powers of ten from low to high.
function logTicks(low, high, multiples) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const m of multiples) {
      const value = m * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

function yAxis(values, y, left, right) {
  return values.map((value) => [
    draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" },
      String(Number(value.toPrecision(3)))),
  ]);
}

// Error along the stream, of rows that have it; segments are bands.
function alongPicture(panel, rows, width) {
  const shown = rows.filter((row) => row.along).slice(0, MOST_LINES);
  const title = "Error in % along the stream, mean over runs";
  if (!shown.length) return make("p", {}, "No row with a trace is selected.");
  const named = panel.segments.length <= 24 && width > 500;
  const left = named ? 62 : 36, right = width - 8, top = 8, bottom = named ? 215 : 250, height = named ? 310 : 275;
  const most = Math.max(5, ...shown.flatMap((row) => row.along.filter((e) => e !== null)));
  const x = (share) => left + (right - left) * share;
  const y = (error) => bottom - ((bottom - top) * error) / most;
  const bands = panel.segments.map(({ start, domain }, i) => {
    const end = i + 1 < panel.segments.length ? panel.segments[i + 1].start : 1;
    const middle = x((start + end) / 2);
    return [
      i % 2 === 0 && draw("rect", {
        class: "band", x: x(start), y: top, width: x(end) - x(start), height: bottom - top,
      }),
      named && draw("text", {
        x: middle, y: bottom + 10, "text-anchor": "end",
        transform: `rotate(-45 ${middle} ${bottom + 10})`,
      }, domain),
    ];
  });
  const lines = shown.map((row, i) => {
    let path = "", pen = "M";
    row.along.forEach((error, part) => {
      if (error === null) { pen = "M"; return; }
      path += `${pen}${x((part + 0.5) / row.along.length).toFixed(1)} ${y(error).toFixed(1)}`;
      pen = "L";
    });
    return draw("path", { class: `line c${i}`, d: path, "stroke-dasharray": DASHES[i] },
      draw("title", {}, row.label));
  });
  const said = shown.map((row) => {
    const errors = row.along.filter((e) => e !== null);
    return `${row.label} from ${Math.min(...errors)} to ${Math.max(...errors)}`;
  });
  const legend = shown.map((row, i) => make("li", {},
    draw("svg", { "aria-hidden": "true", width: 34, height: 10 },
      draw("path", { class: `line c${i}`, d: "M0 5H34", "stroke-dasharray": DASHES[i] })),
    row.label));
  return make("figure", {}, make("figcaption", {}, title),
    picture(`${title}: ${said.join("; ")}`, width, height, bands,
      yAxis(ticks(most), y, left, right), lines),
    make("ul", { class: "legend" }, legend));
}

// Rows that none beats in both error and cost.
function front(marks) {
  let best = Infinity;
  return [...marks].sort((a, b) => a.cost - b.cost || a.error - b.error).filter((mark) => {
    const better = mark.error < best;
    if (better) best = mark.error;
    return better;
  });
}

function paretoPicture(panel, rows, column, chosen, width) {
  const cost = panel.tables[0].head.indexOf(column);
  const marks = rows
    .map((row) => ({ row, error: row.mean, cost: number(row.cells[0][cost]) }))
    .filter((mark) => mark.cost > 0);
  const title = `Error in % against ${column}`;
  if (!marks.length) return make("p", {}, `No row has ${column}.`);
  const left = 36, right = width - 14, top = 8, bottom = 262, height = 305;
  const costs = marks.map((mark) => mark.cost);
  const [low, high] = [Math.min(...costs) / 1.3, Math.max(...costs) * 1.3];
  const x = (value) => left + (right - left) * logShare(value, low, high);
  const errors = marks.map((mark) => Math.max(mark.error, 0.1));
  const [least, most] = [Math.min(...errors) / 1.15, Math.max(...errors) * 1.15];
  const y = (error) => bottom - (bottom - top) * logShare(Math.max(error, 0.1), least, most);
  const best = front(marks);
  const steps = best.map((mark, i) =>
    (i ? `H${x(mark.cost)}V${y(mark.error)}` : `M${x(mark.cost)} ${y(mark.error)}`)).join("");
  const taken = [], labels = [];
  const others = marks.filter((m) => !best.includes(m)
    && (marks.length <= MOST_NAMES || m.row.control || chosen.has(m.row.id)));
  for (const mark of [...best, ...others]) {
    const name = mark.row.verified ? mark.row.name : mark.row.label;
    const size = 6.6 * name.length, [cx, cy] = [x(mark.cost), y(mark.error)];
    const places = [[cx + 7, cy - 5], [cx - 7 - size, cy - 5], [cx + 7, cy + 14],
      [cx - 7 - size, cy + 14], [cx - size / 2, cy - 12], [cx - size / 2, cy + 20]];
    const at = places.find(([px, py]) => px >= left && px + size <= width && py > top + 8
      && py < bottom && !taken.some(([ox, oy, os]) => px < ox + os + 5 && ox < px + size + 5
        && Math.abs(py - oy) < 12)
      && !marks.some((m) => m !== mark && x(m.cost) > px - 4 && x(m.cost) < px + size + 4
        && Math.abs(y(m.error) - (py - 4)) < 8));
    if (!at) continue;
    taken.push([at[0], at[1], size]);
    labels.push(draw("text", { class: "label", x: at[0], y: at[1] }, name));
  }
  const dots = marks.map((mark) => draw("circle", {
    class: `dot${best.includes(mark) ? " best" : ""}${chosen.has(mark.row.id) ? " chosen" : ""}`,
    cx: x(mark.cost), cy: y(mark.error), r: 5,
  }, draw("title", {}, `${mark.row.label}: ${points(mark.error)} %, ${mark.cost} ${column}`)));
  const axis = logTicks(low, high, [1, 2, 5]).map((value) => [
    draw("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: bottom }),
    draw("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" },
      String(Number(value.toPrecision(3)))),
  ]);
  const said = best.map((mark) => `${mark.row.label}: ${points(mark.error)} %, ${mark.cost}`);
  return make("figure", {},
    make("figcaption", {}, `${title}, both in logarithms`),
    picture(`${title}. Not beaten in both: ${said.join("; ")}`, width, height,
      yAxis(logTicks(least, most, [1, 1.5, 2, 3, 5, 7]), y, left, right), axis, draw("path", { class: "front", d: steps }), dots, labels,
      draw("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, column)));
}
