// Draws a control table: states in layers from the start downwards, arrows between them. What stays in its state or
// ends the connection is a line within the state's box.
import { rowOf, short } from "/rates.js";

const [WIDTH, LINE, GAP, BETWEEN] = [238, 15, 18, 62];
const SVG = "http://www.w3.org/2000/svg";

/** An element that shows `graph`, and a function that shows `rates` in it. */
export function draw(graph) {
  const layout = arrange(graph);
  const root = make("svg", {
    viewBox: `0 0 ${layout.width} ${layout.height}`, width: layout.width, role: "img", "aria-label": `The control table of ${graph.module}`,
  });
  const head = `arrow-${graph.module}`;
  const marker = make("marker", {
    id: head, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, orient: "auto-start-reverse",
    markerUnits: "userSpaceOnUse",
  }, make("path", { d: "M0 0L8 4L0 8z", class: "head" }));
  root.append(make("defs", {}, marker));
  const arrows = layout.arrows.map((arrow) => drawArrow(root, arrow, head));
  const labels = layout.arrows.map((arrow) => drawLabel(root, arrow));
  const boxes = layout.boxes.map((box) => drawBox(root, box, box.state === graph.start));
  const update = (rate) => {
    const of = (edge) => rate(rowOf({ module: graph.module, state: edge.from, outcome: edge.outcome }));
    layout.arrows.forEach((arrow, place) => {
      heat(arrows[place], arrow.edges.reduce((sum, edge) => sum + of(edge), 0));
      const busy = arrow.edges.filter((edge) => of(edge) > 0).map((edge) => `${edge.outcome} ${short(of(edge))}/s`);
      labels[place].querySelectorAll("tspan").forEach((line, number) => say(line, busy[number] ?? ""));
    });
    layout.boxes.forEach((box, place) => {
      const { frame, total, lines } = boxes[place];
      const all = graph.edges.filter((edge) => edge.from === box.state).reduce((sum, edge) => sum + of(edge), 0);
      heat(frame, all);
      say(total, all > 0 ? `${short(all)}/s` : "");
      box.inner.forEach((edge, number) => {
        const [name, value] = lines[number];
        say(value, of(edge) > 0 ? `${short(of(edge))}/s` : "");
        name.parentNode.setAttribute("class", of(edge) > 0 ? "" : "idle");
      });
    });
  };
  return { root, update };
}

function drawArrow(root, arrow, head) {
  const path = make("path", {
    d: curve(arrow.points), "marker-end": `url(#${head})`, class: "edge",
  });
  if (arrow.edges.every((edge) => edge.next === "wait")) path.setAttribute("stroke-dasharray", "5 4");
  const rows = arrow.edges.map((edge) => edge.outcome).join(", ");
  path.append(make("title", {}, `${arrow.from} → ${arrow.to}: ${rows}`));
  root.append(path);
  return path;
}

function drawLabel(root, arrow) {
  // Where arrows leave one box they are still close together; a little below they are not.
  const middle = (arrow.points.length - 1) / 2;
  const [one, other] = [arrow.points[Math.floor(middle)], arrow.points[Math.ceil(middle)]];
  const [x, y] = [(one.x + other.x) / 2, (one.y + other.y) / 2 - (arrow.edges.length - 2) * 7];
  const lines = arrow.edges.map((_, number) => make("tspan", { x, dy: number ? 14 : 0 }));
  const label = make("text", { x, y, class: "label" }, ...lines);
  root.append(label);
  return label;
}

function drawBox(root, box, isStart) {
  const [left, top] = [box.x - WIDTH / 2, box.y];
  const frame = make("rect", { x: left, y: top, width: WIDTH, height: box.height, rx: 6, class: "edge" });
  const name = make("text", { x: left + 8, y: top + 16, class: "name" }, (isStart ? "▸ " : "") + box.state);
  const total = make("text", { x: left + WIDTH - 8, y: top + 16, class: "value" });
  const lines = box.inner.map((edge, number) => {
    const y = top + 18 + LINE * (number + 1) - 2;
    const sign = { close: "■ close:", abort: "✕ abort:" }[edge.next] ?? "↻";
    const texts = [make("text", { x: left + 8, y }, `${sign} ${edge.outcome}`),
      make("text", { x: left + WIDTH - 8, y, class: "value" })];
    return texts;
  });
  root.append(make("g", { class: "box" }, frame, name, total, ...lines.map((texts) => make("g", {}, ...texts))));
  return { frame, total, lines };
}

