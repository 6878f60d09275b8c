"use strict";
// Small pictures of the lowest structure of each [n]: side views of the boundary, coloured by energy.

const MAX_THUMBNAILS = 12;
// Distance from the boundary, and width, up to which atoms are drawn, Å.
const THUMBNAIL_REACH = 7, THUMBNAIL_WIDTH = 16;

class Thumbnails {
  constructor(element, source, onSelect) {
    Object.assign(this, { _element: element, _source: source, _onSelect: onSelect });
    this._pictures = new Map();
    this._ids = [];
  }

  // rows: points of the map by ascending energy; range: energies of the colour scale, eV.
  async show(rows, range) {
    const best = new Map();
    const columns = ["id", "n_fraction", "gb_energy_j_m2"].map((name) => MAP_FIELDS.indexOf(name));
    for (const row of rows) {
      const [id, n, energy] = columns.map((column) => row[column]);
      if (!best.has(n)) best.set(n, { id, n, energy });
    }
    const lowest = [...best.values()].slice(0, MAX_THUMBNAILS).sort((a, b) => a.n - b.n);
    const ids = lowest.map(({ id }) => id);
    if (String(ids) === String(this._ids)) return;
    this._ids = ids;
    this._element.hidden = !ids.length;
    const buttons = lowest.map((point) => this._button(point));
    this._element.replaceChildren(...buttons);
    roving(buttons);
    this.select(this._chosen);
    // One after the other, so that the chosen structure does not wait for all of them.
    for (const [place, id] of ids.entries()) {
      const picture = await this._picture(id, range);
      if (this._ids !== ids) return;
      buttons[place].prepend(picture);
    }
  }

  select(id) {
    this._chosen = id;
    for (const button of this._element.children) button.setAttribute("aria-pressed", button.dataset.id === id);
  }

  _button({ id, n, energy }) {
    const button = document.createElement("button"), words = document.createElement("span");
    button.type = "button";
    button.dataset.id = id;
    button.title = button.ariaLabel = `${id}, the lowest of [n] = ${fraction(n)}: ${energy.toFixed(4)} J/m²`;
    words.textContent = `${fraction(n)}: ${energy.toFixed(3)}`;
    button.append(words);
    button.addEventListener("click", () => this._onSelect(id));
    return button;
  }

  async _picture(id, range) {
    if (!this._pictures.has(id)) {
      const record = await this._source.structure(id).catch(() => null);
      this._pictures.set(id, sideView(record, range));
    }
    return this._pictures.get(id);
  }
}

// The boundary seen along the shorter edge of the cell, the normal upwards; empty without a structure.
function sideView(record, range) {
  const svg = make("svg", { "aria-hidden": "true" });
  if (!record) return svg;
  const { x, y, z, cell } = record.atoms;
  const [across, depth, length] = cell[0] <= cell[1] ? [y, x, cell[1]] : [x, y, cell[0]];
  const width = Math.min(length, THUMBNAIL_WIDTH);
  svg.setAttribute("viewBox", `-1 ${-THUMBNAIL_REACH - 1} ${width + 2} ${2 * THUMBNAIL_REACH + 2}`);
  const shown = z.map((_, atom) => atom).filter((atom) => Math.abs(z[atom]) <= THUMBNAIL_REACH && across[atom] <= width);
  shown.sort((a, b) => depth[a] - depth[b]);
  const { colours } = paintScale(record.energies, range, "energy");
  for (const atom of shown) svg.append(make("circle", { cx: across[atom], cy: -z[atom], r: 1.05, fill: colours?.[atom] ?? UNKNOWN }));
  return svg;
}
