"use strict";
// The page: one filter for map and table, one chosen structure for map, table and 3D view.

const LOOK_EVERY_MS = 1500;
const TABS = ["candidates", "phases", "progress", "failures"];

class Page {
  constructor(source) {
    this._source = source;
    this._isFile = source instanceof FileSource;
    const place = new URLSearchParams(location.hash.slice(1));
    this._select = place.get("select") || "";
    this._sort = place.get("sort") || "energy";
    this._descending = place.get("descending") === "true";
    this._first = Number(place.get("first")) || 0;
    this._tab = TABS.includes(place.get("tab")) ? place.get("tab") : "candidates";
    this._chosen = place.get("id");
    // Without a choice the best structure is shown and replaced when a better one is found.
    this._followsBest = !this._chosen;
    this._map = new EnergyMap(at("map"), at("legend"), (id) => this.choose(id));
    this._table = new CandidateTable(at("table"), (field) => this._sortBy(field), (id) => this.choose(id));
    this._view = null;
    this._connect();
  }

  async start() {
    at("select").value = this._select;
    this._showTab(this._tab);
    await this._refresh();
    if (!this._isFile) this._follow();
    document.body.dataset.ready = "true";
  }

  // The page works without WebGL, except for the 3D view.
  _newView() {
    try {
      return new StructureView(at("view"), (message) => note(at("view-note"), message));
    } catch (error) {
      at("view").textContent = `No 3D view: ${error.message || error}`;
      return undefined;
    }
  }

