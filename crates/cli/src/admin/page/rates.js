// What changed between two answers of /api/stats, in numbers per second. Knows no document.

/** Sums over engines, by the name that `key` gives. */
function tally(items, key) {
  const counts = new Map();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + item.count);
  return counts;
}

/** The counters of one answer, as the page needs them. */
export function sample(stats, milliseconds) {
  const engines = stats.engines ?? [];
  const sum = (field) => engines.reduce((total, engine) => total + engine[field], 0);
  const latency = new Map();
  for (const engine of engines) {
    for (const from of [engine.latency, engine.dns?.latency]) {
      for (const [largest, count] of from?.buckets ?? []) latency.set(largest, (latency.get(largest) ?? 0) + count);
    }
  }
  return {
    milliseconds,
    stats,
    connections: sum("connections"),
    connected: sum("connected"),
    received: sum("received_octets"),
    sent: sum("sent_octets"),
    requests: [...latency.values()].reduce((total, count) => total + count, 0),
    latency,
    outcomes: tally(engines.flatMap((engine) => engine.cache), (item) => item.outcome),
    statuses: tally(engines.flatMap((engine) => engine.responses), (item) => item.status),
    transitions: tally(engines.flatMap((engine) => engine.transitions), rowOf),
    pools: new Map((stats.pools ?? []).flatMap((pool) =>
      pool.backends.map((backend) => [`${pool.name}\n${backend.name}`, backend]))),
    classes: new Map((stats.classes ?? []).map((one) => [one.name, one])),
    keys: new Map((stats.top_keys ?? []).map((one) => [one.key, one])),
  };
}

/** What names a row of a control table. */
export function rowOf({ module, state, outcome }) {
  return `${module}\n${state}\n${outcome}`;
}

/** How fast things went from one sample to the next: functions that give numbers per second. */
export function between(before, after) {
  const seconds = (after.milliseconds - before.milliseconds) / 1000;
  const rate = (was, is) => (seconds > 0 ? Math.max(0, (is ?? 0) - (was ?? 0)) / seconds : 0);
  return {
    of: (field) => rate(before[field], after[field]),
    in: (map, key) => rate(before[map].get(key), after[map].get(key)),
    // A backend or a class that was not there before began at 0.
    inside: (map, key, field) => rate(before[map].get(key)?.[field], after[map].get(key)?.[field]),
    had: (map, key) => before[map].has(key),
    quantile: (share) => quantile(before.latency, after.latency, share),
    hits: hitRatio(before.outcomes, after.outcomes),
  };
}

/** The smallest bucket, in nanoseconds, below which this share of the interval's requests lies; none without any. */
function quantile(before, after, share) {
  const buckets = [...after].map(([largest, count]) => [largest, count - (before.get(largest) ?? 0)])
    .filter(([, count]) => count > 0).sort(([one], [other]) => one - other);
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  let left = total * share;
  for (const [largest, count] of buckets) {
    left -= count;
    if (left <= 0) return largest;
  }
  return null;
}

/** Answers for which nobody had to be asked, of those in which the cache had a part. */
function hitRatio(before, after) {
  let [hits, all] = [0, 0];
  for (const [outcome, count] of after) {
    const more = count - (before.get(outcome) ?? 0);
    if (outcome === "none") continue;
    all += more;
    if (["hit", "revalidated", "collapsed", "stale"].includes(outcome)) hits += more;
  }
  return all > 0 ? hits / all : null;
}

/** `1234567` as `1.23 M`. */
export function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  const units = ["", " k", " M", " G", " T", " P"];
  let place = 0;
  while (number >= 999.5 && place < units.length - 1) {
    number /= 1000;
    place += 1;
  }
  const digits = number >= 99.5 || (place === 0 && Number.isInteger(number)) ? 0 : number >= 9.95 ? 1 : 2;
  return number.toFixed(digits) + units[place];
}

/** `1234567` as `1.23 MB`. */
export function octets(number) {
  const text = short(number);
  return text.includes(" ") ? `${text}B` : `${text} B`;
}

/** Nanoseconds as `12.3 ms`. */
export function duration(nanoseconds) {
  if (nanoseconds === null) return "–";
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    if (nanoseconds >= size) return `${Number((nanoseconds / size).toPrecision(3))} ${unit}`;
  }
  return `${nanoseconds / 1000} µs`;
}

/** Seconds as `2 d 3 h`. */
export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  return units.slice(first, first + 2).map(([unit, size], place) => {
    const whole = place === 0 ? seconds : seconds % units[first][1];
    return `${Math.floor(whole / size)} ${unit}`;
  }).join(" ");
}

export function percent(share) {
  return share === null ? "–" : `${(share * 100).toFixed(1)} %`;
}
