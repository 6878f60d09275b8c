"use strict";
// The chosen structure: its 3D picture, another one beside it, and what is known of both.

class StructurePane {
  constructor(source) {
    this._source = source;
    this._record = null;
    this._kept = null;
    this._picks = [];
    this._asked = 0;
    this._environments = new Map();
    this._sides = [];
    this._settings = { by: KIND.atomColours[0], region: KIND.region, repeat: KIND.repeat.split(",").map(Number), bonds: false, cell: true, slice: { axis: "", from: 0, to: 1 }, beside: "" };
    this._connect();
  }

  // Everything works without WebGL, except for the 3D picture.
  start() {
    if (this._sides.length || this._isWithout3d) return;
    try {
      this._sides = [this._newSide("view", 0)];
    } catch (error) {
      this._isWithout3d = true;
      at("view").textContent = `No 3D view: ${error.message || error}`;
    }
  }

  // range: energies at the ends of the colour scale, eV; about: unit and meaning of each field.
  describe(range, about) {
    [this._range, this._about] = [range, about];
  }

  get id() { return this._record?.id; }

  // Show a structure from the direction of the one before.
  async show(record) {
    const isFirst = this._record === null;
    this._record = record;
    const { fields } = record;
    at("structure-title").textContent = record.id;
    facts(at("facts"), KIND.facts(fields));
    facts(at("all-facts"), Object.entries(fields).map(([name, value]) => [name, showAny(value, this._about[name]), this._about[name].meaning]));
    const part = record.whole ? "" : "Only the region of the boundary is in this file.";
    note(at("view-note"), record.relaxed ? part : `Not relaxed (${fields.status}${fields.reason ? `: ${fields.reason}` : ""}): atoms as sampled. ${part}`);
    at("download-one").disabled = fields.status !== "ok";
    this._picks = [];
    await this._draw(isFirst);
  }

  _newSide(id, number) {
    const overlay = make("svg", { class: "overlay", "aria-hidden": "true" }), element = at(id);
    const view = new AtomView(element, (atom) => this._pick(number, atom), (own, place) => this._onTurn(own, place));
    element.append(overlay);
    new ResizeObserver(() => view.isReady && drawOverlay(overlay, view.view, view.scale())).observe(element);
    return { view, overlay, element };
  }

  _connect() {
    const set = (name, read) => (event) => this._change(name, read(event.target));
    const text = (input) => input.value, checked = (input) => input.checked;
    at("atom-colour").addEventListener("change", set("by", text));
    at("region").addEventListener("change", set("region", text));
    at("repeat").addEventListener("change", set("repeat", (input) => input.value.split(",").map(Number)));
    at("bonds").addEventListener("change", set("bonds", checked));
    at("cell").addEventListener("change", set("cell", checked));
    at("beside").addEventListener("change", set("beside", text));
    for (const id of ["slice-axis", "slice-from", "slice-to"]) at(id).addEventListener("input", () => this._slice());
    for (const name of Object.keys(VIEWS)) at(`look-${name}`).addEventListener("click", () => this._look(name));
    at("reset").addEventListener("click", () => this._look(this._firstView()));
    at("keep").addEventListener("click", () => this._keep());
    at("picture").addEventListener("click", () => this._savePicture());
    at("unpick").addEventListener("click", () => this._mark([]));
    for (const id of ["atom-a", "atom-b"]) at(id).addEventListener("change", () => this._pickByNumber());
    at("stage").addEventListener("keydown", (event) => this._onKey(event));
    addEventListener("themechange", () => {
      for (const { view } of this._sides) view.recolour();
      if (this._record) this._mark(this._picks);
    });
  }

  _change(name, value) {
    this._settings[name] = value;
    if (!["by", "bonds", "cell"].includes(name)) this._picks = [];
    if (this._record) this._draw(["region", "repeat", "beside"].includes(name));
  }

  _slice() {
    const axis = at("slice-axis").value, [from, to] = ["slice-from", "slice-to"].map((id) => at(id).value / 100).sort((a, b) => a - b);
    at("slice-range").hidden = !axis;
    this._change("slice", { axis, from, to });
  }

