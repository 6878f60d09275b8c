"use strict";
// Spectra of a material: the target, the means with and without guidance, and that of the chosen structure.

const SPECTRUM_LINES = {
  guided: { colour: "var(--model)", dash: "", width: 1.8 },
  unguided: { colour: "var(--search)", dash: "7 3", width: 1.8 },
  chosen: { colour: "var(--exploration)", dash: "2 3", width: 1.8 },
  target: { colour: "var(--ink)", dash: "", width: 2.2 },
};

class SpectraView {
  constructor(source) {
    this._source = source;
    new ResizeObserver(() => this._draw()).observe(at("spectra"));
  }

  // Show the spectra with that of a structure, by its id, if it has one.
  async show(id) {
    if (KIND !== MATERIAL) return;
    const asked = (this._asked = (this._asked || 0) + 1);
    try {
      const record = await this._source.spectra(id || "");
      if (asked !== this._asked) return;
      this._record = record;
      at("spectra-card").hidden = !record.curves.length;
      const isShown = record.curves.some(({ kind }) => kind === "chosen");
      note(at("spectra-note"), `Absorption by the engine, with a mean level of 1, of labelled atoms alone. Bands: one standard deviation from structure to structure${isShown ? "; around the chosen structure, the standard error from the choice of atoms" : ""}.${id && !isShown ? ` No spectra of ${id} are known.` : ""}`);
      at("spectra-card").dataset.id = isShown ? id : "";
      this._draw();
    } catch (error) {
      note(at("spectra-note"), error.message, true);
    }
  }

  _draw() {
    if (!this._record?.curves.length || !at("spectra").clientWidth) return;
    const { energies, curves } = this._record;
    lineChart(at("spectra"), {
      title: `Spectra: ${curves.map(({ name }) => name).join(", ")}`, xLabel: "energy (eV)", yLabel: "absorption",
      curves: curves.map(({ kind, name, values, half_width: half }) => ({
        name, ...SPECTRUM_LINES[kind],
        points: values.map((value, place) => [energies[place], value]),
        band: half && values.map((value, place) => [energies[place], value - half[place], value + half[place]]),
      })),
    });
  }
}
