"use strict";
// What the page shows of each kind of campaign: of a grain boundary, or of a material and its spectrum.

const digits = (num) => (value) => (value === null ? "" : value.toFixed(num));
const withUnit = (value, places, unit) => (value === null ? "–" : `${value.toFixed(places)} ${unit}`.trim());
const withError = (value, error) => (value === null ? "" : `${value.toFixed(4)}${error === null ? "" : ` ± ${error.toFixed(4)}`}`);
const star = (value, { converged }) => (value === null || converged ? "" : "*");
const ROUND_COLUMN = { field: "round", head: "Round" };
const SOURCE_COLUMN = { field: "source", head: "Source", text: true, show: (value, row) => sourceName(row) };
const LAST_COLUMNS = [{ field: "status", head: "Status", text: true }];
const REASON_COLUMN = { field: "reason", head: "Reason", text: true };
// Colours of points beside those by a value: of groups, and of phases.
const BY_SOURCE = ["source", "source"];

const BOUNDARY = {
  short: { n: "n_fraction", energy: "gb_energy_j_m2" },
  sort: "energy",
  example: "for example  source=model n=0.2 energy<2.5",
  columns: [
    { field: "id", head: "Candidate", text: true },
    { field: "gb_energy_j_m2", head: "Energy (J/m²)", show: (value, row) => digits(4)(value) + star(value, row) },
    { field: "n_fraction", head: "[n]", show: fraction },
    { field: "num_atoms", head: "Atoms" },
    { field: "excess_volume_a", head: "Excess volume (Å)", show: digits(3) },
    { field: "closest_pair_a", head: "Closest pair (Å)", show: digits(2) },
    SOURCE_COLUMN, ROUND_COLUMN, ...LAST_COLUMNS, { field: "preset", head: "Relaxed", text: true }, REASON_COLUMN,
  ],
  axes: {
    n_fraction: { name: "[n]", unit: "" },
    gb_energy_j_m2: { name: "boundary energy", unit: "J/m²", places: 4 },
    excess_volume_a: { name: "excess volume", unit: "Å" },
    closest_pair_a: { name: "closest pair", unit: "Å" },
    num_atoms: { name: "atoms", unit: "" },
    round: { name: "round", unit: "" },
    dx_a: { name: "shift dx", unit: "Å" },
    dy_a: { name: "shift dy", unit: "Å" },
  },
  mapAxes: { x: "n_fraction", y: "gb_energy_j_m2" },
  mapColours: [BY_SOURCE, ["phase", "phase"], ["round", "round"], ["excess_volume_a", "excess volume"], ["closest_pair_a", "closest pair"], ["gb_energy_j_m2", "energy"]],
  // Value by which candidates are ranked, and one that every relaxed structure has.
  rank: "gb_energy_j_m2",
  known: "gb_energy_j_m2",
  groups: {
    search: { colour: "var(--search)", shape: "circle", dash: "", name: "search" },
    exploration: { colour: "var(--exploration)", shape: "triangle", dash: "7 3", name: "exploration" },
    model: { colour: "var(--model)", shape: "square", dash: "2 3", name: "diffusion model" },
  },
  // A move that used a model's weights, as in-painting does, is a model's.
  groupOf({ source, version }) {
    if (source === "search") return "search";
    return source === "model" || version > 0 ? "model" : "exploration";
  },
  missing: "higher ones of their [n] not read",
  best: ({ gb_energy_j_m2: energy, n_fraction: n }) => ["lowest ", `${energy.toFixed(3)} J/m²`, ` at [n] = ${fraction(n)}`],
  title: ({ id, fields }) => (fields.gb_energy_j_m2 === null ? id : `${id}: ${fields.gb_energy_j_m2.toFixed(4)} J/m², [n] = ${fraction(fields.n_fraction)}`),
  facts: (fields) => [
    ["energy", withUnit(fields.gb_energy_j_m2, 4, "J/m²") + (star(fields.gb_energy_j_m2, fields) && " (not converged)")],
    ["[n]", fraction(fields.n_fraction) || "–"],
    ["atoms", count(fields.num_atoms)],
    ["excess volume", withUnit(fields.excess_volume_a, 3, "Å")],
    ["source", sourceName(fields)],
    ["round", String(fields.round)],
  ],
  atomColours: ["energy", "grain", "coordination", "kind", "centro", "displacement", "element"],
  energyName: "energy above bulk",
  region: "boundary",
  repeat: "2,1",
  normal: "z, the normal",
  work: "Work by source",
  hidden: [],
  xyz: (fields) => `gb_energy_j_m2=${fields.gb_energy_j_m2} n_fraction=${fields.n_fraction} id=${fields.id}`,
  periodic: "T T F",
};