  _keep() {
    this._kept = this._record;
    const option = [...at("beside").options].find(({ value }) => value === "kept");
    option.textContent = this._record.id;
    option.hidden = option.disabled = false;
    at("beside").value = "kept";
    this._change("beside", "kept");
  }

  // The record beside the chosen one, if any.
  _besides() {
    if (this._settings.beside === "kept") return this._kept;
    return this._settings.beside === "before" && this._record.atoms.before ? this._record : null;
  }

  async _draw(isFitted) {
    if (!this._sides.length) return;
    const asked = ++this._asked, other = this._besides(), isBefore = this._settings.beside === "before";
    const wanted = [[this._record, false], ...(other ? [[other, isBefore]] : [])];
    try {
      const environments = await this._neededBy(wanted);
      // Another structure or setting may have been chosen meanwhile.
      if (asked !== this._asked) return;
      this._layOut(Boolean(other), isBefore);
      this._shown = wanted.map(([record, before], number) => this._drawSide(number, record, before, environments[number]));
      showLegend(at("atom-legend"), this._shown[0].legend);
      this._mark(this._picks);
      if (!at("view").dataset.look) this._look(this._firstView());
      else if (isFitted || !this._isFitted) this._sides[0].view.fit();
      else if (other) this._sides[1].view.view = this._sides[0].view.view;
      this._isFitted = true;
    } catch (error) {
      if (asked === this._asked) note(at("view-note"), error.message, true);
    }
    if (asked === this._asked) at("view").dataset.id = this._record.id;
  }

  // Environments of the atoms where colours or bonds need them; without them, nothing is awaited.
  async _neededBy(wanted) {
    const { by, bonds } = this._settings;
    if (!bonds && ATOM_COLOURS[by].needs !== "environment") return [];
    return Promise.all(wanted.map(([record, before]) => this._environment(record.id, before)));
  }

  async _environment(id, before) {
    const key = `${id} ${before}`;
    if (!this._environments.has(key)) {
      if (this._environments.size > 50) this._environments.clear();
      this._environments.set(key, await this._source.environment(id, before));
    }
    return this._environments.get(key);
  }

  _layOut(isDouble, isBefore) {
    const wasDouble = !at("beside-box").hidden;
    at("beside-box").hidden = !isDouble;
    at("stage").classList.toggle("before", isBefore);
    if (isDouble && this._sides.length < 2) this._sides.push(this._newSide("view-beside", 1));
    if (wasDouble !== isDouble) {
      this._isFitted = false;
      for (const { view } of this._sides) view.resize();
    }
  }

  _drawSide(number, record, isBefore, environment) {
    const { by, bonds, cell } = this._settings;
    const atoms = drawnAtoms(record, { ...this._settings, isBefore });
    const isCalled = isBefore && ATOM_COLOURS[by].needs !== "environment";
    const { colours, legend } = paintAtoms(record, environment, by, this._range, atoms.map(({ of }) => of));
    const scene = {
      atoms: atoms.map((atom, index) => ({ ...atom, colour: colours ? colours[index] : UNKNOWN })),
      bonds: bonds && environment ? bondsOf(atoms, environment.bond_a) : [],
      edges: cell ? cellEdges(record.atoms, atoms) : [],
      radius: atomRadius(record.atoms) * (bonds ? 0.75 : 1),
    };
    this._sides[number].view.show(scene);
    Object.assign(this._sides[number].element.dataset, { atoms: atoms.length, bonds: scene.bonds.length, colours: by });
    const title = (isBefore ? `before relaxation${isCalled ? " (colours: after it)" : ""}: ` : "") + KIND.title(record);
    at(number ? "beside-caption" : "view-caption").textContent = number || this._besides() ? title : "";
    return { atoms, legend, record, environment, title, isBefore };
  }

  _firstView() {
    const [a, b] = this._record.atoms.cell;
    return a < b ? "x" : "y";
  }

  _look(name) {
    if (!this._shown || !this._sides.length) return;
    this._sides[0].view.fit(quaternionOf(VIEWS[name]));
    at("view").dataset.look = name;
  }

  // Turn the structure beside with this one.
  _onTurn(own, place) {
    for (const { view, overlay } of this._sides) {
      if (view !== own && !this._isTurning) {
        this._isTurning = true;
        view.view = place;
        this._isTurning = false;
      }
      if (view.isReady) drawOverlay(overlay, view.view, view.scale());
    }
  }

