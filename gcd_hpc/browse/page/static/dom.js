"use strict";
// Helpers for the document that all parts of the page share.

const at = (id) => document.getElementById(id);

// Resolves when all scripts are loaded.
const loaded = new Promise((resolve) => (document.readyState === "complete" ? resolve() : addEventListener("load", resolve)));

// Resolves after the browser's next paint.
function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

function facts(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value, meaning = ""]) => {
    const group = document.createElement("div"), term = document.createElement("dt"), detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    group.title = meaning;
    group.append(term, detail);
    return group;
  }));
}

function options(select, pairs, withAny = true) {
  const before = select.value;
  select.replaceChildren(...[...(withAny ? [["", "any"]] : []), ...pairs].map(([value, label]) => new Option(label, value)));
  select.value = pairs.some(([value]) => value === before) ? before : select.options[0]?.value ?? "";
}

function keep(name, url) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

function note(element, message, isWrong = false) {
  element.textContent = message;
  element.classList.toggle("wrong", isWrong);
}

function count(value) {
  return value.toLocaleString("en");
}
