"use strict";
// The 3D pictures as one PNG with title, scale, axes and colour bar.

const PICTURE_HEAD = 34;
const PICTURE_FOOT = 44;

// views: [{canvas, svg, width, height, title}]; legend: as from paintAtoms.
async function pictureOf(views, legend) {
  const scale = 2, width = views.reduce((sum, view) => sum + view.width, 0), height = Math.max(...views.map((view) => view.height));
  const sheet = document.createElement("canvas"), draw = sheet.getContext("2d");
  [sheet.width, sheet.height] = [scale * width, scale * (height + PICTURE_HEAD + PICTURE_FOOT)];
  draw.scale(scale, scale);
  draw.fillStyle = themed("--card");
  draw.fillRect(0, 0, width, height + PICTURE_HEAD + PICTURE_FOOT);
  draw.fillStyle = themed("--ink");
  draw.font = "13px system-ui, sans-serif";
  let left = 0;
  for (const view of views) {
    draw.fillText(view.title, left + 14, 22, view.width - 20);
    draw.drawImage(view.canvas, left, PICTURE_HEAD, view.width, view.height);
    draw.drawImage(await rasterOf(view.svg), left, PICTURE_HEAD, view.width, view.height);
    left += view.width;
  }
  drawLegend(draw, legend, height + PICTURE_HEAD + 26);
  return new Promise((resolve) => sheet.toBlob((blob) => resolve(URL.createObjectURL(blob)), "image/png"));
}

function drawLegend(draw, { name, unit, items, low, high, isUnknown }, y) {
  let x = 14;
  const write = (text, colour = themed("--ink")) => {
    draw.fillStyle = colour;
    draw.fillText(text, x, y);
    x += draw.measureText(text).width + 10;
  };
  if (isUnknown) return;
  write(name);
  if (items) {
    for (const [colour, text] of items) { write("●", colour); x -= 6; write(text); }
    return;
  }
  write(low.toFixed(2));
  const shades = draw.createLinearGradient(x, 0, x + 140, 0);
  RAMP.forEach((colour, place) => shades.addColorStop(place / (RAMP.length - 1), colour));
  draw.fillStyle = shades;
  draw.fillRect(x, y - 10, 140, 11);
  x += 150;
  write(`${high.toFixed(2)} ${unit}`);
}

// The overlay as an image, with the colours that the style sheet gives it.
async function rasterOf(svg) {
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  [...svg.children].forEach((part, place) => {
    const { stroke, fill, strokeWidth, strokeLinejoin, paintOrder, fontSize, fontFamily } = getComputedStyle(part);
    Object.assign(copy.children[place].style, { stroke, fill, strokeWidth, strokeLinejoin, paintOrder, fontSize, fontFamily });
  });
  copy.setAttribute("width", svg.clientWidth);
  copy.setAttribute("height", svg.clientHeight);
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  return image;
}
