"use strict";
// Map of the relaxed structures: a point each at its values, and of a boundary lines through the lowest
// of each [n].

// Axes of registries: shifts of the upper grain along x and y.
const REGISTRY_AXES = { x: "dx_a", y: "dy_a" };
// Shapes tell groups apart without colours.
const SHAPES = {
  circle: "M-4.3,0a4.3,4.3 0 1,0 8.6,0a4.3,4.3 0 1,0 -8.6,0Z",
  triangle: "M0,-5.4L5,3.8L-5,3.8Z",
  square: "M-3.9,-3.9H3.9V3.9H-3.9Z",
  diamond: "M0,-5.6L5.6,0L0,5.6L-5.6,0Z",
  down: "M0,5.4L5,-3.8L-5,-3.8Z",
  plus: "M-1.6,-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
  star: "M0,-6L1.7,-2L6,-1.9L2.6,0.9L3.8,5.2L0,2.7L-3.8,5.2L-2.6,0.9L-6,-1.9L-1.7,-2Z",
  cross: "M-5,-2.8L-2.8,-5L0,-2.2L2.8,-5L5,-2.8L2.2,0L5,2.8L2.8,5L0,2.2L-2.8,5L-5,2.8L-2.2,0Z",
};
const PHASE_COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#b59f00", "#8a5fb5", "#7a5230"];
const MARGIN = { left: 62, right: 16, top: 12, bottom: 42 };
const DRAG_PX = 5;

class EnergyMap {
  // onDrawn: called after each change of what is drawn.
  constructor(element, legend, onSelect, onDrawn) {
    Object.assign(this, { _element: element, _legend: legend, _onSelect: onSelect, _onDrawn: onDrawn });
    this._points = [];
    this._chosen = null;
    this._phaseOf = new Map();
    this.colour = "source";
    this.axes = { ...KIND.mapAxes };
    this._asked = { x: [null, null], y: [null, null] };
    this._isWhole = false;
    this._card = document.createElement("div");
    this._card.className = "hover-card";
    this._card.hidden = true;
    new MapPointer(element, this);
    element.addEventListener("keydown", (event) => this._onKey(event));
    new ResizeObserver(() => this.draw()).observe(element);
  }

  // rows: points, the best first; cap: highest energy drawn unless the reader asks for more.
  show({ rows, cap }) {
    this._cap = cap;
    this._points = rows.map((row) => Object.fromEntries(MAP_FIELDS.map((name, column) => [name, row[column]])));
    this.draw();
  }

  // members: ids of the candidates of each phase.
  showPhases(members) {
    this._phaseOf = new Map(Object.entries(members).flatMap(([name, ids]) => ids.map((id) => [id, name])));
    this.draw();
  }

  // Relaxed shifts of the upper grain by candidate, and the cell in which they repeat, Å.
  showRegistries({ cell, places }) {
    this._cell = cell;
    for (const point of this._points) [point.dx_a, point.dy_a] = places[point.id] ?? [null, null];
    this.draw();
  }

  get needsRegistries() { return Object.values(this.axes).some((field) => Object.values(REGISTRY_AXES).includes(field)); }

  get isRegistries() { return ["x", "y"].every((axis) => this.axes[axis] === REGISTRY_AXES[axis]); }

  select(id) {
    this._chosen = id;
    this._mark();
  }

  // Ranges [from, to] of both axes; null where the data decide.
  setRange(axis, range) {
    this._asked[axis] = range;
    this.draw();
  }

  drawAll(isWhole) {
    this._isWhole = isWhole;
    this._asked = { x: [null, null], y: [null, null] };
    this.draw();
  }

  get asked() { return this._asked; }

  // Numbers of points that are not drawn: of those without a value, and of those out of range.
  get unknown() { return this._points.filter((point) => !this._isKnown(point)).length; }

  get hidden() { return this._points.length - this._shown.length - this.unknown; }

  point(id) { return this._points.find((one) => one.id === id); }

  bounds(axis) {
    const [low, high] = this._asked[axis], isAuto = low === null && high === null;
    const top = this.axes[axis] === "gb_energy_j_m2" && isAuto && !this._isWhole ? this._cap : Infinity;
    return [low ?? -Infinity, high ?? top ?? Infinity];
  }

  _isKnown(point) {
    return point[this.axes.x] != null && point[this.axes.y] != null;
  }

