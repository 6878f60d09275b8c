"use strict";
// A guided campaign of a boundary: what was asked for, what was found, and projections beside an image.

class AskedTab {
  // onChoose: called with the id of a candidate.
  constructor(source, onChoose) {
    [this._source, this._onChoose] = [source, onChoose];
  }

  // Show all, with the projection of a candidate, by its id.
  async show(id) {
    if (!this._record) note(at("asked-note"), "comparing structures …");
    const record = await this._source.asked();
    this._record = record;
    note(at("asked-note"), "");
    at("asked-terms").replaceChildren(...record.terms.map((text) => element("li", text)));
    at("asked-image").hidden = !record.image;
    if (record.image) this._showImage(record.image);
    at("asked-tables").replaceChildren(...record.tables.flatMap((table) => this._table(table)));
    await this.choose(id);
  }

  // Show the projection of a candidate beside the image.
  async choose(id) {
    if (!this._record?.image || at("asked").hidden || !id) return;
    this._wanted = id;
    try {
      const found = await this._source.projection(id);
      if (this._wanted !== id) return;
      paint(at("asked-projection"), found);
      at("asked-projection").dataset.id = id;
      at("asked-projection").setAttribute("aria-label", `Projection of ${id}`);
      note(at("asked-caption"), `${id}: correlation ${found.correlation.toFixed(3)}`);
    } catch (error) {
      if (this._wanted !== id) return;
      delete at("asked-projection").dataset.id;
      at("asked-projection").width = 0;
      note(at("asked-caption"), error.message, true);
    }
  }

  _showImage(image) {
    paint(at("asked-target"), image);
    const [width, height] = [image.width, image.height].map((pixels) => (pixels * image.pixel_a).toFixed(1));
    note(at("asked-target-caption"), `the image, seen along ${image.axis}, ${width} Å × ${height} Å`);
  }

  _table({ title, headings, rows, about, ids }) {
    const box = element("div"), table = plainTable(headings, rows, ids ? [2, 3, 4] : [1, 2, 3, 4, 5, 6, 7, 8]);
    box.className = "scroll";
    if (ids) [...table.tBodies[0].rows].forEach((line, number) => line.cells[0].replaceChildren(linkButton(ids[number], () => this._onChoose(ids[number]))));
    box.append(...(rows.length ? [table] : []));
    const text = element("p", about);
    text.className = "note";
    return [element("h3", title), box, text];
  }
}

function element(name, text = "") {
  const node = document.createElement(name);
  node.textContent = text;
  return node;
}

// Draw shades of grey, one byte a pixel, with all pixels of one size.
function paint(canvas, { width, height, grey }) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  const bytes = atob(grey);
  for (let place = 0; place < bytes.length; place += 1) {
    const shade = bytes.charCodeAt(place);
    picture.data.set([shade, shade, shade, 255], 4 * place);
  }
  context.putImageData(picture, 0, 0);
}
