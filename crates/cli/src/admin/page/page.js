// Asks for the server's numbers once a second and shows them.
import { draw } from "/graph.js";
import { between, duration, octets, percent, rowOf, sample, short, span } from "/rates.js";

const EVERY = 1000;
/** Seconds that the small curves show. */
const REMEMBERED = 60;

const find = (selector) => document.querySelector(selector);
let last = null;
let history = [];
let drawn = [];
let goneSince = null;

async function tick() {
  try {
    const now = sample(await ask("/api/stats"), performance.now());
    if (last === null || goneSince !== null || now.stats.uptime_seconds < last.stats.uptime_seconds) await begin();
    if (last !== null) show(last, now);
    last = now;
    found();
  } catch (error) {
    lost(error);
  }
  setTimeout(tick, EVERY);
}

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(5000), cache: "no-store" });
  if (!response.ok) throw new Error(`it answers ${response.status}`);
  return response.json();
}

/** A server that was not there before, or is another one now: nothing of what was shown holds. */
async function begin() {
  const graphs = await ask("/api/graph");
  last = null;
  history = [];
  drawn = graphs.map((graph) => ({ graph, ...draw(graph) }));
  find("#graphs").replaceChildren(...drawn.map(({ graph, root }) => {
    const section = element("section", { id: `graph-${graph.module}` });
    section.append(element("h3", {}, graph.module), root, element("details", {},
      element("summary", {}, "As a table"), element("div", { class: "wide" })));
    return section;
  }));
}

function found() {
  goneSince = null;
  document.body.classList.remove("gone");
  const { version, uptime_seconds: uptime, engines, draining } = last.stats;
  const plural = engines.length === 1 ? "engine" : "engines";
  say(find("#about"), `${version}, up ${span(uptime)}, ${engines.length} ${plural}`);
  say(find("#state"), draining ? "draining: it finishes what is in flight" : "");
}

function lost(error) {
  goneSince ??= new Date();
  document.body.classList.add("gone");
  say(find("#state"), `no answer since ${goneSince.toLocaleTimeString()} (${error.message}); trying again`);
}

function show(before, after) {
  const rates = between(before, after);
  showTiles(rates, after);
  showCache(rates, after);
  showPools(rates, after.stats.pools ?? []);
  showClasses(rates, after.stats.classes ?? []);
  showKeys(rates, after.stats.top_keys ?? []);
  showEngines(before.stats.engines, after.stats.engines, (after.milliseconds - before.milliseconds) / 1000);
  for (const { graph, root, update } of drawn) {
    update((row) => rates.in("transitions", row));
    showRows(root.parentNode.querySelector(".wide"), graph, rates, after);
  }
}

function showTiles(rates, after) {
  const values = [
    ["requests", rates.of("requests"), (rate) => `${short(rate)}/s`, `${short(after.requests)} in all`],
    ["sent", rates.of("sent"), (rate) => `${octets(rate)}/s`, `${octets(after.sent)} in all`],
    ["received", rates.of("received"), (rate) => `${octets(rate)}/s`, `${octets(after.received)} in all`],
    ["connections", after.connections, short, `${short(rates.of("connected"))} new/s`],
    ["hit ratio", rates.hits, percent, "asked nobody"],
    ["half within", rates.quantile(0.5), duration, `p90 ${duration(rates.quantile(0.9))}`],
    ["99 % within", rates.quantile(0.99), duration, `p99.9 ${duration(rates.quantile(0.999))}`],
  ];
  history.push(values.map(([, value]) => value));
  if (history.length > REMEMBERED) history.shift();
  const tiles = find("#tiles");
  if (!tiles.children.length) {
    tiles.append(...values.map(([name]) => element("dl", { id: `tile-${name.replaceAll(/[^a-z0-9]+/g, "-")}` },
      element("dt", {}, name), element("dd", {}), element("dd", { class: "note" }), sparkline())));
  }
  values.forEach(([name, value, text, note], place) => {
    const [, strong, small, curve] = tiles.children[place].children;
    say(strong, text(value));
    say(small, note);
    sketch(curve, name, history.map((moment) => moment[place]), text);
  });
}

function sparkline() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", `0 0 ${REMEMBERED - 1} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.append(path);
  return svg;
}

/** The last minute, the newest at the right. Where there was no number, the curve has a gap. */
function sketch(svg, name, values, text) {
  const known = values.filter((value) => value !== null);
  const most = Math.max(...known, Number.MIN_VALUE);
  let pen = "M";
  const steps = values.map((value, place) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const step = `${pen}${REMEMBERED - values.length + place} ${(19 - 18 * (value / most)).toFixed(1)}`;
    pen = "L";
    return step;
  });
  svg.firstChild.setAttribute("d", steps.join(""));
  svg.setAttribute("aria-label", `${name}, the last minute: at most ${known.length ? text(most) : "–"}`);
}

