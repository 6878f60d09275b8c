"use strict";
// Axes and lines of charts in SVG.

// Round values between two bounds, for the ticks of an axis.
function ticks(low, high, num = 6) {
  if (!(high > low)) return [low];
  const rough = (high - low) / num, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: 2 * num + 2 }, (_, place) => Number(((first + place) * step).toFixed(places))).filter((value) => value <= high + 1e-9 * step);
}

function tickText(value) {
  return Math.abs(value) >= 1e5 ? value.toExponential(0) : String(Number(value.toPrecision(6)));
}

// Lines of a quantity against another; curves: [{name, colour, dash, width, points: [[x, y], ...], band: [[x, low, high], ...]}].
function lineChart(element, { title, xLabel, yLabel, curves, xStart, xEnd }) {
  const [width, height] = [Math.max(280, element.clientWidth), 230], box = { left: 62, right: 14, top: 14, bottom: 40 };
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title, class: "chart" });
  const every = curves.flatMap(({ points, band }) => [...points, ...(band || []).flatMap(([at, low, high]) => [[at, low], [at, high]])]);
  if (!every.length) return element.replaceChildren("Nothing is known yet.");
  const bounds = (axis) => every.reduce(([low, high], point) => [Math.min(low, point[axis]), Math.max(high, point[axis])], [Infinity, -Infinity]);
  const [[xLeast, xMost], [y0, y1]] = [bounds(0), bounds(1)];
  const x0 = Math.min(xLeast, xStart ?? xLeast), x1 = Math.max(xMost, xEnd ?? xMost), pad = 0.06 * (y1 - y0 || Math.abs(y1) || 1);
  const x = (value) => box.left + ((value - x0) / (x1 - x0 || 1)) * (width - box.left - box.right);
  const y = (value) => height - box.bottom - ((value - y0 + pad) / (y1 - y0 + 2 * pad)) * (height - box.top - box.bottom);
  for (const value of ticks(y0 - pad, y1 + pad, 4)) {
    svg.append(make("line", { x1: box.left, x2: width - box.right, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(make("text", { x: box.left - 7, y: y(value) + 4, "text-anchor": "end" }, tickText(value)));
  }
  for (const value of ticks(x0, x1, Math.min(6, width / 90))) svg.append(make("text", { x: x(value), y: height - box.bottom + 17, "text-anchor": "middle" }, tickText(value)));
  svg.append(make("line", { x1: box.left, x2: width - box.right, y1: height - box.bottom, y2: height - box.bottom, class: "axis" }));
  svg.append(make("text", { x: (box.left + width) / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
  const middle = (box.top + height - box.bottom) / 2;
  svg.append(make("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, yLabel));
  for (const { colour, band } of curves) {
    if (band) svg.append(make("polygon", { points: [...band.map(([at, , high]) => [at, high]), ...[...band].reverse().map(([at, low]) => [at, low])].map(([a, b]) => `${x(a)},${y(b)}`).join(" "), fill: colour, "fill-opacity": 0.16 }));
  }
  for (const { colour, dash = "", width: thick = 1.6, points, isDots } of curves) {
    if (isDots || points.length < 2) svg.append(...points.map(([a, b]) => make("circle", { cx: x(a), cy: y(b), r: 3, fill: colour })));
    else svg.append(make("polyline", { points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" "), fill: "none", stroke: colour, "stroke-width": thick, "stroke-dasharray": dash }));
  }
  const legend = document.createElement("p");
  legend.className = "legend";
  legend.append(...curves.map(({ name, colour, dash = "", isDots }) => (isDots ? swatch(colour, name) : lineSwatch(colour, dash, name))));
  element.replaceChildren(svg, legend);
}

// A piece of a line with its name; its pattern tells it apart without colours.
function lineSwatch(colour, dash, text) {
  const item = swatch(colour, text), line = item.firstElementChild;
  const pattern = { "": "solid", "7 3": "dashed", "2 3": "dotted" }[dash];
  line.className = "line";
  line.style.background = "none";
  line.style.borderTop = `3px ${pattern} ${colour}`;
  return item;
}