const MATERIAL = {
  short: { energy: "energy_ev_atom", error: "spectrum_error" },
  sort: "error",
  example: "for example  guided=guided error<0.05 energy<-6.8",
  columns: [
    { field: "id", head: "Candidate", text: true },
    { field: "spectrum_error", head: "Spectrum error", show: (value, row) => withError(value, row.spectrum_error_se) },
    { field: "predicted_error", head: "Predicted error", show: digits(4) },
    { field: "energy_ev_atom", head: "Energy (eV/atom)", show: (value, row) => digits(4)(value) + star(value, row) },
    { field: "density_g_cm3", head: "Density (g/cm³)", show: digits(3) },
    { field: "num_labelled", head: "Labelled atoms" },
    SOURCE_COLUMN, ROUND_COLUMN, ...LAST_COLUMNS, REASON_COLUMN,
  ],
  axes: {
    energy_ev_atom: { name: "energy", unit: "eV/atom", places: 4 },
    spectrum_error: { name: "spectrum error", unit: "", places: 4 },
    predicted_error: { name: "predicted spectrum error", unit: "", places: 4 },
    density_g_cm3: { name: "density", unit: "g/cm³" },
    closest_pair_a: { name: "closest pair", unit: "Å" },
    round: { name: "round", unit: "" },
  },
  mapAxes: { x: "energy_ev_atom", y: "spectrum_error" },
  mapColours: [BY_SOURCE, ["round", "round"], ["density_g_cm3", "density"], ["predicted_error", "predicted error"]],
  rank: "spectrum_error",
  known: "energy_ev_atom",
  groups: {
    guided: { colour: "var(--model)", shape: "square", dash: "", name: "guided" },
    unguided: { colour: "var(--search)", shape: "circle", dash: "7 3", name: "unguided" },
    quench: { colour: "var(--exploration)", shape: "triangle", dash: "", name: "quench" },
    given: { colour: "var(--exploration)", shape: "diamond", dash: "", name: "given structure" },
  },
  groupOf: ({ source, guided }) => guided || source,
  missing: "of larger errors not read",
  best: ({ spectrum_error: error, energy_ev_atom: energy }) => ["smallest spectrum error ", error.toFixed(4), ` at ${energy.toFixed(3)} eV/atom`],
  title: ({ id, fields }) => (fields.spectrum_error === null ? id : `${id}: spectrum error ${fields.spectrum_error.toFixed(4)}, ${fields.energy_ev_atom.toFixed(4)} eV/atom`),
  facts: (fields) => [
    ["spectrum error", withError(fields.spectrum_error, fields.spectrum_error_se) || "not compared"],
    ["energy", withUnit(fields.energy_ev_atom, 4, "eV/atom") + (star(fields.energy_ev_atom, fields) && " (not converged)")],
    ["density", withUnit(fields.density_g_cm3, 3, "g/cm³")],
    ["atoms", count(fields.num_atoms)],
    ["source", sourceName(fields)],
    ["round", String(fields.round)],
  ],
  atomColours: ["coordination", "energy", "displacement", "element"],
  energyName: "energy above the mean",
  region: "whole",
  repeat: "1,1",
  normal: "z",
  work: "Spectrum errors by round",
  hidden: ["n-box", "tab-phases", "region-box", "map-registries"],
  xyz: (fields) => `spectrum_error=${fields.spectrum_error} energy_ev_atom=${fields.energy_ev_atom} density_g_cm3=${fields.density_g_cm3} id=${fields.id}`,
  periodic: "T T T",
};

// The kind of the campaign that the page is of, and the values of a point of its map.
let KIND = BOUNDARY, MAP_FIELDS = [];

// Lay the page out for a kind of campaign; called once, before anything else.
function useKind({ kind, map_fields: mapFields, is_guided: isGuided }) {
  [KIND, MAP_FIELDS] = [kind === "material" ? MATERIAL : BOUNDARY, mapFields];
  ATOM_COLOURS.energy.name = KIND.energyName;
  for (const id of KIND.hidden) at(id).hidden = true;
  at("tab-asked").hidden = !isGuided;
  at("select").placeholder = KIND.example;
  at("look-z").textContent = KIND.normal;
  if (KIND === MATERIAL) {
    at("look-z").title = "";
    at("map-keys").textContent = "next value";
  }
  at("work-title").textContent = KIND.work;
  options(at("map-colour"), KIND.mapColours, false);
  options(at("atom-colour"), KIND.atomColours.map((by) => [by, ATOM_COLOURS[by].short || by]), false);
  at("region").value = KIND.region;
  at("repeat").value = KIND.repeat;
}

function groupOf(record) {
  return KIND.groupOf(record);
}

// Names as in gcd_hpc/store/makers.py, and of a material whether it was guided.
function sourceName({ source, version, move, guided }) {
  const name = source === "model" ? `model ${String(version).padStart(2, "0")}` : move || groupOf({ source, version, guided });
  return guided ? `${name}, ${guided}` : name;
}