  _connect() {
    at("filter").addEventListener("submit", (event) => event.preventDefault());
    at("select").addEventListener("input", () => this._later(() => this._filter(at("select").value)));
    at("clear").addEventListener("click", () => this._filter("", true));
    this._quick("by-source", ["source", "version", "move"]);
    this._quick("by-n", ["n", "n_fraction"]);
    this._quick("by-round", ["round"]);
    this._quick("by-status", ["status"]);
    at("map-range").addEventListener("change", (event) => { this._map.isWhole = event.target.value === "all"; this._map.draw(); this._showNotes(); });
    at("map-colour").addEventListener("change", (event) => { this._map.colour = event.target.value; this._map.draw(); });
    at("atom-colour").addEventListener("change", (event) => this._restyle("colour", event.target.value));
    at("region").addEventListener("change", (event) => this._restyle("region", event.target.value));
    at("repeat").addEventListener("change", (event) => this._restyle("repeat", event.target.value.split(",").map(Number)));
    at("reset").addEventListener("click", () => this._view && this._view.reset());
    at("picture").addEventListener("click", () => this._view && keep(`${this._chosen}.png`, this._view.picture()));
    at("previous").addEventListener("click", () => this._turn(-1));
    at("next").addEventListener("click", () => this._turn(1));
    at("candidates").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this._turn(step);
    });
    TABS.forEach((tab, place) => {
      at(`tab-${tab}`).addEventListener("click", () => this._showTab(tab));
      at(`tab-${tab}`).addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        const next = TABS[place + step];
        if (next) at(`tab-${next}`).focus();
      });
    });
    at("download-one").addEventListener("click", () => this._download({ id: this._chosen }));
    at("download-selection").addEventListener("click", () => this._download({ select: this._select }));
    document.addEventListener("keydown", (event) => {
      const isTyping = event.target.closest("input, select, textarea");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      at("select").focus();
    });
  }

  _quick(id, names) {
    at(id).addEventListener("change", (event) => this._filter(withWord(this._select, names, event.target.value), true));
  }

  _later(work) {
    clearTimeout(this._timer);
    this._timer = setTimeout(work, 250);
  }

  async _filter(select, writes = false) {
    if (writes) at("select").value = select;
    this._select = select.trim();
    this._first = 0;
    await this._showRows();
  }

  _sortBy(field) {
    this._descending = field === fieldOf(this._sort) ? !this._descending : false;
    this._sort = field;
    this._first = 0;
    this._showRows();
  }

  _turn(step) {
    const first = this._first + step * PAGE_ROWS;
    if (first < 0 || first >= this._total) return;
    this._first = first;
    this._showRows();
  }

  async choose(id) {
    this._followsBest = false;
    await this._choose(id);
  }

  async _choose(id) {
    this._chosen = id;
    this._map.select(id);
    this._table.select(id);
    this._remember();
    try {
      const record = await this._source.structure(id);
      // Another structure may have been chosen meanwhile.
      if (this._chosen === id) this._showStructure(record);
    } catch (error) {
      if (this._chosen === id) note(at("view-note"), error.message, true);
    }
  }

  _showStructure(record) {
    const { fields } = record;
    at("structure-title").textContent = record.id;
    facts(at("facts"), mainFacts(fields));
    facts(at("all-facts"), Object.entries(fields).map(([name, value]) => [name, showAny(value, this._about[name]), this._about[name].meaning]));
    const part = record.whole ? "" : "Only the region of the boundary is in this file.";
    note(at("view-note"), record.relaxed ? part : `Not relaxed (${fields.status}${fields.reason ? `: ${fields.reason}` : ""}): atoms as sampled. ${part}`);
    this._showRamp(record.energies !== null);
    if (this._view && record.atoms.size) this._view.show(record, this._range);
    at("download-one").disabled = fields.status !== "ok";
  }

  _showRamp(hasEnergies) {
    this._hasEnergies = hasEnergies;
    const isShown = hasEnergies && this._range && at("atom-colour").value === "energy";
    const [low, high] = this._range ?? [0, 0];
    at("atom-legend").replaceChildren(...(isShown ? [`energy above bulk: ${low.toFixed(2)}`, rampBar(), `${high.toFixed(2)} eV`] : []));
  }

  _restyle(setting, value) {
    this._showRamp(this._hasEnergies);
    if (!this._view) return;
    this._view[setting] = value;
    if (setting === "colour") this._view.restyle();
    else this._view.reset();
  }

  // Reload all data and keep the current view.
  async _refresh() {
    const state = await this._source.state();
    this._version = state.version;
    this._showState(state);
    await this._showRows();
    if (this._tab !== "candidates") this._fillTab();
    // Show map and table before the 3D view, whose large script loads last.
    await painted();
    await loaded;
    this._view ??= this._newView();
    if (this._followsBest && state.best && state.best[0] !== this._chosen) await this._choose(state.best[0]);
    else if (this._chosen && at("structure-title").textContent !== this._chosen) await this._choose(this._chosen);
  }

  _follow() {
    const look = async () => {
      try {
        if ((await this._source.version()) !== this._version) await this._refresh();
        if (this._isLost) this._showState(await this._source.state());
        this._isLost = false;
      } catch (error) {
        this._isLost = true;
        note(at("filter-note"), `Cannot read the run: ${error.message}`, true);
        at("status").className = "pill bad";
        at("status").textContent = "not connected";
      }
      setTimeout(look, LOOK_EVERY_MS);
    };
    setTimeout(look, LOOK_EVERY_MS);
  }

  async _showRows() {
    const [select, asked] = [this._select, (this._asked = (this._asked || 0) + 1)];
    try {
      const query = { select, sort: this._sort, descending: this._descending, first: this._first, num: PAGE_ROWS };
      const key = `${this._version} ${select}`;
      // The map depends on neither sort order nor page.
      const known = key === this._pointsKey ? this._points : this._source.points(select);
      const [page, points] = await Promise.all([this._source.rows(query), known]);
      if (asked !== this._asked) return;
      this._total = page.total;
      if (points !== this._points) this._map.show(points);
      [this._points, this._pointsKey] = [points, key];
      this._table.show(this._fields, page.rows, this._sort, this._descending);
      this._map.select(this._chosen);
      this._table.select(this._chosen);
      this._shown = [page, points];
      this._showNotes();
      this._remember();
    } catch (error) {
      if (asked === this._asked) note(at("filter-note"), error.message, true);
    }
  }

  _showNotes() {
    if (!this._shown) return;
    const [page, points] = this._shown;
    note(at("filter-note"), `${count(page.total)} of ${count(this._num)} candidates${this._select ? " selected" : ""}, ${count(points.total)} relaxed`);
    const shown = points.rows.length, hidden = this._map.hidden;
    const some = shown < points.total ? `the lowest of each [n]: ${count(shown)} of ${count(points.total)}` : `${count(shown)} structures`;
    note(at("map-note"), some + (hidden ? `; ${count(hidden)} above ${points.cap.toFixed(2)} J/m² not drawn, see Energies` : ""));
    const last = Math.min(this._first + PAGE_ROWS, page.total);
    at("page-note").textContent = page.total ? `${count(this._first + 1)} to ${count(last)} of ${count(page.total)}` : "none";
    at("previous").disabled = this._first === 0;
    at("next").disabled = last >= page.total;
    at("download-selection").textContent = `Selection (${count(page.total)})`;
    for (const [id, names] of [["by-source", ["move", "version", "source"]], ["by-n", ["n"]], ["by-round", ["round"]], ["by-status", ["status"]]]) {
      const word = names.map((name) => wordOf(this._select, name)).find((found) => found) || "";
      at(id).value = [...at(id).options].some((option) => option.value === word) ? word : "";
    }
  }

  _showState(state) {
    this._fields = state.fields;
    this._about = state.about;
    this._num = state.num;
    this._range = state.range;
    document.title = `${state.name}: gcd-hpc`;
    at("name").textContent = state.name;
    at("up").hidden = !state.set;
    at("up").firstElementChild.textContent = `All boundaries of ${state.set}`;
    const statuses = Object.entries(state.statuses).map(([name, num]) => `${count(num)} ${name}`).join(", ");
    at("counts").textContent = `${count(state.num)} candidates: ${statuses || "none yet"}`;
    at("where").textContent = this._isFile ? `${state.path}; this file holds ${source.note}` : state.path;
    at("best").replaceChildren(...(state.best ? bestOf(state.best) : []));
    showStatus(state.campaign, this._isFile);
    options(at("by-source"), state.sources.map(({ select, name, num }) => [select, `${name} (${count(num)})`]));
    options(at("by-n"), state.fractions.map((value) => [`n=${fraction(value)}`, fraction(value)]));
    options(at("by-round"), state.rounds.map((round) => [`round=${round}`, String(round)]));
    options(at("by-status"), Object.entries(state.statuses).map(([name, num]) => [`status=${name}`, `${name} (${count(num)})`]));
    const form = at("format").value;
    options(at("format"), (this._isFile ? ["extxyz"] : state.formats).map((name) => [name, name]), false);
    if (form) at("format").value = form;
    at("download-selection").hidden = this._isFile;
  }

  _showTab(tab) {
    this._tab = tab;
    for (const one of TABS) {
      at(one).hidden = one !== tab;
      at(`tab-${one}`).setAttribute("aria-selected", one === tab);
    }
    this._remember();
    if (this._version) this._fillTab();
  }

  _fillTab() {
    if (this._tab === "phases") this._showPhases();
    if (this._tab === "progress") this._showFigures();
    if (this._tab === "failures") this._showFailures();
  }

  // A click on a phase filters its candidates and shows its lowest structure.
  async _showPhases() {
    note(at("phase-note"), "comparing structures …");
    try {
      const { headings, rows, about } = await this._source.phases();
      const table = plainTable(headings, rows, [1, 2, 3]);
      [...table.tBodies[0].rows].forEach((line, number) => {
        const [name, , , , , id] = rows[number];
        const button = document.createElement("button");
        button.type = "button";
        button.className = "link";
        button.textContent = name;
        button.addEventListener("click", () => {
          this._filter(withWord(this._select, ["phase"], `phase=${name}`), true);
          this.choose(id);
        });
        line.cells[0].replaceChildren(button);
      });
      at("phase-table").replaceChildren(table);
      note(at("phase-note"), rows.length ? about : "There are no phases: nothing was relaxed yet, or the files do not describe the boundary.");
    } catch (error) {
      note(at("phase-note"), error.message, true);
    }
  }

  async _showFigures() {
    const { figures, work } = await this._source.state();
    at("work").replaceChildren(workTable(work));
    note(at("work-note"), work.about);
    for (const [what, title] of Object.entries(figures)) {
      let figure = at(`figure-${what}`);
      if (!figure) {
        figure = document.createElement("figure");
        figure.id = `figure-${what}`;
        at("figures").append(figure);
      }
      await this._showFigure(figure, what, title);
    }
  }

  async _showFigure(figure, what, title) {
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    try {
      const image = new Image();
      image.alt = title;
      image.src = await this._source.figure(what);
      await image.decode();
      figure.replaceChildren(caption, image);
    } catch (error) {
      const reason = document.createElement("p");
      reason.className = "note";
      reason.textContent = error.message;
      figure.replaceChildren(caption, reason);
    }
  }

  async _showFailures() {
    try {
      const rows = await this._source.failures();
      at("failures").replaceChildren(rows.length ? failuresTable(rows) : "Nothing failed, and no structure was refused.");
    } catch (error) {
      at("failures").replaceChildren(error.message);
    }
  }

  async _download(query) {
    note(at("download-note"), "at work …");
    try {
      const [name, content] = await this._source.download({ form: at("format").value, ...query });
      keep(name, URL.createObjectURL(content));
      note(at("download-note"), name);
    } catch (error) {
      note(at("download-note"), error.message, true);
    }
  }

  // Remember the current view across reloads.
  _remember() {
    const place = { tab: this._tab, sort: this._sort, descending: this._descending, first: this._first, select: this._select };
    if (!this._followsBest && this._chosen) place.id = this._chosen;
    history.replaceState(null, "", `#${new URLSearchParams(place)}`);
  }
}

