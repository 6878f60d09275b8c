"use strict";
// The 3D view of one structure at a time, by chemiscope's viewer of molecules. Settings and camera stay from one to the next.

const ENERGY = "energy";
const REGION = 15; // Å to both sides of the boundary

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
    // Its bar of colours is drawn again ten times for every change; ours is below the picture, as are button and label.
    this._viewer._updateColorBar = () => {};
    const style = new CSSStyleSheet();
    style.replaceSync(".chsp-viewer-button, .chsp-cell-info { display: none !important; }");
    const root = element.firstElementChild.shadowRoot;
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, style];
  }

  // Colours of energies go from the first to the second number of range, or there are none.
  show(record, range) {
    const isFirst = this._record === null;
    this._record = record;
    this.range = range;
    this._load(!isFirst);
  }

  // Look at all of it from the side again.
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
    const structure = { size: kept.length, names: kept.map(() => atoms.element), x: pick(atoms.x), y: pick(atoms.y), z: pick(atoms.z) };
    const [height, x, y] = atoms.cell;
    const hasCell = atoms.cell.every((edge) => edge > 0);
    if (hasCell) structure.cell = [height, 0, 0, 0, x, 0, 0, 0, y];
    const supercell = hasCell ? [1, ...this.repeat] : [1, 1, 1];
    // Before the atoms: the first time there is nothing yet to be drawn again.
    this._paint(energies !== null && this.range !== null && this.colour === "energy");
    this._viewer.load(structure, { [ENERGY]: pick(energies || Array(atoms.size).fill(0)) }, { supercell, keepOrientation });
    // New atoms are lines until they get their style: there is nothing to highlight, but this gives it.
    this._viewer.highlight(undefined);
    this._element.dataset.id = this._record.id;
  }

  // The viewer draws again for every setting: only what is new is told to it.
  _paint(isEnergy) {
    const [min, max] = this.range || [];
    const color = isEnergy ? { property: ENERGY, min, max, transform: "linear", palette: "viridis" } : { property: "element" };
    if (JSON.stringify(color) === this._style) return;
    this._style = JSON.stringify(color);
    this._viewer.applySettings({ atoms: true, bonds: false, spaceFilling: false, unitCell: false, axes: "off", keepOrientation: true, color });
  }
}
