"use strict";
// Colours of points and atoms. Scales run from dark to light and categories differ in lightness, so
// both survive greyscale and colour-blind eyes.

const RAMP = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const UNKNOWN = "#9aa2ac";
const GRAIN_NAMES = ["lower grain", "boundary", "upper grain"];
const GRAIN_COLOURS = ["#2b5f9e", "#ffd166", "#7aa6d2"];
const KIND_NAMES = ["other", "fcc", "hcp", "bcc", "icosahedral"];
const KIND_COLOURS = ["#ffd166", "#3fae7a", "#b8402c", "#1f4e8c", "#c9a3e0"];
// By the difference from the crystal's own coordination, from -3 or less to +3 or more.
const COORDINATION_COLOURS = ["#08306b", "#2171b5", "#85bbe6", "#c9ced6", "#f6bd74", "#dd7a1a", "#8c3800"];

// What atoms can be coloured by. needs: which data besides the structure itself.
const ATOM_COLOURS = {
  energy: { name: "energy above bulk", unit: "eV" },
  grain: { name: "grain", needs: "environment" },
  kind: { name: "common-neighbour analysis", short: "common neighbours", needs: "environment" },
  coordination: { name: "coordination", needs: "environment" },
  centro: { name: "centro-symmetry", short: "centro-symmetry", unit: "Å²", needs: "environment" },
  displacement: { name: "displacement in relaxation", unit: "Å" },
  element: { name: "element" },
};

// Colours of drawn atoms, and the legend that explains them.
// drawn: index in the record of each drawn atom; range: energies at the ends of the scale, eV.
function paintAtoms(record, environment, by, range, drawn) {
  const { atoms, energies } = record, pick = (values) => values && drawn.map((atom) => values[atom]);
  if (by === "element") return paintElements(pick(atoms.names || Array(atoms.size).fill(atoms.element)));
  if (by === "energy") return paintScale(range ? pick(energies) : null, range, by);
  if (by === "displacement") return paintScale(pick(displacements(atoms)), null, by);
  if (!environment) return paintScale(null, null, by);
  if (by === "grain") return paintKinds(pick(environment.grains), GRAIN_NAMES, GRAIN_COLOURS, by);
  if (by === "kind") return paintKinds(pick(environment.kinds), KIND_NAMES, KIND_COLOURS, by);
  if (by === "coordination") return paintCoordination(pick(environment.coordination));
  return paintScale(pick(environment.centro), null, by);
}

function paintElements(names) {
  const kinds = [...new Set(names)], table = $3Dmol.elementColors.Jmol;
  const hex = (name) => `#${(table[name] ?? 0x9aa2ac).toString(16).padStart(6, "0")}`;
  return paintKinds(names.map((name) => kinds.indexOf(name)), kinds, kinds.map(hex), "element");
}

function paintKinds(numbers, names, colours, by) {
  const present = names.map((_, kind) => numbers.filter((number) => number === kind).length);
  const items = names.map((name, kind) => [colours[kind], name, present[kind]]).filter(([, , num]) => num);
  return { colours: numbers.map((number) => colours[number]), legend: { ...ATOM_COLOURS[by], items } };
}

function paintCoordination(numbers) {
  const counts = new Map();
  for (const number of numbers) counts.set(number, (counts.get(number) || 0) + 1);
  const own = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most), [0, 0])[0];
  const colour = (number) => COORDINATION_COLOURS[Math.max(-3, Math.min(3, number - own)) + 3];
  const items = [...counts].sort((a, b) => a[0] - b[0]).map(([number, num]) => [colour(number), String(number), num]);
  return { colours: numbers.map(colour), legend: { ...ATOM_COLOURS.coordination, items } };
}

function paintScale(values, range, by) {
  const about = ATOM_COLOURS[by];
  if (!values) return { colours: null, legend: { ...about, isUnknown: true } };
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = range ?? [0, Math.max(sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0, 1e-3)];
  const outside = sorted.filter((value) => value < low - 5e-3 || value > high + 5e-3).length;
  const colours = values.map((value) => ramp(high > low ? (value - low) / (high - low) : 0));
  return { colours, legend: { ...about, low, high, outside } };
}

function displacements({ x, y, z, before }) {
  return before ? x.map((_, atom) => Math.hypot(x[atom] - before.x[atom], y[atom] - before.y[atom], z[atom] - before.z[atom])) : null;
}

function showLegend(element, { name, unit, items, low, high, outside, isUnknown }) {
  const text = (words) => Object.assign(document.createElement("span"), { textContent: words });
  if (isUnknown) element.replaceChildren(text(`${name}: not known of this structure`));
  else if (items) element.replaceChildren(text(name), ...items.map(([colour, text, num]) => swatch(colour, `${text} (${count(num)})`)));
  else {
    const rest = outside ? [text(`${count(outside)} atoms outside the scale`)] : [];
    element.replaceChildren(text(name), text(low.toFixed(2)), rampBar(), text(`${high.toFixed(2)} ${unit}`), ...rest);
  }
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

function ramp(share) {
  const place = Math.max(0, Math.min(1, share)) * (RAMP.length - 1), first = Math.min(Math.floor(place), RAMP.length - 2);
  const mix = [1, 3, 5].map((start) => {
    const [from, to] = [RAMP[first], RAMP[first + 1]].map((colour) => parseInt(colour.slice(start, start + 2), 16));
    return Math.round(from + (to - from) * (place - first)).toString(16).padStart(2, "0");
  });
  return `#${mix.join("")}`;
}
