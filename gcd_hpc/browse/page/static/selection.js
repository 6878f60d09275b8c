"use strict";
// Selections: conditions such as source=model, n=0.2, energy<2.4, all of which must be met.
// The server evaluates them itself; this file serves the controls and the page without a server.

const RELATIONS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b };
const ID = /^([\w.-]+\.)?(search-\d+|(model|explore|quench|given)-\d+-\d+)$/;
const FRACTION_TOLERANCE = 5e-5;

function fieldOf(name) {
  return KIND.short[name] || name;
}

function words(text) {
  return text.replace(/\s*(!=|<=|>=|=|<|>|,)\s*/g, "$1").trim().split(/\s+/).filter((word) => word);
}

// Selection in which `value` replaces all name=... conditions of the names; removes them if value is empty.
function withWord(text, names, value) {
  const kept = words(text).filter((word) => !names.includes((word.match(/^\w+(?==)/) || [])[0]));
  return [...kept, ...(value ? [value] : [])].join(" ");
}

function wordOf(text, name) {
  return words(text).find((word) => word.startsWith(`${name}=`)) || "";
}

// Function that tests whether a record (values by field) meets the selection.
// members: ids of the candidates of each phase, for the condition phase=NAME.
function predicate(text, fields, members = {}) {
  const tests = words(text).map((word) => {
    if (ID.test(word)) return (record) => record.id === word;
    const match = word.match(/^(\w+)(!=|<=|>=|=|<|>)(.+)$/);
    if (!match) throw new Error(`selection: expected FIELD=VALUE (or != < <= > >=), for example n=0.2 or energy<2.4, got ${word}`);
    const [, name, relation, value] = match;
    if (name === "phase" && ["=", "!="].includes(relation)) return phaseTest(relation, value.split(","), members);
    const field = fieldOf(name);
    if (!fields.includes(field)) throw new Error(`selection: expected one of ${[...Object.keys(KIND.short), ...fields].join(", ")}, got ${name}`);
    return relationTest(field, relation, value, word);
  });
  return (record) => tests.every((test) => test(record));
}

function phaseTest(relation, names, members) {
  const missing = names.find((name) => !members[name]);
  if (missing) throw new Error(`selection: there is no phase ${missing} among the lowest of each [n]`);
  const ids = new Set(names.flatMap((name) => members[name]));
  return (record) => ids.has(record.id) === (relation === "=");
}

function relationTest(field, relation, value, word) {
  if (relation in RELATIONS) {
    const bound = Number(value);
    if (!Number.isFinite(bound)) throw new Error(`selection: expected one number after ${relation}, got ${word}`);
    return (record) => record[field] !== null && RELATIONS[relation](record[field], bound);
  }
  const equal = value.split(",").map((one) => (known) => isSame(field, known, one));
  return (record) => equal.some((test) => test(record[field])) === (relation === "=");
}

function isSame(field, known, text) {
  if (typeof known === "boolean") return String(known) === text;
  if (typeof known !== "number") return known === text;
  const wanted = Number(text);
  if (field !== "n_fraction") return known === wanted;
  const distance = Math.abs(known - wanted) % 1;
  return Math.min(distance, 1 - distance) <= FRACTION_TOLERANCE;
}
