// The paired bootstrap of ctta.results.statistics.compare_paired: the same draws, the same interval.

// NumPy's default generator, PCG64 (M. O'Neill, HMC-CS-2014-0905: a 128-bit linear congruential
// generator, its halves xored and rotated), from a state that the page brings along.
function generator(start) {
  const factor = 0x2360ed051fc65da44385df649fccf645n, increment = BigInt(start.increment);
  let state = BigInt(start.state), rest = null;
  function word() {
    state = BigInt.asUintN(128, state * factor + increment);
    const mixed = BigInt.asUintN(64, (state >> 64n) ^ state), turn = state >> 122n;
    return BigInt.asUintN(64, (mixed >> turn) | (mixed << (64n - turn)));
  }
  function halfWord() {
    if (rest !== null) { const half = rest; rest = null; return half; }
    const both = word();
    rest = Number(both >> 32n);
    return Number(both & 0xffffffffn);
  }
  const uniform = () => Number(word() >> 11n) / 2 ** 53;
  // An integer below n without bias: D. Lemire, ACM Trans. Model. Comput. Simul. 29 (2019).
  function below(n) {
    if (n === 1) return 0;
    let product = halfWord() * n;
    if (product % 2 ** 32 < n) {
      while (product % 2 ** 32 < (2 ** 32 - n) % n) product = halfWord() * n;
    }
    return Math.floor(product / 2 ** 32);
  }
  return { uniform, below };
}

// How many of n trials succeed, by inversion of the distribution function.
function binomial(n, p, uniform) {
  if (p > 0.5) return n - binomial(n, 1 - p, uniform);
  const q = 1 - p, none = Math.exp(n * Math.log1p(-p));
  const most = Math.floor(Math.min(n, n * p + 10 * Math.sqrt(n * p * q + 1)));
  let count = 0, probability = none, left = uniform();
  while (left > probability) {
    count += 1;
    if (count > most) {
      count = 0;
      probability = none;
      left = uniform();
    } else {
      left -= probability;
      probability = ((n - count + 1) * p * probability) / (count * q);
    }
  }
  return count;
}

// How often each of n groups is drawn in n draws with replacement.
function multinomial(n, uniform) {
  const counts = new Array(n).fill(0), p = 1 / n;
  let left = n, remaining = 1;
  for (let i = 0; i < n - 1 && left > 0; i += 1) {
    counts[i] = binomial(left, p / remaining, uniform);
    left -= counts[i];
    remaining -= p;
  }
  counts[n - 1] += left;
  return counts;
}

function percentile(sorted, percent) {
  const at = (percent / 100) * (sorted.length - 1), low = Math.floor(at), share = at - low;
  const high = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + share * (high - sorted[low]);
}

// first, second: for each order, the errors of its runs summed over each group of domains,
// [orders][runs][groups]; sizes: domains in each group. Gives the mean difference, and its interval
// or null where nothing can be drawn again.
function comparePaired(first, second, sizes, start) {
  const tables = [first, second], nOrders = first.length, nGroups = sizes.length;
  const longest = tables.map((table) => Math.max(...table.map((runs) => runs.length)));
  const means = tables.map((table) =>
    sizes.map((_, group) => mean(table.map((runs) => mean(runs.map((run) => run[group]))))));
  const total = sizes.reduce((a, b) => a + b, 0);
  const effect = sizes.reduce((sum, _, g) => sum + means[0][g] - means[1][g], 0) / total;
  if (nOrders === 1 && nGroups === 1 && Math.max(...longest) === 1) {
    return { mean: effect, interval: null };
  }
  const n = start.resamples, { uniform, below } = generator(start);
  const times = Array.from({ length: n }, () => multinomial(nGroups, uniform));
  const orders = first.map(() => Array.from({ length: n }, () => below(nOrders)));
  const weights = times.map((counts) => counts.reduce((sum, c, g) => sum + c * sizes[g], 0));
  const sums = new Float64Array(n);
  for (const order of orders) {
    tables.forEach((table, which) => {
      for (let k = 0; k < longest[which]; k += 1) {
        for (let i = 0; i < n; i += 1) {
          const runs = table[order[i]], run = runs[Math.floor(uniform() * runs.length)];
          if (k >= runs.length) continue;
          let sum = 0;
          for (let g = 0; g < nGroups; g += 1) sum += times[i][g] * run[g];
          sums[i] += ((which ? -1 : 1) * sum) / runs.length / weights[i];
        }
      }
    });
  }
  const sorted = sums.map((sum) => sum / nOrders).sort();
  return { mean: effect, interval: [percentile(sorted, 2.5), percentile(sorted, 97.5)] };
}

// Two rows of a panel, over the orders that both have, in the order of the first.
function pairedRows(panel, a, b, start, point) {
  const domains = a.order || panel.domains.map((_, i) => i);
  const groups = [...new Set(domains.map((domain) => panel.corruptions[domain]))];
  const sizes = groups.map((g) => panel.corruptions.filter((other) => other === g).length);
  const sums = (errors) => groups.map((g) => domains.reduce(
    (sum, domain) => sum + (panel.corruptions[domain] === g ? errors[domain] / point : 0), 0));
  const other = new Map(b.orders), shared = a.orders.filter(([stream]) => other.has(stream));
  const first = shared.map(([, runs]) => runs.map(sums));
  const second = shared.map(([stream]) => other.get(stream).map(sums));
  const found = comparePaired(first, second, sizes, start);
  return { ...found, nOrders: shared.length, nGroups: groups.length };
}