function showCache(rates, after) {
  const outcomes = [...after.outcomes].filter(([, count]) => count > 0);
  const total = outcomes.reduce((sum, [outcome]) => sum + rates.in("outcomes", outcome), 0);
  table("#cache", ["outcome", "per second", "share", "in all"], outcomes.map(([outcome, count]) => {
    const rate = rates.in("outcomes", outcome);
    return [outcome, short(rate), total > 0 ? percent(rate / total) : "–", short(count)];
  }));
  table("#statuses", ["status", "per second", "in all"],
    [...after.statuses].sort(([one], [other]) => one - other).filter(([, count]) => count > 0)
      .map(([status, count]) => [status, short(rates.in("statuses", status)), short(count)]));
}

function showPools(rates, pools) {
  const columns = ["pool", "backend", "address", "state", "weight", "active", "requests/s", "failures/s", "latency",
    "sent/s", "received/s", "failed checks", "ejections"];
  table("#pools", columns, pools.flatMap((pool) => pool.backends.map((backend) => {
    const rate = (field) => rates.inside("pools", `${pool.name}\n${backend.name}`, field);
    const waiting = pool.waiting > 0 ? `${pool.name} (${pool.waiting} waiting)` : pool.name;
    return [waiting, backend.name, backend.address, health(backend), backend.weight, backend.active,
      short(rate("requests")), short(rate("failures")), duration(backend.latency_us > 0 ? backend.latency_us * 1000 : null),
      octets(rate("sent_octets")), octets(rate("received_octets")),
      `${backend.checks_failed} of ${backend.checks_passed + backend.checks_failed}`, backend.ejections];
  })));
}

function health(backend) {
  if (!backend.healthy) return "✕ down";
  if (backend.ejected) return "✕ ejected";
  return backend.draining ? "▽ draining" : "✓ healthy";
}

function showClasses(rates, classes) {
  table("#classes", ["class", "priority", "weight", "requests/s", "refused/s", "waiting", "running"],
    classes.map((one) => [one.name, one.priority, one.weight, short(rates.inside("classes", one.name, "requests")),
      short(rates.inside("classes", one.name, "refused")), one.waiting, one.running]));
}

function showKeys(rates, keys) {
  table("#keys", ["key", "per second", "in all"], keys.slice(0, 20).map((one) =>
    // What has only now come so far did so over an unknown time.
    [one.key, short(rates.had("keys", one.key) ? rates.inside("keys", one.key, "requests") : null), short(one.requests)]));
}

function showEngines(before, after, seconds) {
  const columns = ["core", "connections", "new/s", "sent/s", "received/s", "resets", "timeouts"];
  table("#engines", columns, after.map((engine, place) => {
    const rate = (field) => Math.max(0, engine[field] - (before[place]?.[field] ?? 0)) / seconds;
    return [engine.core, short(engine.connections), short(rate("connected")), octets(rate("sent_octets")),
      octets(rate("received_octets")), short(engine.resets), short(engine.timeouts)];
  }));
}

function showRows(place, graph, rates, after) {
  if (!place.closest("details").open) return;
  fill(place, ["state", "outcome", "next", "per second", "in all"], graph.edges.map((edge) => {
    const row = rowOf({ module: graph.module, state: edge.from, outcome: edge.outcome });
    const next = edge.next === "wait" ? `${edge.to}, at the next event` : edge.to ?? edge.next;
    return [edge.from, edge.outcome, next, short(rates.in("transitions", row)), short(after.transitions.get(row) ?? 0)];
  }));
}

/** Shows rows in a section, or hides one that has none. */
function table(selector, columns, rows) {
  find(selector).hidden = rows.length === 0;
  fill(find(`${selector} .wide`), columns, rows);
}

/** Changes only cells whose text is another, so that what a reader has marked stays marked. */
function fill(place, columns, rows) {
  if (!place.firstChild) {
    const heads = columns.map((name) => element("th", { scope: "col", class: isNumber(name) ? "number" : "" }, name));
    place.append(element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {})));
  }
  const body = place.querySelector("tbody");
  while (body.rows.length > rows.length) body.lastChild.remove();
  while (body.rows.length < rows.length) {
    body.append(element("tr", {}, ...columns.map((_, number) =>
      number === 0 ? element("th", { scope: "row" }) : element("td", {}))));
  }
  rows.forEach((cells, number) => cells.forEach((text, column) => {
    const cell = body.rows[number].cells[column];
    say(cell, String(text));
    cell.className = isNumber(columns[column]) ? "number" : String(text).startsWith("✕") ? "bad" : "";
  }));
}

/** Whether the column of this name has numbers. */
function isNumber(name) {
  return !["pool", "backend", "address", "state", "class", "key", "outcome", "next", "status", "core"].includes(name);
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

tick();
