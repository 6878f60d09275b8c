"use strict";
// The page: one filter for map and table, one chosen structure for map, table and 3D view.

const LOOK_EVERY_MS = 1500;
const MAX_POINTS = 3000;
const MORE_POINTS = 20000;
const TABS = ["candidates", "phases", "asked", "progress", "failures"];

class Page {
  constructor(source) {
    this._source = source;
    this._isFile = source instanceof FileSource;
    const place = new URLSearchParams(location.hash.slice(1));
    this._select = place.get("select") || "";
    this._sort = place.get("sort") || KIND.sort;
    this._descending = place.get("descending") === "true";
    this._first = Number(place.get("first")) || 0;
    this._tab = TABS.includes(place.get("tab")) && !at(`tab-${place.get("tab")}`).hidden ? place.get("tab") : "candidates";
    this._chosen = place.get("id");
    // Without a choice the best structure is shown and replaced when a better one is found.
    this._followsBest = !this._chosen;
    this._limit = MAX_POINTS;
    this._map = new EnergyMap(at("map"), at("legend"), (id) => this.choose(id), () => this._showNotes());
    this._thumbnails = new Thumbnails(at("thumbnails"), source, (id) => this.choose(id));
    this._table = new CandidateTable(at("table"), (field) => this._sortBy(field), (id) => this.choose(id));
    this._pane = new StructurePane(source);
    this._spectra = new SpectraView(source);
    this._goals = new AskedTab(source, (id) => this.choose(id));
    this._campaign = new CampaignTab(source, this._isFile);
    this._connect();
  }

  async start() {
    connectTheme(at("theme"));
    at("select").value = this._select;
    this._showTab(this._tab);
    await this._refresh();
    if (!this._isFile) this._follow();
    document.body.dataset.ready = "true";
  }

