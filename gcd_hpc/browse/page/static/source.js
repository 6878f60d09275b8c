"use strict";
// Data sources of the page: the server, or the data embedded in a page without a server.

class ServerSource {
  async _json(route, query = {}) {
    const answer = await fetch(`api/${route}?${new URLSearchParams(query)}`);
    const data = await answer.json();
    if (data.error) throw new Error(data.error);
    return data;
  }

  version() { return this._json("version").then((data) => data.version); }
  state() { return this._json("state"); }
  rows(query) { return this._json("rows", query); }
  points(select, limit) { return this._json("points", { select, limit }); }
  registries(select, limit) { return this._json("registries", { select, limit }); }
  structure(id) { return this._json("structure", { id }); }
  environment(id, before) { return this._json("environment", { id, before }); }
  training() { return this._json("training"); }
  work() { return this._json("work"); }
  moves() { return this._json("moves"); }
  settings() { return this._json("settings"); }
  phases() { return this._json("phases"); }
  failures() { return this._json("failures"); }
  spectra(id) { return this._json("spectra", { id }); }
  asked() { return this._json("asked"); }
  projection(id) { return this._json("projection", { id }); }

  async figure(what) {
    const answer = await fetch(`api/figure?${new URLSearchParams({ what })}`);
    if (!answer.headers.get("Content-Type").startsWith("image/")) throw new Error((await answer.json()).error);
    return URL.createObjectURL(await answer.blob());
  }

  async download(query) {
    const answer = await fetch(`api/download?${new URLSearchParams(query)}`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    const name = answer.headers.get("Content-Disposition").match(/filename="(.+)"/)[1];
    return [name, await answer.blob()];
  }
}

class FileSource {
  constructor(data) {
    this._data = data;
    this.note = data.note;
    this._records = data.rows.map((row) => Object.fromEntries(data.state.fields.map((name, column) => [name, row[column]])));
  }

  async version() { return this._data.state.version; }
  async state() { return this._data.state; }
  async registries() { return this._data.registries; }
  async phases() { return this._data.phases; }
  async failures() { return this._data.failures; }
  async training() { return this._data.training; }
  async work() { return this._data.work; }
  async moves() { return this._data.moves; }
  async settings() { return this._data.settings; }
  async spectra(id) { return this._data.spectra[id] || this._data.spectra[""] || { energies: [], curves: [] }; }

  async asked() { return this._data.asked; }

  async projection(id) {
    const found = this._data.projections[id];
    if (!found) throw new Error(`The projection of ${id} is not in this file.`);
    return found;
  }

  async rows({ select, sort, descending, first, num }) {
    const chosen = this._selected(select);
    const field = fieldOf(sort);
    const sign = descending ? -1 : 1;
    chosen.sort((a, b) => {
      const [left, right] = [a[field], b[field]];
      if (left === null || right === null) return (left === null) - (right === null);
      return left < right ? -sign : left > right ? sign : 0;
    });
    const shown = chosen.slice(first, first + num).map((record) => this._data.state.fields.map((name) => record[name]));
    return { total: chosen.length, first, rows: shown };
  }

  async points(select) {
    const relaxed = this._selected(select).filter((record) => record.status === "ok" && record[KIND.known] !== null);
    relaxed.sort((a, b) => (a[KIND.rank] ?? Infinity) - (b[KIND.rank] ?? Infinity));
    return { total: relaxed.length, cap: KIND === BOUNDARY ? energyCap(relaxed) : null, rows: relaxed.map((record) => MAP_FIELDS.map((name) => record[name])) };
  }

  async structure(id) {
    const found = this._data.structures[id];
    if (!found) throw new Error(`The atoms of ${id} are not in this file, which holds ${this._data.note}.`);
    return found;
  }

  // Environments before relaxation are left to the server.
  async environment(id, before) { return (!before && this._data.environments[id]) || null; }

  async figure(what) {
    const found = this._data.figures[what];
    if (!found.url) throw new Error(found.error);
    return found.url;
  }

  // Extended XYZ of an embedded structure.
  async download({ id }) {
    return [`${id}.xyz`, new Blob([extendedXyz(await this.structure(id))], { type: "text/plain" })];
  }

  _selected(select) {
    return this._records.filter(predicate(select, this._data.state.fields, this._data.phases.members));
  }
}

// Highest energy on the map, as in the figures: the highest of the best energies, plus a share of their span.
function energyCap(relaxed) {
  const best = new Map();
  for (const record of relaxed) if (!best.has(record.n_fraction)) best.set(record.n_fraction, record.gb_energy_j_m2);
  const energies = [...best.values()];
  const [low, high] = [Math.min(...energies), Math.max(...energies)];
  return high + Math.max(0.25, 0.45 * (high - low));
}

function extendedXyz({ fields, atoms, energies }) {
  const [x, y, height] = atoms.cell;
  const info = KIND.xyz(fields);
  const columns = `Properties=species:S:1:pos:R:3${energies ? ":excess_energy:R:1" : ""}`;
  const head = `Lattice="${x} 0 0 ${atoms.tilt} ${y} 0 0 0 ${height}" ${columns} ${info} pbc="${KIND.periodic}"`;
  const lines = atoms.z.map((above, atom) => {
    const values = [atoms.x[atom], atoms.y[atom], above + height / 2, ...(energies ? [energies[atom]] : [])];
    return `${atoms.names ? atoms.names[atom] : atoms.element} ${values.map((value) => value.toFixed(3)).join(" ")}`;
  });
  return `${atoms.size}\n${head}\n${lines.join("\n")}\n`;
}
