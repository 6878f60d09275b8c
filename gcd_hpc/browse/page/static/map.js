"use strict";
// Map of energy against [n], with search, exploration and models side by side at their [n], as in the figures.

const MAP_FIELDS = ["id", "n_fraction", "gb_energy_j_m2", "source", "version", "round", "excess_volume_a"];
const COLOURS = { search: "#1f5fa8", exploration: "#2a8c4a", model: "#c8322b" };
const SIDES = { 1: [0], 2: [-0.22, 0.22], 3: [-0.3, 0, 0.3] };
const RAMP = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
const SPREAD = 0.13;
const MARGIN = { left: 58, right: 14, top: 12, bottom: 42 };

class EnergyMap {
  constructor(element, legend, onSelect) {
    this._element = element;
    this._legend = legend;
    this._onSelect = onSelect;
    this._points = [];
    this._chosen = null;
    this.colour = "source";
    this.isWhole = false;
    element.addEventListener("click", (event) => {
      const id = event.target.dataset && event.target.dataset.id;
      if (id) onSelect(id);
    });
    element.addEventListener("keydown", (event) => this._onKey(event));
    new ResizeObserver(() => this.draw()).observe(element);
  }

  // rows: points by ascending energy.
  show({ rows, cap }) {
    this._cap = cap;
    this._points = rows.map((row) => Object.fromEntries(MAP_FIELDS.map((name, column) => [name, row[column]])));
    this.draw();
  }

  select(id) {
    this._chosen = id;
    this._mark();
  }

  get hidden() {
    return this._points.filter((point) => !this._isShown(point)).length;
  }

