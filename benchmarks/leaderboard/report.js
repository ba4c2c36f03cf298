"use strict";
// Draws the curves, differences and bars of every board. All figures stand in tables as well, so that nothing is lost
// without this script.

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f"];
const DASHES = ["", "6 3", "2 2"];
const HEIGHT = 380, LEFT = 44, RIGHT = 14, TOP = 18, BOTTOM = 40;

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function canvas(width, height, title) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
}

/** Round numbers that divide [low, high] into about `count` steps. */
function ticks(low, high, count = 6) {
  const rough = (high - low || 1) / count, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((size) => size >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => +((first + i) * step).toPrecision(12));
}

function linear([low, high], [start, end]) {
  return (value) => start + ((value - low) / (high - low || 1)) * (end - start);
}

const extent = (values) => [Math.min(...values), Math.max(...values)];
const shortened = (name, length = 30) => (name.length > length ? `…${name.slice(1 - length)}` : name);
const signed = (value, digits = 2) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

class Board {
  constructor(section, data) {
    this.section = section;
    this.data = data;
    this.shown = new Set(data.policies.slice(0, 8).concat(data.baseline));
    this.find("controls").hidden = false;
    this.fill("curve", data.curves.map((curve) => curve.title));
    this.fill("sample", data.samples.map((sample) => sample.title));
    this.fill("baseline", data.policies, data.baseline);
    this.fill("bars", data.bars.map((bars) => bars.title));
    this.addToggles();
    section.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.width() === this.drawn || this.draw()).observe(section);
    this.find("curves").addEventListener("pointermove", (event) => this.point(event));
    this.find("curves").addEventListener("keydown", (event) => this.walk(event));
  }

  /** Pixels of a picture: drawn at its true size, text stays readable on a phone. */
  width() {
    return Math.min(Math.max(this.section.clientWidth, 300), 960);
  }

  find(name) {
    return this.section.querySelector(`[data-part="${name}"]`);
  }

  fill(name, titles, chosen) {
    const select = this.find(name);
    titles.forEach((title, i) => select.add(new Option(title, i, false, title === chosen)));
    select.closest("label").hidden = titles.length < 2;
  }

  chosen(name) {
    return Number(this.find(name).value || 0);
  }

  colour(policy) {
    return COLOURS[this.data.policies.indexOf(policy) % COLOURS.length];
  }

  dash(policy) {
    return DASHES[Math.floor(this.data.policies.indexOf(policy) / COLOURS.length) % DASHES.length];
  }

  addToggles() {
    for (const policy of this.data.policies) {
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: this.shown.has(policy) });
      const label = document.createElement("label");
      const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
      swatch.style.background = this.colour(policy);
      label.title = policy;
      label.append(box, swatch, shortened(policy));
      box.addEventListener("change", () => this.shown[box.checked ? "add" : "delete"](policy));
      this.find("toggles").append(label);
    }
  }

  visible(entries) {
    return this.data.policies.filter((policy) => this.shown.has(policy) && entries[policy]);
  }

  draw() {
    this.drawn = this.width();
    if (this.data.curves.length) this.drawCurves(this.data.curves[this.chosen("curve")]);
    if (this.data.samples.length) this.drawDifferences(this.data.samples[this.chosen("sample")]);
    if (this.data.bars.length) this.drawBars(this.data.bars[this.chosen("bars")]);
    for (const film of this.section.querySelectorAll("[data-film]")) film.hidden = !this.shown.has(film.dataset.film);
  }

  drawCurves(curve) {
    const names = this.visible(curve.lines), picture = canvas(this.drawn, HEIGHT, curve.title);
    const lines = names.map((name) => curve.lines[name]);
    const x = linear(extent(lines.flatMap((line) => line.x)), [LEFT, this.drawn - RIGHT]);
    const [low, high] = extent(lines.flatMap((line) => [...line.low, ...line.high]));
    const y = linear([low, high], [HEIGHT - BOTTOM, TOP]);
    this.plot = { curve, names, x, picture, at: 0 };
    this.find("curves").replaceChildren(picture);
    this.find("values").textContent = "";
    if (!names.length) return;
    this.drawAxes(picture, extent(lines.flatMap((line) => line.x)), [low, high], x, y, curve);
    names.forEach((name) => this.drawLine(picture, curve.lines[name], name, x, y));
    this.plot.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    picture.append(this.plot.cursor);
  }

  drawAxes(picture, across, up, x, y, curve) {
    for (const tick of ticks(...up)) {
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: this.drawn - RIGHT, y1: y(tick), y2: y(tick) }));
      picture.append(svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
    }
    for (const tick of ticks(...across)) {
      const text = tick.toLocaleString("en");
      picture.append(svg("text", { x: x(tick), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, text));
    }
    picture.append(svg("text", { x: (LEFT + this.drawn) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, curve.unit));
    picture.append(svg("text", { x: 2, y: TOP - 6 }, curve.metric));
  }

  drawLine(picture, line, name, x, y) {
    const points = (values) => values.map((value, i) => `${x(line.x[i]).toFixed(1)},${y(value).toFixed(1)}`);
    const band = [...points(line.high), ...points(line.low).reverse()].join(" ");
    const colour = this.colour(name);
    picture.append(svg("polygon", { points: band, fill: colour, opacity: 0.13 }));
    const style = { fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": this.dash(name) };
    picture.append(svg("polyline", { points: points(line.mean).join(" "), ...style }, svg("title", {}, name)));
  }

  point(event) {
    const { curve, names, x } = this.plot;
    if (!names.length) return;
    const box = this.plot.picture.getBoundingClientRect();
    const where = ((event.clientX - box.left) / box.width) * this.drawn, grid = curve.lines[names[0]].x;
    const gaps = grid.map((value) => Math.abs(x(value) - where));
    this.tell(gaps.indexOf(Math.min(...gaps)));
  }

  walk(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.plot.names.length) return;
    event.preventDefault();
    const last = this.plot.curve.lines[this.plot.names[0]].x.length - 1;
    this.tell(Math.min(Math.max(this.plot.at + step, 0), last));
  }

  tell(at) {
    const { curve, names, x, cursor } = this.plot, cost = curve.lines[names[0]].x[at];
    this.plot.at = at;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(cost));
    cursor.setAttribute("visibility", "visible");
    const values = names.map((name) => [name, curve.lines[name].mean[at]]).filter(([, value]) => value !== undefined);
    const told = values.sort((a, b) => b[1] - a[1]).map(([name, value]) => `${shortened(name)} ${value.toFixed(1)}`);
    this.find("values").textContent = `${Math.round(cost).toLocaleString("en")} ${curve.unit}: ${told.join(", ")}`;
  }

  /** Means of paired differences with 95 % t-intervals: not corrected for their number, which the tables are. */
  drawDifferences(sample) {
    const baseline = this.data.policies[this.chosen("baseline")];
    const names = this.visible(sample.values).filter((name) => name !== baseline);
    const rows = names.map((name) => [name, paired(sample.values[name], sample.values[baseline], sample.t)]);
    const found = rows.filter(([, row]) => row).sort((a, b) => b[1].mean - a[1].mean);
    this.drawIntervals(found, `${sample.title}: difference to ${baseline}`);
  }

  drawIntervals(rows, title) {
    const height = 30 + 22 * rows.length, picture = canvas(this.drawn, height, title), start = this.drawn * 0.36;
    const [low, high] = extent([0, ...rows.flatMap(([, row]) => [row.mean - row.half, row.mean + row.half])]);
    const x = linear([low, high], [start, this.drawn - 110]), length = Math.floor(start / 7);
    picture.append(svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 4, y2: height - 18 }));
    rows.forEach(([name, { mean, half }], i) => {
      const y = 16 + 22 * i, stroke = this.colour(name);
      picture.append(svg("text", { x: start - 8, y: y + 4, "text-anchor": "end" }, shortened(name, length)));
      picture.append(svg("line", { x1: x(mean - half), x2: x(mean + half), y1: y, y2: y, stroke, "stroke-width": 2 }));
      picture.append(svg("circle", { cx: x(mean), cy: y, r: 4, fill: stroke }));
      const text = `${signed(mean)} ± ${half.toFixed(2)}`;
      picture.append(svg("text", { x: this.drawn, y: y + 4, "text-anchor": "end" }, text));
    });
    picture.append(svg("text", { x: x(0), y: height - 4, "text-anchor": "middle" }, "0"));
    this.find("differences").replaceChildren(picture);
  }

  drawBars(bars) {
    const names = this.visible(bars.values), band = 8 * names.length + 10;
    const picture = canvas(this.drawn, 26 + band * bars.names.length, bars.title), start = Math.min(150, this.drawn * 0.3);
    const [low, high] = extent([0, ...names.flatMap((name) => bars.values[name].filter((v) => v !== null))]);
    const x = linear([low, high], [start, this.drawn - 20]), length = Math.floor(start / 7);
    bars.names.forEach((label, i) => {
      const top = 4 + band * i, middle = top + band / 2;
      picture.append(svg("text", { x: start - 8, y: middle, "text-anchor": "end" }, shortened(label, length)));
      names.forEach((name, j) => {
        const value = bars.values[name][i];
        if (value === null) return;
        const told = svg("title", {}, `${name}, ${label}: ${value.toFixed(2)}`);
        const size = { x: Math.min(x(0), x(value)), y: top + 8 * j, width: Math.abs(x(value) - x(0)), height: 7 };
        picture.append(svg("rect", { ...size, fill: this.colour(name) }, told));
      });
    });
    for (const tick of ticks(low, high)) {
      const y = 16 + band * bars.names.length;
      picture.append(svg("text", { x: x(tick), y, "text-anchor": "middle" }, String(tick)));
    }
    this.find("classes").replaceChildren(picture);
  }
}

/** The mean paired difference over the units (seeds, classes) that both have, and half its interval. */
function paired(own, other, t) {
  const shared = Object.keys(own).filter((key) => other && key in other);
  if (shared.length < 2) return null;
  const gaps = shared.map((key) => own[key] - other[key]);
  const mean = gaps.reduce((a, b) => a + b) / gaps.length;
  const spread = Math.sqrt(gaps.reduce((a, gap) => a + (gap - mean) ** 2, 0) / (gaps.length - 1));
  return { mean, half: (t[gaps.length] * spread) / Math.sqrt(gaps.length) };
}

for (const data of JSON.parse(document.getElementById("boards").textContent)) {
  new Board(document.getElementById(data.id), data);
}
