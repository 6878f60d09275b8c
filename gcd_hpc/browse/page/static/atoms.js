"use strict";
// Which atoms of a record are drawn: region, periodic images, slice.

const REGION = 10; // Å on each side of the boundary

// settings: region, repeat [along x, along y], slice {axis, from, to} in shares, isBefore.
// Returns atoms [{x, y, z, of, image, element}]: the index in the record, and the periodic image.
function drawnAtoms(record, settings) {
  const { atoms } = record, places = settings.isBefore && atoms.before ? atoms.before : atoms;
  const [a, b] = atoms.cell, hasCell = a > 0 && b > 0;
  const [along, across] = hasCell ? settings.repeat : [1, 1];
  const found = [];
  for (let i = 0; i < along; i++) for (let j = 0; j < across; j++) {
    for (let of = 0; of < atoms.size; of++) {
      if (settings.region === "boundary" && Math.abs(atoms.z[of]) > REGION) continue;
      found.push({
        x: places.x[of] + i * a + j * (atoms.tilt || 0), y: places.y[of] + j * b, z: places.z[of],
        of, image: i * across + j, element: atoms.names ? atoms.names[of] : atoms.element,
      });
    }
  }
  return sliced(found, settings.slice);
}

function sliced(atoms, { axis, from, to }) {
  if (!axis || !atoms.length) return atoms;
  const values = atoms.map((atom) => atom[axis]);
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const [first, last] = [low + from * (high - low), low + to * (high - low)];
  return atoms.filter((atom) => atom[axis] >= first - 1e-6 && atom[axis] <= last + 1e-6);
}

// Edges of one cell between the lowest and the highest atom drawn, as pairs of points.
// Of a box that is periodic in z, of the given height, those of the box.
function cellEdges({ cell: [a, b], tilt, height }, atoms) {
  if (!(a > 0 && b > 0) || !atoms.length) return [];
  const heights = atoms.map((atom) => atom.z);
  const [low, high] = height ? [-height / 2, height / 2] : [heights.reduce((p, q) => Math.min(p, q)), heights.reduce((p, q) => Math.max(p, q))];
  const corners = [[0, 0], [a, 0], [a + (tilt || 0), b], [tilt || 0, b]].map(([x, y]) => [x, y]);
  const at3 = ([x, y], z) => ({ x, y, z });
  return corners.flatMap((corner, place) => {
    const next = corners[(place + 1) % 4];
    return [[at3(corner, low), at3(next, low)], [at3(corner, high), at3(next, high)], [at3(corner, low), at3(corner, high)]];
  });
}

// Radius at which atoms of this density leave room between them, Å.
function atomRadius({ cell: [a, b], z, size }) {
  const height = size ? z.reduce((p, q) => Math.max(p, q)) - z.reduce((p, q) => Math.min(p, q)) : 0;
  const volume = (a * b * height) / size;
  return volume > 0 ? 0.31 * Math.cbrt(volume) : 0.9;
}