/** Width and colour by the rate's order of magnitude. */
function heat(element, rate) {
  const degree = rate > 0 ? Math.min(4, Math.max(1, Math.ceil(Math.log10(rate + 1)))) : 0;
  element.setAttribute("class", `edge heat${degree}`);
  element.setAttribute("stroke-width", (1 + degree * 0.75).toString());
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** From point to point, straight down where an arrow passes a layer. */
function curve(points) {
  return points.map(({ x, y }, place) => {
    if (place === 0) return `M${x} ${y}`;
    const last = points[place - 1];
    const bend = Math.sign(y - last.y) * Math.min(40, Math.abs(y - last.y) / 2);
    return `C${last.x} ${last.y + bend} ${x} ${y - bend} ${x} ${y}`;
  }).join("");
}

/** Places for everything: the layers of Sugiyama, Tagawa and Toda. */
function arrange(graph) {
  const inner = (state) => graph.edges.filter((edge) => edge.from === state && (!edge.to || edge.to === state));
  const boxes = new Map(graph.states.map((state) => {
    const rows = inner(state);
    return [state, { state, inner: rows, height: 24 + LINE * rows.length + (rows.length ? 4 : 0), width: WIDTH }];
  }));
  const arrows = merged(graph.edges.filter((edge) => edge.to && edge.to !== edge.from));
  layer(graph, boxes, arrows);
  const layers = [];
  for (const box of boxes.values()) (layers[box.layer] ??= []).push(box);
  const chains = arrows.map((arrow) => chain(arrow, boxes, layers));
  order(layers);
  const width = place(layers);
  const height = stack(layers);
  arrows.forEach((arrow, number) => {
    arrow.points = ends(chains[number], arrow.isBack);
  });
  return { boxes: [...boxes.values()], arrows, width, height };
}

/** One arrow for all rows between the same two states. */
function merged(edges) {
  const arrows = new Map();
  for (const edge of edges) {
    const name = `${edge.from}\n${edge.to}`;
    if (!arrows.has(name)) arrows.set(name, { from: edge.from, to: edge.to, edges: [] });
    arrows.get(name).edges.push(edge);
  }
  return [...arrows.values()];
}

/** Arrows to where one came from point back; each other one leads at least one layer down. */
function layer(graph, boxes, arrows) {
  const [done, path, later] = [new Set(), new Set(), []];
  const visit = (state) => {
    if (done.has(state)) return;
    done.add(state);
    path.add(state);
    for (const arrow of arrows.filter((arrow) => arrow.from === state)) {
      arrow.isBack = path.has(arrow.to);
      if (!arrow.isBack) visit(arrow.to);
    }
    path.delete(state);
    later.unshift(state);
  };
  [graph.start, ...graph.states].forEach(visit);
  for (const state of later) {
    const above = arrows.map((arrow) => (arrow.isBack ? [arrow.to, arrow.from] : [arrow.from, arrow.to]))
      .filter(([, to]) => to === state).map(([from]) => boxes.get(from).layer ?? 0);
    boxes.get(state).layer = above.length ? Math.max(...above) + 1 : 0;
  }
}

/** From upper box to lower box, with a point in each layer between. */
function chain(arrow, boxes, layers) {
  const [from, to] = [boxes.get(arrow.from), boxes.get(arrow.to)];
  const [upper, lower] = arrow.isBack ? [to, from] : [from, to];
  const between = [];
  for (let number = upper.layer + 1; number < lower.layer; number += 1) {
    const point = { width: 18, height: 0, layer: number };
    layers[number].push(point);
    between.push(point);
  }
  const all = [upper, ...between, lower];
  for (let number = 1; number < all.length; number += 1) {
    (all[number].above ??= []).push(all[number - 1]);
    (all[number - 1].below ??= []).push(all[number]);
  }
  return all;
}

const mean = (items, of) => items.reduce((sum, item) => sum + of(item), 0) / items.length;

/** Each layer sorted by where its neighbours are, so that few arrows cross. */
function order(layers) {
  const number = () => layers.forEach((items) => items.forEach((item, place) => {
    item.place = place / items.length;
  }));
  number();
  for (let round = 0; round < 12; round += 1) {
    const side = round % 2 ? "below" : "above";
    for (const items of round % 2 ? layers.toReversed() : layers) {
      const weight = new Map(items.map((item) =>
        [item, item[side]?.length ? mean(item[side], (other) => other.place) : item.place]));
      items.sort((one, other) => weight.get(one) - weight.get(other));
      items.forEach((item, place) => {
        item.place = (place + 0.5) / items.length;
      });
    }
  }
}

/** Moves all towards their neighbours, as far as their layer's order leaves room. Returns the width. */
function place(layers) {
  for (const items of layers) {
    let x = 0;
    for (const item of items) {
      item.x = x + item.width / 2;
      x += item.width + GAP;
    }
    items.forEach((item) => {
      item.x -= (x - GAP) / 2;
    });
  }
  for (let round = 0; round < 60; round += 1) {
    for (const items of round % 2 ? layers.toReversed() : layers) {
      const wanted = items.map((item) => {
        const near = [...(item.above ?? []), ...(item.below ?? [])].flatMap((other) => pull(item, other));
        return near.length ? mean(near, (other) => other.x) : item.x;
      });
      spread(items, wanted);
    }
  }
  const all = layers.flat();
  const left = Math.min(...all.map((item) => item.x - item.width / 2)) - 8;
  all.forEach((item) => {
    item.x -= left;
  });
  return Math.max(...all.map((item) => item.x + item.width / 2)) + 8;
}

/** Long arrows are to be straight: their points hold together more than boxes do. */
function pull(item, other) {
  const boxes = (item.width === WIDTH) + (other.width === WIDTH);
  return Array(boxes === 2 ? 1 : boxes === 1 ? 2 : 8).fill(other);
}

/** Places as near to those wanted as room allows: neighbours that overlap share their middle. */
function spread(items, wanted) {
  const groups = [];
  let offset = 0;
  items.forEach((item, number) => {
    offset += number ? (items[number - 1].width + item.width) / 2 + GAP : 0;
    let group = { sum: wanted[number] - offset, count: 1, items: [[item, offset]] };
    while (groups.length && groups.at(-1).sum / groups.at(-1).count > group.sum / group.count) {
      const last = groups.pop();
      group = { sum: last.sum + group.sum, count: last.count + group.count, items: [...last.items, ...group.items] };
    }
    groups.push(group);
  });
  for (const { sum, count, items: members } of groups) {
    for (const [item, at] of members) item.x = sum / count + at;
  }
}

/** Layers below each other. Returns the height. */
function stack(layers) {
  let y = 8;
  for (const items of layers) {
    const height = Math.max(...items.map((item) => item.height));
    for (const item of items) {
      item.y = item.width === WIDTH ? y + (height - item.height) / 2 : y;
      item.span = height;
    }
    y += height + BETWEEN;
  }
  return y - BETWEEN + 8;
}

/** The points of an arrow: out of one box, through the layers between, into the other. */
function ends(items, isBack) {
  const [upper, lower] = [items[0], items.at(-1)];
  const side = (box, others, other) => {
    // Arrows are spread over the edge of a box in the order of where they lead, those to the same place side by side.
    const sorted = others.toSorted((one, two) => one.x - two.x);
    const taken = (box.taken ??= new Map()).get(other) ?? 0;
    box.taken.set(other, taken + 1);
    return box.x + ((sorted.indexOf(other) + taken + 1) / (sorted.length + 1) - 0.5) * (WIDTH - 20);
  };
  const points = [{ x: side(upper, upper.below, items[1]), y: upper.y + upper.height }];
  for (const point of items.slice(1, -1)) points.push({ x: point.x, y: point.y }, { x: point.x, y: point.y + point.span });
  points.push({ x: side(lower, lower.above, items.at(-2)), y: lower.y });
  return isBack ? points.reverse() : points;
}