function mainFacts(fields) {
  const unit = (value, places, name) => (value === null ? "–" : `${value.toFixed(places)} ${name}`);
  return [
    ["energy", unit(fields.gb_energy_j_m2, 4, "J/m²") + (fields.gb_energy_j_m2 !== null && !fields.converged ? " (not converged)" : "")],
    ["[n]", fraction(fields.n_fraction) || "–"],
    ["atoms", count(fields.num_atoms)],
    ["excess volume", unit(fields.excess_volume_a, 3, "Å")],
    ["source", sourceName(fields)],
    ["round", String(fields.round)],
  ];
}

function bestOf([id, n, energy]) {
  const number = document.createElement("b");
  number.textContent = `${energy.toFixed(3)} J/m²`;
  return ["lowest ", number, ` at [n] = ${fraction(n)}`];
}

function showStatus(campaign, isFile) {
  const pill = at("status");
  pill.hidden = !campaign && !isFile;
  if (pill.hidden) return;
  const status = isFile ? "report" : campaign.status;
  pill.className = `pill ${status === "running" ? "live" : ""} ${status === "failed" ? "bad" : ""}`;
  pill.textContent = status === "running" && campaign.doing ? `running: ${campaign.doing}` : status;
  if (campaign && campaign.reason) pill.title = campaign.reason;
}

function failuresTable(rows) {
  const cells = rows.map((row) => [row.class, row.kind, count(row.num), row.reason]);
  return plainTable(["Class", "Of", "Number", "Reason"], cells, [2]);
}

function workTable({ headings, rows }) {
  return plainTable(headings, rows, [1, 2, 3, 4]);
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

// A value as text with its unit.
function showAny(value, { unit }) {
  if (value === null || value === "") return "–";
  const text = Array.isArray(value) ? value.map(showOne).join(", ") : showOne(value);
  return ["", "1"].includes(unit) ? text : `${text} ${unit}`;
}

function showOne(value) {
  if (value === null) return "–";
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(7))) : String(value);
}

const embedded = at("data");
const source = embedded ? new FileSource(JSON.parse(embedded.textContent)) : new ServerSource();
new Page(source).start().catch((error) => note(at("filter-note"), error.message, true));
