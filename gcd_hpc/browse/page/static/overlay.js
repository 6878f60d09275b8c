"use strict";
// Axes and scale bar over a 3D picture.

const AXES = [["x", [1, 0, 0]], ["y", [0, 1, 0]], ["z", [0, 0, 1]]];
const AXIS_PX = 26;
const BAR_PX = 90;

// Longest round length that is at most `pixels` long, Å.
function roundLength(pixels, scale) {
  const longest = pixels / scale, power = 10 ** Math.floor(Math.log10(longest));
  return power * [5, 2, 1].find((factor) => factor * power <= longest);
}

function drawOverlay(svg, view, scale) {
  const [width, height] = [svg.clientWidth, svg.clientHeight], quaternion = view.slice(4, 8);
  if (!width || !(scale > 0)) return;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const origin = [38, height - 38];
  const parts = AXES.map(([name, axis]) => [name, turned(axis, quaternion)]).sort((a, b) => a[1][2] - b[1][2]).flatMap(([name, [right, up, eye]]) => {
    const [x, y] = [origin[0] + AXIS_PX * right, origin[1] - AXIS_PX * up];
    // An axis that points to the eye or away from it is a point.
    const sign = Math.hypot(right, up) < 0.05 ? [make("circle", { cx: x, cy: y, r: 4, class: eye > 0 ? "axis-dot" : "axis-ring" })] : [];
    const place = [origin[0] + (AXIS_PX + 9) * right + (sign.length ? -11 : 0), origin[1] - (AXIS_PX + 9) * up + (sign.length ? 13 : 4)];
    return [make("line", { x1: origin[0], y1: origin[1], x2: x, y2: y, class: `axis-${name}` }), ...sign,
      make("text", { x: place[0], y: place[1], "text-anchor": "middle" }, name)];
  });
  const length = roundLength(BAR_PX, scale), right = width - 14;
  parts.push(make("line", { x1: right - length * scale, x2: right, y1: height - 14, y2: height - 14, class: "scale" }));
  parts.push(make("text", { x: right - (length * scale) / 2, y: height - 20, "text-anchor": "middle", class: "scale-text" }, `${length} Å`));
  svg.replaceChildren(...parts);
}
