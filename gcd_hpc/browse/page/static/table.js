"use strict";
// Table of candidates, one page at a time.

const PAGE_ROWS = 50;
const text = (value) => String(value ?? "");

class CandidateTable {
  constructor(table, onSort, onSelect) {
    this._table = table;
    this._onSelect = onSelect;
    this._head = KIND.columns.map(({ field, head, text }) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.className = text ? "text" : "";
      cell.scope = "col";
      button.type = "button";
      button.textContent = head;
      button.dataset.sort = field;
      button.addEventListener("click", () => onSort(field));
      cell.append(button);
      return cell;
    });
    const row = document.createElement("tr");
    row.append(...this._head);
    table.tHead.replaceChildren(row);
    table.tBodies[0].addEventListener("click", (event) => {
      const chosen = event.target.closest("tr");
      if (chosen) onSelect(chosen.dataset.id);
    });
    table.tBodies[0].addEventListener("keydown", (event) => this._onKey(event));
  }

  show(fields, rows, sort, descending) {
    this._head.forEach((cell, column) => {
      const { field, head } = KIND.columns[column];
      const isSorted = field === fieldOf(sort);
      cell.firstElementChild.textContent = isSorted ? `${head} ${descending ? "↓" : "↑"}` : head;
      if (isSorted) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    const records = rows.map((row) => Object.fromEntries(fields.map((name, column) => [name, row[column]])));
    this._ids = records.map((record) => record.id);
    const hadFocus = this._table.tBodies[0].contains(document.activeElement);
    this._table.tBodies[0].replaceChildren(...records.map((record) => this._row(record)));
    this.select(this._chosen, hadFocus);
  }

  select(id, focus = false) {
    this._chosen = id;
    for (const row of this._table.tBodies[0].rows) {
      const isChosen = row.dataset.id === id;
      row.setAttribute("aria-selected", isChosen);
      row.tabIndex = isChosen ? 0 : -1;
      if (isChosen && focus) row.focus({ preventScroll: false });
    }
    // At least one row must be reachable by the Tab key.
    const first = this._table.tBodies[0].rows[0];
    if (!first || this._ids.includes(id)) return;
    first.tabIndex = 0;
    if (focus) first.focus();
  }

  _row(record) {
    const row = document.createElement("tr");
    row.dataset.id = record.id;
    for (const { field, show = text, text: isText } of KIND.columns) {
      const cell = row.insertCell();
      cell.className = `${isText ? "text" : ""} ${field === "reason" ? "reason" : ""}`.trim();
      if (field === "source") cell.append(shapeSwatch(KIND.groups[groupOf(record)], ""));
      cell.append(show(record[field], record));
    }
    return row;
  }

  _onKey(event) {
    const row = event.target.closest("tr");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter") this._onSelect(row.dataset.id);
    if (!step) return;
    event.preventDefault();
    const next = this._ids[this._ids.indexOf(row.dataset.id) + step];
    if (next === undefined) return;
    this.select(next, true);
    this._onSelect(next);
  }
}
