"use strict";
// Directions of view. The boundary normal is z, which views along x and y draw upright.

// Directions of the structure that point to the right and up on the screen.
const VIEWS = {
  x: { right: [0, 1, 0], up: [0, 0, 1] },
  y: { right: [1, 0, 0], up: [0, 0, 1] },
  z: { right: [1, 0, 0], up: [0, 1, 0] },
};
const TURN_DEGREES = 10;

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function dot3(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// Quaternion [x, y, z, w] that turns the structure into a view.
function quaternionOf({ right, up }) {
  const eye = cross(right, up), rows = [right, up, eye];
  const trace = right[0] + up[1] + eye[2];
  if (trace > 0) {
    const s = 2 * Math.sqrt(trace + 1);
    return [(rows[2][1] - rows[1][2]) / s, (rows[0][2] - rows[2][0]) / s, (rows[1][0] - rows[0][1]) / s, s / 4];
  }
  // The largest component is computed from the diagonal, the others from it.
  const i = [0, 1, 2].reduce((most, axis) => (rows[axis][axis] > rows[most][most] ? axis : most), 0);
  const [j, k] = [(i + 1) % 3, (i + 2) % 3];
  const s = 2 * Math.sqrt(1 + rows[i][i] - rows[j][j] - rows[k][k]);
  const q = [0, 0, 0, (rows[k][j] - rows[j][k]) / s];
  q[i] = s / 4;
  q[j] = (rows[j][i] + rows[i][j]) / s;
  q[k] = (rows[k][i] + rows[i][k]) / s;
  return q;
}

// A vector of the structure in the axes of the screen: right, up, towards the eye.
function turned([x, y, z], [qx, qy, qz, qw]) {
  const axis = [qx, qy, qz], first = cross(axis, [x, y, z]).map((value, place) => value + qw * [x, y, z][place]);
  return cross(axis, first).map((value, place) => [x, y, z][place] + 2 * value);
}

// Middle of points, and their extents on the screen, Å.
function extents(points, quaternion) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const { x, y, z } of points) {
    turned([x, y, z], quaternion).forEach((value, axis) => {
      low[axis] = Math.min(low[axis], value);
      high[axis] = Math.max(high[axis], value);
    });
  }
  const [qx, qy, qz, qw] = quaternion;
  const middle = low.map((value, axis) => (value + high[axis]) / 2);
  return { middle: turned(middle, [-qx, -qy, -qz, qw]), size: low.map((value, axis) => high[axis] - value) };
}
