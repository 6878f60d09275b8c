"use strict";
// Bonds between the atoms that are drawn, periodic images among them.

// Pairs of indices of atoms at most `limit` apart, Å.
function bondsOf(atoms, limit) {
  // Atoms in boxes of the bond length have their neighbours in the boxes around.
  const boxes = new Map(), key = (i, j, k) => `${i},${j},${k}`;
  const boxOf = ({ x, y, z }) => [x, y, z].map((value) => Math.floor(value / limit));
  atoms.forEach((atom, index) => {
    const name = key(...boxOf(atom));
    if (!boxes.has(name)) boxes.set(name, []);
    boxes.get(name).push(index);
  });
  const pairs = [], steps = [-1, 0, 1];
  atoms.forEach((atom, index) => {
    const [i, j, k] = boxOf(atom);
    for (const a of steps) for (const b of steps) for (const c of steps) {
      for (const other of boxes.get(key(i + a, j + b, k + c)) || []) {
        if (other > index && distanceOf(atom, atoms[other]) <= limit) pairs.push([index, other]);
      }
    }
  });
  return pairs;
}

function distanceOf(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y, a.z - b.z);
}
