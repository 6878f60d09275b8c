"use strict";
// 3D view of one structure in chemiscope's molecule viewer; settings and camera persist between structures.

const ENERGY = "energy";
const REGION = 15; // Å on each side of the boundary

class StructureView {
  constructor(element, onWarning) {
    const warnings = new Chemiscope.Warnings();
    warnings.addHandler(onWarning);
    this._element = element;
    this._viewer = new Chemiscope.MoleculeViewer(element, [ENERGY], warnings);
    this._record = null;
    this.colour = "energy";
    this.repeat = [2, 1];
    this.region = "boundary";
    this.range = null;
    this._style = "";
    // The viewer redraws its colour bar ten times per change; the page has its own below the picture.
    this._viewer._updateColorBar = () => {};
    const style = new CSSStyleSheet();
    style.replaceSync(".chsp-viewer-button, .chsp-cell-info { display: none !important; }");
    const root = element.firstElementChild.shadowRoot;
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, style];
  }

  // range: energies at the ends of the colour scale, eV; null for a structure without energies.
  show(record, range) {
    const isFirst = this._record === null;
    this._record = record;
    this.range = range;
    this._load(!isFirst);
  }

  // Reset the camera to a side view of the whole structure.
  reset() {
    if (this._record) this._load(false);
  }

  restyle() {
    if (this._record) this._load(true);
  }

  picture() {
    return this._viewer.exportPNG();
  }

  _load(keepOrientation) {
    const { atoms, energies } = this._record;
    const isWhole = this.region === "whole";
    const kept = atoms.x.map((_, atom) => atom).filter((atom) => isWhole || Math.abs(atoms.x[atom]) <= REGION);
    const pick = (values) => kept.map((atom) => values[atom]);
    const structure = { size: kept.length, names: kept.map((atom) => (atoms.names ? atoms.names[atom] : atoms.element)), x: pick(atoms.x), y: pick(atoms.y), z: pick(atoms.z) };
    const [height, x, y] = atoms.cell;
    const hasCell = atoms.cell.every((edge) => edge > 0);
    if (hasCell) structure.cell = [height, 0, 0, 0, x, 0, 0, atoms.tilt, y];
    const supercell = hasCell ? [1, ...this.repeat] : [1, 1, 1];
    // Set the style before the atoms are loaded, which saves a redraw of the first structure.
    this._paint(energies !== null && this.range !== null && this.colour === "energy");
    this._viewer.load(structure, { [ENERGY]: pick(energies || Array(atoms.size).fill(0)) }, { supercell, keepOrientation });
    // New atoms are drawn as lines until highlight() applies the style; nothing is highlighted.
    this._viewer.highlight(undefined);
    this._element.dataset.id = this._record.id;
  }

  // The viewer redraws for every setting, so only changed settings are passed.
  _paint(isEnergy) {
    const [min, max] = this.range || [];
    const color = isEnergy ? { property: ENERGY, min, max, transform: "linear", palette: "viridis" } : { property: "element" };
    if (JSON.stringify(color) === this._style) return;
    this._style = JSON.stringify(color);
    this._viewer.applySettings({ atoms: true, bonds: false, spaceFilling: false, unitCell: false, axes: "off", keepOrientation: true, color });
  }
}
