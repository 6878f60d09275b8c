"use strict";
// Helpers for the document that all parts of the page share.

const at = (id) => document.getElementById(id);

// Resolves when all scripts are loaded.
const loaded = new Promise((resolve) => (document.readyState === "complete" ? resolve() : addEventListener("load", resolve)));

// Resolves after the browser's next paint.
function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

// An SVG element.
function make(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
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

// Table of texts; the columns of numbers are aligned to the right.
function plainTable(titles, rows, numbers) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow(), body = table.createTBody();
  const fill = (cell, text, column) => {
    cell.className = numbers.includes(column) ? "" : "text";
    cell.textContent = text;
    return cell;
  };
  titles.forEach((title, column) => head.append(fill(document.createElement("th"), title, column)));
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((text, column) => fill(line.insertCell(), text, column));
  }
  return table;
}

function options(select, pairs, withAny = true) {
  const before = select.value;
  select.replaceChildren(...[...(withAny ? [["", "any"]] : []), ...pairs].map(([value, label]) => new Option(label, value)));
  select.value = pairs.some(([value]) => value === before) ? before : select.options[0]?.value ?? "";
}

// Arrow keys go from one of some buttons to the next, as in a toolbar or a list of tabs.
function roving(buttons) {
  buttons.forEach((button, place) => button.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (buttons[place + step]) buttons[place + step].focus();
  }));
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

function fraction(value) {
  return value === null ? "" : String(Number(value.toPrecision(4)));
}