  _connect() {
    at("filter").addEventListener("submit", (event) => event.preventDefault());
    at("select").addEventListener("input", () => this._later(() => this._filter(at("select").value)));
    at("clear").addEventListener("click", () => this._filter("", true));
    this._quick("by-source", ["source", "version", "move", "guided"]);
    this._quick("by-n", ["n", "n_fraction"]);
    this._quick("by-round", ["round"]);
    this._quick("by-status", ["status"]);
    this._connectMap();
    at("previous").addEventListener("click", () => this._turn(-1));
    at("next").addEventListener("click", () => this._turn(1));
    at("candidates").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this._turn(step);
    });
    for (const tab of TABS) at(`tab-${tab}`).addEventListener("click", () => this._showTab(tab));
    roving(TABS.map((tab) => at(`tab-${tab}`)).filter((tab) => !tab.hidden));
    at("download-one").addEventListener("click", () => this._download({ id: this._pane.id }));
    at("download-selection").addEventListener("click", () => this._download({ select: this._select }));
    document.addEventListener("keydown", (event) => {
      const isTyping = event.target.closest("input, select, textarea");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      at("select").focus();
    });
  }

  _connectMap() {
    const map = this._map;
    at("map-colour").addEventListener("change", (event) => this._colourMap(event.target.value));
    for (const axis of ["x", "y"]) {
      options(at(`map-${axis}`), Object.keys(KIND.axes).map((field) => [field, axisText(field)]), false);
      at(`map-${axis}`).value = map.axes[axis];
      at(`map-${axis}`).addEventListener("change", (event) => this._viewMap({ ...map.axes, [axis]: event.target.value, colour: map.colour }));
      const inputs = ["from", "to"].map((end) => at(`${axis}-${end}`));
      for (const input of inputs) input.addEventListener("change", () => map.setRange(axis, inputs.map(({ value }) => (value === "" ? null : Number(value)))));
    }
    at("map-registries").addEventListener("click", () => this._viewMap(map.isRegistries ? { ...KIND.mapAxes, colour: "source" } : { ...REGISTRY_AXES, colour: KIND.rank }));
    at("draw-all").addEventListener("click", () => map.drawAll(true));
    at("draw-low").addEventListener("click", () => map.drawAll(false));
    at("read-more").addEventListener("click", () => {
      this._limit = MORE_POINTS;
      this._showRows();
    });
  }

  // Show the map with other axes and perhaps another colour; new axes forget their ranges.
  async _viewMap({ x, y, colour }) {
    const map = this._map;
    for (const [axis, field] of [["x", x], ["y", y]]) {
      if (map.axes[axis] !== field) map.asked[axis] = [null, null];
      map.axes[axis] = at(`map-${axis}`).value = field;
    }
    at("map-registries").setAttribute("aria-pressed", map.isRegistries);
    at("map-colour").value = colour;
    await this._colourMap(colour);
    await this._readRegistries();
  }

  async _readRegistries() {
    if (!this._map.needsRegistries) return;
    const points = this._points;
    try {
      const found = await this._source.registries(this._select, this._limit);
      if (points === this._points) this._map.showRegistries(found);
    } catch (error) {
      note(at("map-note"), error.message, true);
    }
  }

  async _colourMap(colour) {
    this._map.colour = colour;
    this._map.draw();
    if (colour !== "phase") return;
    try {
      note(at("map-note"), "comparing structures …");
      this._map.showPhases((await this._source.phases()).members);
    } catch (error) {
      note(at("map-note"), error.message, true);
    }
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

  _mark(id) {
    for (const list of [this._map, this._table, this._thumbnails]) list.select(id);
  }

  async choose(id) {
    this._followsBest = false;
    await this._choose(id);
  }

  async _choose(id) {
    this._chosen = id;
    this._mark(id);
    this._remember();
    this._spectra.show(id);
    this._goals.choose(id);
    try {
      const record = await this._source.structure(id);
      // Another structure may have been chosen meanwhile.
      if (this._chosen === id) await this._pane.show(record);
    } catch (error) {
      if (this._chosen === id) note(at("view-note"), error.message, true);
    }
  }

  // Reload all data and keep the current view.
  async _refresh() {
    const state = await this._source.state();
    this._version = state.version;
    this._showState(state);
    await this._showRows();
    if (this._tab !== "candidates") this._fillTab();
    this._spectra.show(this._chosen);
    // Show map and table before the 3D view, whose large script loads last.
    await painted();
    await loaded;
    this._pane.start();
    if (this._followsBest && state.best && state.best[0] !== this._chosen) await this._choose(state.best[0]);
    else if (this._chosen && this._pane.id !== this._chosen) await this._choose(this._chosen);
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
      const key = `${this._version} ${this._limit} ${select}`;
      // The map depends on neither sort order nor page.
      const known = key === this._pointsKey ? this._points : this._source.points(select, this._limit);
      const [page, points] = await Promise.all([this._source.rows(query), known]);
      if (asked !== this._asked) return;
      this._total = page.total;
      this._shown = [page, points];
      const isNew = points !== this._points;
      [this._points, this._pointsKey] = [points, key];
      if (isNew) {
        this._map.show(points);
        this._readRegistries();
        if (KIND === BOUNDARY) this._thumbnails.show(points.rows, this._range);
      }
      this._table.show(this._fields, page.rows, this._sort, this._descending);
      this._mark(this._chosen);
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
    this._showMapNotes(points);
    const last = Math.min(this._first + PAGE_ROWS, page.total);
    at("page-note").textContent = page.total ? `${count(this._first + 1)} to ${count(last)} of ${count(page.total)}` : "none";
    at("previous").disabled = this._first === 0;
    at("next").disabled = last >= page.total;
    at("download-selection").textContent = `Selection (${count(page.total)})`;
    for (const [id, names] of [["by-source", ["move", "version", "guided", "source"]], ["by-n", ["n"]], ["by-round", ["round"]], ["by-status", ["status"]]]) {
      const word = names.map((name) => wordOf(this._select, name)).find((found) => found) || "";
      at(id).value = [...at(id).options].some((option) => option.value === word) ? word : "";
    }
  }

  // What the map leaves out is said, beside the button that draws it.
  _showMapNotes(points) {
    const { hidden, unknown } = this._map, read = points.rows.length, missing = points.total - read;
    const parts = [`${count(read - hidden - unknown)} of ${count(points.total)} structures drawn`];
    if (hidden) parts.push(`${count(hidden)} outside the ranges`);
    if (unknown) parts.push(`${count(unknown)} without a value`);
    if (missing) parts.push(`${count(missing)} ${KIND.missing}`);
    note(at("map-note"), parts.join("; "));
    at("draw-all").hidden = !hidden;
    at("draw-low").hidden = Boolean(hidden) || points.cap === null || points.rows.every((row) => row[MAP_FIELDS.indexOf(KIND.rank)] <= points.cap);
    at("read-more").hidden = !missing || this._limit >= MORE_POINTS;
    at("read-more").textContent = `Read ${count(Math.min(points.total, MORE_POINTS))}`;
    for (const axis of ["x", "y"]) {
      const [low, high] = this._map.bounds(axis);
      const text = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "");
      [["from", low], ["to", high]].forEach(([end, value], place) => {
        const asked = this._map.asked[axis][place];
        const input = at(`${axis}-${end}`);
        // What is being typed stays.
        if (input !== document.activeElement) input.value = asked ?? "";
        input.placeholder = text(value) || "auto";
      });
    }
  }

  _showState(state) {
    this._fields = state.fields;
    this._num = state.num;
    this._range = state.range;
    this._pane.describe(state.range, state.about);
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
      at(`tab-${one}`).tabIndex = one === tab ? 0 : -1;
    }
    this._remember();
    if (this._version) this._fillTab();
  }

  _fillTab() {
    if (this._tab === "phases") showPhases(this._source, (name, id) => this._choosePhase(name, id), (ids) => this._chooseIds(ids));
    if (this._tab === "asked") this._goals.show(this._chosen).catch((error) => note(at("asked-note"), error.message, true));
    if (this._tab === "progress") this._campaign.show().catch((error) => note(at("work-note"), error.message, true));
    if (this._tab === "failures") showFailures(this._source, this._isFile ? null : (ids) => this._chooseIds(ids));
  }

  // Filter the candidates of a phase and show its lowest structure.
  _choosePhase(name, id) {
    this._filter(withWord(this._select, ["phase"], `phase=${name}`), true);
    this.choose(id);
  }

  // List candidates by their ids, such as the lowest of each phase or those with one reason.
  _chooseIds(ids) {
    this._filter(`id=${ids.join(",")}`, true);
    this._showTab("candidates");
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

function bestOf(row) {
  const [before, value, after] = KIND.best(Object.fromEntries(MAP_FIELDS.map((name, column) => [name, row[column]])));
  const number = document.createElement("b");
  number.textContent = value;
  return [before, number, after];
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

const embedded = at("data");
const source = embedded ? new FileSource(JSON.parse(embedded.textContent)) : new ServerSource();
source.state().then((state) => {
  useKind(state);
  return new Page(source).start();
}).catch((error) => note(at("filter-note"), error.message, true));
