"use strict";
// One 3D picture of atoms by 3Dmol, in parallel projection.

const MARK_COLOURS = ["#e6007e", "#ff8c00"];
const EDGE = 0.06; // radius of the lines of the cell and of distances, Å
const FILLED = 0.88; // share of the picture that a structure fills

class AtomView {
  // onPick: called with the index of a drawn atom; onTurn: called when the view has changed.
  constructor(element, onPick, onTurn) {
    this._element = element;
    this._onPick = onPick;
    this._viewer = $3Dmol.createViewer(element, { orthographic: true, backgroundAlpha: 0, disableFog: true });
    if (!this._viewer) throw new Error("the browser offers no WebGL");
    this._scene = null;
    this.recolour();
    this._viewer.setViewChangeCallback((view) => onTurn(this, view));
  }

  // Take a scene, which `mark` draws: atoms [{x, y, z, colour, element}], bonds [[a, b]],
  // edges [[from, to]], radius in Å.
  show(scene) {
    this._scene = scene;
    const viewer = this._viewer;
    viewer.removeAllModels();
    const bonds = scene.atoms.map(() => []);
    for (const [a, b] of scene.bonds) { bonds[a].push(b); bonds[b].push(a); }
    const style = { sphere: { radius: scene.radius }, ...(scene.bonds.length ? { stick: { radius: 0.28 * scene.radius } } : {}) };
    const model = viewer.addModel();
    model.addAtoms(scene.atoms.map(({ x, y, z, colour, element }, serial) => ({
      x, y, z, elem: element, color: colour, serial, bonds: bonds[serial], bondOrder: bonds[serial].map(() => 1), style,
    })));
    model.setClickable({}, true, (atom) => this._onPick(atom.serial));
  }

  // Draw the scene with some atoms marked and a line between the first two.
  mark(indices) {
    const viewer = this._viewer, { atoms, edges, radius } = this._scene;
    viewer.removeAllShapes();
    const colour = themed("--quiet");
    for (const [start, end] of edges) viewer.addCylinder({ start, end, radius: EDGE, color: colour });
    indices.forEach((index, place) => {
      viewer.addSphere({ center: atoms[index], radius: 1.3 * radius, color: MARK_COLOURS[place], alpha: 0.55 });
    });
    if (indices.length > 1) {
      const [start, end] = indices.map((index) => atoms[index]);
      viewer.addCylinder({ start, end, radius: 2 * EDGE, color: MARK_COLOURS[0] });
    }
    viewer.render();
  }

  // Show the whole scene from a direction, that of before if none is given.
  fit(quaternion = this.view.slice(4, 8)) {
    const { atoms, edges, radius } = this._scene;
    if (!atoms.length) return;
    const { middle, size } = extents([...atoms, ...edges.flat()], quaternion);
    const { clientWidth: width, clientHeight: height } = this._element;
    this._viewer.setView([...middle.map((value) => -value), 0, ...quaternion]);
    const wanted = Math.min((FILLED * width) / (size[0] + 2 * radius), (FILLED * height) / (size[1] + 2 * radius));
    this._viewer.zoom(wanted / this.scale());
  }

  // Pixels per Å.
  scale() {
    const view = this._viewer.getView(), [qx, qy, qz, qw] = view.slice(4, 8);
    const [x, y, z] = view.slice(0, 3).map((value) => -value);
    const [dx, dy, dz] = turned([1, 0, 0], [-qx, -qy, -qz, qw]);
    const [from, to] = this._viewer.modelToScreen([{ x, y, z }, { x: x + dx, y: y + dy, z: z + dz }]);
    return Math.abs(to.x - from.x);
  }

  // Edges of atoms blend with the ground of the theme, which is transparent otherwise.
  recolour() { this._viewer.setBackgroundColor(themed("--stage"), 0); }

  get isReady() { return this._scene !== null; }

  resize() { this._viewer.resize(); }

  get view() { return this._viewer.getView(); }

  set view(view) { this._viewer.setView(view); }

  turn(degrees, axis) { this._viewer.rotate(degrees, axis); }

  zoom(factor) { this._viewer.zoom(factor); }

  canvas() { return this._viewer.getCanvas(); }
}
