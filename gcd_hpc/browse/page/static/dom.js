"use strict";
// Small things that every part of the page does with the document.

const at = (id) => document.getElementById(id);

// All scripts are there.
const loaded = new Promise((resolve) => (document.readyState === "complete" ? resolve() : addEventListener("load", resolve)));

// After the next picture.
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