  _isShown(point) {
    return this.isWhole || point.gb_energy_j_m2 <= this._cap;
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this._element;
    if (!width) return;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Energies by [n]" });
    this._element.replaceChildren(svg);
    const shown = this._points.filter((point) => this._isShown(point));
    // A single group of sources is drawn at its [n], several are drawn side by side.
    const present = new Set(shown.map(groupOf)), groups = Object.keys(COLOURS).filter((group) => present.has(group));
    this._sides = Object.fromEntries(groups.map((group, place) => [group, SIDES[groups.length][place]]));
    this._shade = this._shades(shown);
    if (!shown.length) {
      svg.append(make("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "empty" }, "No relaxed structures in this selection"));
      return;
    }
    this._scale(shown, width, height);
    this._axes(svg, shown, width, height);
    for (const group of groups) this._hull(svg, shown.filter((point) => groupOf(point) === group), group);
    // The lowest energies are drawn last, on top.
    for (const point of [...shown].reverse()) svg.append(this._circle(point));
    this._mark();
  }

  _scale(shown, width, height) {
    const fractions = [...new Set(shown.map((point) => point.n_fraction))].sort((a, b) => a - b);
    this._fractions = fractions;
    this._step = fractions.length > 1 ? Math.min(...fractions.slice(1).map((value, place) => value - fractions[place])) : 0.1;
    const low = shown[0].gb_energy_j_m2;
    const high = shown.reduce((most, point) => Math.max(most, point.gb_energy_j_m2), low);
    const span = Math.max(high - low, 1e-3);
    const [left, right] = [fractions[0] - 0.6 * this._step, fractions[fractions.length - 1] + 0.6 * this._step];
    this._range = [low - 0.06 * span, high + 0.03 * span];
    this._x = (value) => MARGIN.left + ((value - left) / (right - left)) * (width - MARGIN.left - MARGIN.right);
    this._y = (value) => height - MARGIN.bottom - ((value - this._range[0]) / (this._range[1] - this._range[0])) * (height - MARGIN.top - MARGIN.bottom);
  }

  _axes(svg, shown, width, height) {
    const bottom = height - MARGIN.bottom;
    for (const value of ticks(...this._range)) {
      const y = this._y(value);
      svg.append(make("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y, class: "grid" }));
      svg.append(make("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, value.toFixed(2)));
    }
    svg.append(make("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom, class: "axis" }));
    const every = Math.ceil(this._fractions.length / Math.max(1, Math.floor((width - 80) / 44)));
    this._fractions.forEach((value, place) => {
      if (place % every === 0) svg.append(make("text", { x: this._x(value), y: bottom + 17, "text-anchor": "middle" }, fraction(value)));
    });
    svg.append(make("text", { x: (MARGIN.left + width) / 2, y: height - 6, "text-anchor": "middle" }, "[n]"));
    const middle = (MARGIN.top + bottom) / 2;
    svg.append(make("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, "boundary energy (J/m²)"));
  }

  _hull(svg, points, group) {
    const best = new Map();
    for (const point of points) if (!best.has(point.n_fraction)) best.set(point.n_fraction, point);
    const line = [...best.values()].sort((a, b) => a.n_fraction - b.n_fraction);
    if (line.length < 2) return;
    const path = line.map((point) => `${this._place(point)},${this._y(point.gb_energy_j_m2)}`).join(" ");
    svg.append(make("polyline", { points: path, class: "hull", stroke: COLOURS[group] }));
  }

  _circle(point) {
    const label = `${point.id}: ${point.gb_energy_j_m2.toFixed(4)} J/m², [n] = ${fraction(point.n_fraction)}`;
    const circle = make("circle", {
      cx: this._place(point), cy: this._y(point.gb_energy_j_m2), r: 4.2, fill: this._shade(point), class: "point", "data-id": point.id,
    });
    circle.append(make("title", {}, label));
    return circle;
  }

  // Place of a point; the jitter is a hash of the id, so it does not depend on the selection.
  _place(point) {
    let hash = 2166136261;
    for (const letter of point.id) hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619);
    hash = Math.imul(hash ^ (hash >>> 15), 2246822519);
    const spread = (((hash >>> 8) & 0xffff) / 0xffff) * 2 - 1;
    return this._x(point.n_fraction + (this._sides[groupOf(point)] + spread * SPREAD) * this._step);
  }

  _mark() {
    const svg = this._element.firstElementChild;
    if (!svg) return;
    svg.querySelectorAll(".ring, .halo").forEach((ring) => ring.remove());
    const point = this._points.find((one) => one.id === this._chosen && this._isShown(one));
    if (!point || !this._x) return;
    const place = { cx: this._place(point), cy: this._y(point.gb_energy_j_m2), r: 8 };
    svg.append(make("circle", { ...place, class: "halo" }), make("circle", { ...place, class: "ring", "data-chosen": point.id }));
  }

  _shades(shown) {
    if (this.colour === "source") {
      const paints = shown.some((point) => point.source === "explore" && groupOf(point) === "model");
      const names = { model: paints ? "diffusion model with its in-painting moves" : "diffusion model" };
      this._legend.replaceChildren(...Object.keys(this._sides).map((group) => swatch(COLOURS[group], names[group] || group)));
      return (point) => COLOURS[groupOf(point)];
    }
    const values = shown.map((point) => point[this.colour]).filter((value) => value !== null).sort((a, b) => a - b);
    // Percentiles keep outliers from stretching the colour scale.
    const low = values[Math.floor(0.02 * values.length)], high = values[Math.ceil(0.98 * values.length) - 1];
    const unit = this.colour === "round" ? "" : " Å";
    const text = (value) => (value === undefined ? "" : (this.colour === "round" ? String(value) : value.toFixed(2)) + unit);
    const name = this.colour === "round" ? "round" : "excess volume";
    this._legend.replaceChildren(`${name}: ${text(low)}`, rampBar(), text(high));
    return (point) => (point[this.colour] === null ? "#aab2bc" : ramp(high > low ? (point[this.colour] - low) / (high - low) : 0));
  }

  // Up and down move within an [n], left and right to the best of the next [n].
  _onKey(event) {
    const steps = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    if (!(event.key in steps) || !this._points.length) return;
    event.preventDefault();
    const [across, up] = steps[event.key];
    const now = this._points.find((point) => point.id === this._chosen) || this._points[0];
    const column = this._fractions[this._fractions.indexOf(now.n_fraction) + across];
    const here = this._points.filter((point) => point.n_fraction === column);
    const next = across ? here[0] : here[here.indexOf(now) + up];
    if (next) this._onSelect(next.id);
  }
}

function make(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function swatch(colour, text) {
  const item = document.createElement("span"), dot = document.createElement("i");
  dot.style.background = colour;
  item.append(dot, text);
  return item;
}

function rampBar() {
  const bar = document.createElement("span");
  bar.className = "ramp";
  bar.style.background = `linear-gradient(90deg, ${RAMP.join(", ")})`;
  return bar;
}

function fraction(value) {
  return value === null ? "" : String(Number(value.toPrecision(4)));
}

function ticks(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  return Array.from({ length: 12 }, (_, place) => (Math.ceil(low / step) + place) * step).filter((value) => value <= high);
}

function ramp(share) {
  const place = Math.max(0, Math.min(1, share)) * (RAMP.length - 1), first = Math.min(Math.floor(place), RAMP.length - 2);
  const mix = [1, 3, 5].map((start) => {
    const [from, to] = [RAMP[first], RAMP[first + 1]].map((colour) => parseInt(colour.slice(start, start + 2), 16));
    return Math.round(from + (to - from) * (place - first));
  });
  return `rgb(${mix.join(",")})`;
}
