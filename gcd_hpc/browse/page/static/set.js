"use strict";
// The page of a set of boundaries: figure and table, with a link to the page of each boundary.

const LOOK_EVERY_MS = 3000;
const TEXTS = ["boundary", "axis", "plane", "kind", "state"];

class SetPage {
  constructor() {
    this._sort = null;
    this._descending = false;
  }

  async start() {
    connectTheme(at("theme"));
    await this._refresh();
    document.body.dataset.ready = "true";
    this._follow();
  }

  async _refresh() {
    const state = await ask("api/state");
    this._state = state;
    document.title = `${state.name}: gcd-hpc`;
    at("name").textContent = state.name;
    at("where").textContent = state.path;
    at("about").textContent = state.about;
    const statuses = new Map();
    for (const { status } of state.rows) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const parts = [...statuses].map(([name, num]) => `${count(num)} ${name}`).join(", ");
    at("counts").textContent = `${count(state.rows.length)} boundaries: ${parts}; ${count(state.tries)} candidates`;
    this._showTable();
    await this._showFigure();
  }

  _showTable() {
    const { headings, rows } = this._state, table = at("boundaries");
    const head = document.createElement("tr");
    headings.forEach((name, column) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.className = TEXTS.includes(name) ? "text" : "";
      cell.scope = "col";
      button.type = "button";
      button.textContent = column === this._sort ? `${name} ${this._descending ? "↓" : "↑"}` : name;
      if (column === this._sort) cell.setAttribute("aria-sort", this._descending ? "descending" : "ascending");
      button.dataset.sort = name;
      button.addEventListener("click", () => this._sortBy(column));
      cell.append(button);
      head.append(cell);
    });
    table.tHead.replaceChildren(head);
    const shown = this._sort === null ? rows : [...rows].sort((a, b) => this._compare(a, b));
    table.tBodies[0].replaceChildren(...shown.map((row) => this._row(row)));
  }

  _row({ name, href, cells }) {
    const row = document.createElement("tr");
    row.dataset.boundary = name;
    cells.forEach((content, column) => {
      const cell = row.insertCell();
      cell.className = TEXTS.includes(this._state.headings[column]) ? "text" : "";
      if (column || !href) cell.textContent = content;
      else {
        const link = document.createElement("a");
        link.href = href;
        link.textContent = content;
        cell.append(link);
      }
    });
    return row;
  }

  _sortBy(column) {
    this._descending = column === this._sort ? !this._descending : false;
    this._sort = column;
    this._showTable();
  }

  // Numbers by value, texts by letters; unknown values come last in either order.
  _compare(a, b) {
    const [left, right] = [a, b].map((row) => row.cells[this._sort]);
    if (left === "-" || right === "-") return (left === "-") - (right === "-");
    const isText = TEXTS.includes(this._state.headings[this._sort]);
    const value = (cell) => parseFloat(cell.replaceAll(",", ""));
    const order = isText ? left.localeCompare(right, "en") : value(left) - value(right);
    return this._descending ? -order : order;
  }

  async _showFigure() {
    const answer = await fetch("api/figure");
    const isDrawn = answer.headers.get("Content-Type").startsWith("image/");
    at("figure").hidden = !isDrawn;
    note(at("figure-note"), isDrawn ? "" : (await answer.json()).error);
    if (!isDrawn) return;
    URL.revokeObjectURL(at("figure").src);
    at("figure").src = URL.createObjectURL(await answer.blob());
  }

  _follow() {
    const look = async () => {
      try {
        if ((await ask("api/version")).version !== this._state.version) await this._refresh();
        note(at("status"), "");
      } catch (error) {
        note(at("status"), `Cannot read the set: ${error.message}`, true);
      }
      setTimeout(look, LOOK_EVERY_MS);
    };
    setTimeout(look, LOOK_EVERY_MS);
  }
}

async function ask(route) {
  const data = await (await fetch(route)).json();
  if (data.error) throw new Error(data.error);
  return data;
}

new SetPage().start().catch((error) => note(at("status"), error.message, true));