  _onKey(event) {
    if (!this._sides.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const { view } = this._sides[0];
    const turns = { ArrowLeft: [-1, "vy"], ArrowRight: [1, "vy"], ArrowUp: [-1, "vx"], ArrowDown: [1, "vx"] }[event.key];
    const factor = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }[event.key];
    if (turns) view.turn(TURN_DEGREES * turns[0], turns[1]);
    else if (factor) view.zoom(factor);
    else if (event.key in VIEWS) this._look(event.key);
    else if (event.key === "0" || event.key === "Home") this._look(this._firstView());
    else if (event.key === "Escape") this._mark([]);
    else return;
    event.preventDefault();
  }

  _pick(side, index) {
    const { of, image } = this._shown[side].atoms[index];
    const kept = this._picks.filter((pick) => pick.side === side && !(pick.of === of && pick.image === image));
    const isAgain = this._picks.some((pick) => pick.side === side && pick.of === of && pick.image === image);
    this._mark(isAgain ? kept : [...kept.slice(-1), { side, of, image }]);
  }

  _pickByNumber() {
    const wanted = ["atom-a", "atom-b"].map((id) => at(id).value).filter((value) => value !== "").map(Number);
    const numbers = numbersOf(this._record);
    const picks = wanted.map((number) => ({ side: 0, of: numbers.indexOf(number), image: 0 }));
    const missing = wanted.find((_, place) => !this._shown[0].atoms.some(({ of }) => of === picks[place].of));
    this._mark(missing === undefined ? picks : []);
    if (missing !== undefined) note(at("picked"), `Atom ${missing} is not drawn: choose the whole box, or a number from 0 to ${numbers[numbers.length - 1]}.`, true);
  }

  _mark(picks) {
    this._picks = picks;
    if (!this._shown) return;
    this._shown.forEach(({ atoms, isBefore }, side) => {
      // Before and after relaxation the atoms are the same.
      const own = picks.filter((pick) => pick.side === side || isBefore || this._shown[1]?.isBefore);
      const indices = own.map(({ of, image }) => atoms.findIndex((atom) => atom.of === of && atom.image === image));
      this._sides[side].view.mark(indices.filter((index) => index >= 0));
    });
    const { record, atoms, environment } = this._shown[picks[0]?.side ?? 0];
    const chosen = picks.map(({ of, image }) => atoms.find((atom) => atom.of === of && atom.image === image)).filter(Boolean);
    const numbers = numbersOf(record);
    ["atom-a", "atom-b"].forEach((id, place) => { at(id).value = chosen[place] ? numbers[chosen[place].of] : ""; });
    note(at("picked"), pickedText(record, environment, chosen, numbers));
  }

  async _savePicture() {
    if (!this._shown) return;
    const views = this._shown.map(({ title }, side) => {
      const { view, overlay, element } = this._sides[side];
      return { canvas: view.canvas(), svg: overlay, width: element.clientWidth, height: element.clientHeight, title };
    });
    keep(`${this._record.id}.png`, await pictureOf(views, this._shown[0].legend));
  }
}

// Numbers of the atoms in the run, from 0.
function numbersOf({ atoms }) {
  return atoms.index || Array.from({ length: atoms.size }, (_, place) => place);
}

function pickedText(record, environment, chosen, numbers) {
  if (!chosen.length) return "Choose one or two atoms with the mouse or by number.";
  const moved = displacements(record.atoms);
  const texts = chosen.map(({ of, element, z }) => [
    `Atom ${numbers[of]} (${element}): ${z.toFixed(2)} Å from the middle`,
    ...(record.energies ? [`${record.energies[of].toFixed(3)} eV ${KIND === BOUNDARY ? "above bulk" : "above the mean"}`] : []),
    ...(environment ? [`coordination ${environment.coordination[of]}`] : []),
    ...(environment?.kinds ? [KIND_NAMES[environment.kinds[of]]] : []),
    ...(moved ? [`moved ${moved[of].toFixed(2)} Å in relaxation`] : []),
  ].join(", "));
  return [...texts, ...(chosen.length > 1 ? [`Distance ${distanceOf(...chosen).toFixed(3)} Å`] : [])].join(". ");
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