  _isShown(point) {
    return this._isKnown(point) && ["x", "y"].every((axis) => {
      const value = point[this.axes[axis]], [low, high] = this.bounds(axis);
      return value >= low && value <= high;
    });
  }

  draw() {
    this._shown = this._points.filter((point) => this._isShown(point));
    const { clientWidth: width, clientHeight: height } = this._element;
    this._onDrawn();
    if (!width) return;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Map of the structures" });
    this._element.replaceChildren(svg, this._card);
    this._card.hidden = true;
    this._style = this._styles();
    if (!this._shown.length) {
      const text = this._points.length ? "No structure has both values within the ranges" : "No relaxed structures in this selection";
      svg.append(make("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "empty" }, text));
      return;
    }
    this._scale(width, height);
    this._drawAxes(svg, width, height);
    if (this.axes.x === "n_fraction" && this.axes.y === "gb_energy_j_m2") this._drawLines(svg);
    if (this.isRegistries && this._cell) this._drawCell(svg);
    // The best are drawn last, on top.
    for (const point of [...this._shown].reverse()) svg.append(this._symbol(point));
    this._mark();
  }

  _scale(width, height) {
    const range = (axis) => {
      const [low, high] = this._asked[axis], values = this._shown.map((point) => point[this.axes[axis]]);
      const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
      const pad = 0.06 * (most - least || Math.abs(most) || 1);
      return [low ?? least - pad, high ?? most + pad];
    };
    const across = width - MARGIN.left - MARGIN.right, up = height - MARGIN.top - MARGIN.bottom;
    const isFree = this.isRegistries && this._cell && [...this._asked.x, ...this._asked.y].every((end) => end === null);
    const [[left, right], [bottom, top]] = isFree ? this._aroundCell(across, up) : [range("x"), range("y")];
    this._ranges = { x: [left, right], y: [bottom, top] };
    this._x = (value) => MARGIN.left + ((value - left) / (right - left || 1)) * across;
    this._y = (value) => height - MARGIN.bottom - ((value - bottom) / (top - bottom || 1)) * up;
    // Values at a place of the picture.
    this.valuesAt = (x, y) => [left + ((x - MARGIN.left) / across) * (right - left), bottom + ((height - MARGIN.bottom - y) / up) * (top - bottom)];
  }

  // Corners of the cell of the registries, Å.
  _corners() {
    const [[ax, ay], [bx, by]] = this._cell;
    return [[0, 0], [ax, ay], [ax + bx, ay + by], [bx, by]];
  }

  // Ranges that hold the whole cell on one scale across and up.
  _aroundCell(across, up) {
    const ends = [0, 1].map((axis) => this._corners().map((corner) => corner[axis])).map((values) => [Math.min(...values), Math.max(...values)]);
    const perPixel = 1.08 * Math.max((ends[0][1] - ends[0][0]) / across, (ends[1][1] - ends[1][0]) / up);
    return [[ends[0], across], [ends[1], up]].map(([[low, high], pixels]) => [-1, 1].map((side) => (low + high + side * perPixel * pixels) / 2));
  }

  _drawCell(svg) {
    svg.append(make("polygon", { points: this._corners().map(([x, y]) => `${this._x(x)},${this._y(y)}`).join(" "), class: "cell" }));
  }

  _drawAxes(svg, width, height) {
    const bottom = height - MARGIN.bottom;
    for (const value of ticks(...this._ranges.y)) {
      const y = this._y(value);
      svg.append(make("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y, class: "grid" }));
      svg.append(make("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, tickText(value)));
    }
    svg.append(make("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom, class: "axis" }));
    for (const value of this._xTicks(width)) {
      svg.append(make("text", { x: this._x(value), y: bottom + 17, "text-anchor": "middle" }, this.axes.x === "n_fraction" ? fraction(value) : tickText(value)));
    }
    svg.append(make("text", { x: (MARGIN.left + width) / 2, y: height - 6, "text-anchor": "middle" }, axisText(this.axes.x)));
    const middle = (MARGIN.top + bottom) / 2;
    svg.append(make("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, axisText(this.axes.y)));
  }

  // Ticks at the [n] of the points, as many as there is room for.
  _xTicks(width) {
    if (this.axes.x !== "n_fraction") return ticks(...this._ranges.x, Math.max(2, Math.floor(width / 90)));
    const fractions = [...new Set(this._shown.map((point) => point.n_fraction))].sort((a, b) => a - b);
    const every = Math.ceil(fractions.length / Math.max(1, Math.floor((width - 80) / 44)));
    return fractions.filter((_, place) => place % every === 0);
  }

  _drawLines(svg) {
    for (const [group, { colour, dash }] of Object.entries(KIND.groups)) {
      const best = new Map();
      for (const point of this._shown) if (groupOf(point) === group && !best.has(point.n_fraction)) best.set(point.n_fraction, point);
      const line = [...best.values()].sort((a, b) => a.n_fraction - b.n_fraction);
      if (line.length < 2) continue;
      const path = line.map((point) => `${this._x(point.n_fraction)},${this._y(point.gb_energy_j_m2)}`).join(" ");
      svg.append(make("polyline", { points: path, class: "hull", stroke: colour, "stroke-dasharray": dash }));
    }
  }

  _symbol(point) {
    const { colour, shape } = this._style(point), [x, y] = this._placeOf(point);
    return make("path", { d: SHAPES[shape], transform: `translate(${x},${y})`, fill: colour, class: "point", "data-id": point.id, "data-shape": shape });
  }

  _placeOf(point) {
    return [this._x(point[this.axes.x]), this._y(point[this.axes.y])];
  }

  _ringAround(point) {
    const [cx, cy] = this._placeOf(point);
    return [make("circle", { cx, cy, r: 8.5, class: "halo" }), make("circle", { cx, cy, r: 8.5, class: "ring", "data-chosen": point.id })];
  }

  _mark() {
    const svg = this._element.firstElementChild;
    if (!svg) return;
    svg.querySelectorAll(".ring, .halo").forEach((ring) => ring.remove());
    const point = this._shown.find((one) => one.id === this._chosen);
    if (point && this._x) svg.append(...this._ringAround(point));
  }

  // Function that gives the colour and the shape of a point, with its legend shown.
  _styles() {
    if (this.colour === "source") return this._bySource();
    if (this.colour === "phase") return this._byPhase();
    const { name, unit } = KIND.axes[this.colour];
    const values = this._shown.map((point) => point[this.colour]).filter((value) => value !== null).sort((a, b) => a - b);
    // Percentiles keep outliers from stretching the colour scale.
    const low = values[Math.floor(0.02 * values.length)], high = values[Math.ceil(0.98 * values.length) - 1];
    const text = (value) => (value === undefined ? "" : `${this.colour === "round" ? value : value.toFixed(2)} ${unit}`.trim());
    this._legend.replaceChildren(`${name}: ${text(low)}`, rampBar(), text(high));
    return (point) => ({
      shape: KIND.groups[groupOf(point)].shape,
      colour: point[this.colour] === null ? UNKNOWN : ramp(high > low ? (point[this.colour] - low) / (high - low) : 0),
    });
  }

  _bySource() {
    const present = new Set(this._shown.map(groupOf));
    const paints = this._shown.some((point) => point.source === "explore" && groupOf(point) === "model");
    const groups = Object.keys(KIND.groups).filter((group) => present.has(group));
    this._legend.replaceChildren(...groups.map((group) => shapeSwatch(KIND.groups[group], `${KIND.groups[group].name}${group === "model" && paints ? " with its in-painting moves" : ""}`)));
    return (point) => KIND.groups[groupOf(point)];
  }

  // The phases of lowest energy have a shape each.
  _byPhase() {
    const names = [...new Set(this._shown.map(({ id }) => this._phaseOf.get(id)).filter(Boolean))];
    const shapes = Object.keys(SHAPES), styles = new Map(names.slice(0, shapes.length).map((name, place) => [name, { colour: PHASE_COLOURS[place], shape: shapes[place] }]));
    const other = { colour: UNKNOWN, shape: "circle" };
    this._legend.replaceChildren(...[...styles].map(([name, style]) => shapeSwatch(style, name)), shapeSwatch(other, names.length > styles.size ? "other phases, or none" : "no phase"));
    return ({ id }) => styles.get(this._phaseOf.get(id)) || other;
  }

  // Show a card with what is known of a point, or hide it.
  hover(id) {
    const point = id && this.point(id);
    this._card.hidden = !point;
    if (!point) return;
    const phase = this._phaseOf.get(id), [x, y] = this._placeOf(point);
    const lines = Object.entries(KIND.axes).filter(([field]) => point[field] != null).map(([field, { name, unit }]) => `${name}: ${valueText(point[field], field)} ${unit}`);
    this._card.replaceChildren(...[point.id, sourceName(point), ...(phase ? [`phase ${phase}`] : []), ...lines].map((text, place) => {
      const line = document.createElement(place ? "span" : "b");
      line.textContent = text;
      return line;
    }));
    this._card.style.left = `${Math.min(Math.max(x + 14, 4), this._element.clientWidth - this._card.offsetWidth - 4)}px`;
    this._card.style.top = `${y + 14 + this._card.offsetHeight > this._element.clientHeight ? Math.max(2, y - 14 - this._card.offsetHeight) : y + 14}px`;
  }

  choose(id) { this._onSelect(id); }

  // Up and down move within a column, left and right to the lowest of the next one. Where columns have
  // one structure each, all four go to the next value.
  _onKey(event) {
    const steps = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    if (!(event.key in steps) || !this._shown.length) return;
    event.preventDefault();
    const [across, up] = steps[event.key], { x, y } = this.axes;
    const now = this._shown.find((point) => point.id === this._chosen) || this._shown[0];
    const columns = [...new Set(this._shown.map((point) => point[x]))].sort((a, b) => a - b);
    if (columns.length === this._shown.length) return this._step(now, across ? x : y, across || up);
    const column = columns[columns.indexOf(now[x]) + across];
    const here = this._shown.filter((point) => point[x] === column).sort((a, b) => a[y] - b[y]);
    const next = across ? here[0] : here[here.indexOf(now) + up];
    if (!next) return;
    this._onSelect(next.id);
    this.hover(next.id);
  }

  _step(now, axis, step) {
    const order = [...this._shown].sort((a, b) => a[axis] - b[axis]), next = order[order.indexOf(now) + step];
    if (!next) return;
    this._onSelect(next.id);
    this.hover(next.id);
  }
}

// The mouse over the map: a click chooses, a rectangle narrows the ranges, a double click widens.
class MapPointer {
  constructor(element, map) {
    const idOf = (event) => event.target.dataset?.id;
    element.addEventListener("pointerover", (event) => map.hover(idOf(event)));
    for (const kind of ["pointerleave", "blur"]) element.addEventListener(kind, () => map.hover(null));
    element.addEventListener("click", (event) => { if (idOf(event)) map.choose(idOf(event)); });
    element.addEventListener("dblclick", () => map.drawAll(false));
    element.addEventListener("pointerdown", (event) => {
      if (event.button || event.pointerType === "touch" || !map.valuesAt) return;
      const box = element.getBoundingClientRect();
      this._start = [event.clientX - box.left, event.clientY - box.top];
    });
    element.addEventListener("pointermove", (event) => this._drag(event, element));
    addEventListener("pointerup", (event) => this._end(event, element, map));
  }

  _corners(event, element) {
    const box = element.getBoundingClientRect(), end = [event.clientX - box.left, event.clientY - box.top];
    return [0, 1].map((axis) => [this._start[axis], end[axis]].sort((a, b) => a - b));
  }

  _drag(event, element) {
    if (!this._start) return;
    const [[left, right], [top, bottom]] = this._corners(event, element);
    this._frame ??= make("rect", { class: "frame" });
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) this._frame.setAttribute(name, value);
    element.firstElementChild.append(this._frame);
  }

  _end(event, element, map) {
    if (!this._start) return;
    const [across, up] = this._corners(event, element);
    this._start = null;
    this._frame?.remove();
    if (across[1] - across[0] < DRAG_PX || up[1] - up[0] < DRAG_PX) return;
    const [low, high] = [map.valuesAt(across[0], up[1]), map.valuesAt(across[1], up[0])];
    const rounded = (value) => Number(value.toPrecision(4));
    map.setRange("x", [rounded(low[0]), rounded(high[0])]);
    map.setRange("y", [rounded(low[1]), rounded(high[1])]);
  }
}

function axisText(field) {
  const { name, unit } = KIND.axes[field];
  return unit ? `${name} (${unit})` : name;
}

function valueText(value, field) {
  if (field === "n_fraction") return fraction(value);
  return Number.isInteger(value) ? count(value) : value.toFixed(KIND.axes[field].places ?? 3);
}

function shapeSwatch({ colour, shape }, text) {
  const item = document.createElement("span"), svg = make("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14 });
  svg.append(make("path", { d: SHAPES[shape], fill: colour }));
  item.append(svg, text);
  return item;
}
