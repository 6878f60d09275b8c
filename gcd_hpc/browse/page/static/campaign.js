"use strict";
// The campaign: what it does now, training, exploration, work by source, figures, settings.

class CampaignTab {
  constructor(source, isFile) {
    [this._source, this._isFile] = [source, isFile];
  }

  async show() {
    const { figures, campaign } = await this._source.state();
    facts(at("campaign-now"), campaign ? nowFacts(campaign) : []);
    const work = await this._source.work();
    at("work").replaceChildren(plainTable(work.headings, work.rows, [1, 2, 3, 4]));
    note(at("work-note"), work.about);
    await Promise.all([this._showTraining(), this._showMoves(), this._showSettings()]);
    // Figures show candidates: they are drawn again when there are new ones.
    const drawn = JSON.stringify(work.rows);
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    for (const [what, title] of Object.entries(figures)) await this._showFigure(what, title);
  }

  async _showTraining() {
    const { models } = await this._source.training();
    at("training-card").hidden = !models.length;
    if (!models.length) return;
    const last = models[models.length - 1];
    note(at("training-note"), trainingText(last));
    const validation = last.history.filter(([, , value]) => value !== null).map(([step, , value]) => [step, value]);
    lineChart(at("training"), {
      title: "Loss of the training", xLabel: "training step", yLabel: "loss", xStart: 0, xEnd: last.history_steps,
      curves: [
        { name: last.property_history.length ? "particle model, mean of 100 steps" : "training, mean of 100 steps", colour: "var(--search)", points: last.history.map(([step, loss]) => [step, loss]) },
        ...(last.property_history.length ? [{ name: "property network", colour: "var(--model)", points: last.property_history }] : []),
        ...(validation.length ? [{ name: "hold-out", colour: "var(--model)", points: validation, isDots: true }] : []),
      ],
    });
    const cells = models.map((one) => [`${String(one.version).padStart(2, "0")}`, `${count(one.step)} of ${count(one.num_steps)}`, number(one.loss), number(one.validation_loss), one.steps_per_s === null ? "–" : `${one.steps_per_s.toFixed(1)}`, one.decision]);
    at("models").replaceChildren(plainTable(["Model", "Steps", "Loss", "Hold-out loss", "Steps per s", "Decision"], cells, [1, 2, 3, 4]));
  }

  async _showMoves() {
    const { headings, rows, about } = await this._source.moves();
    at("moves-card").hidden = !rows.length;
    at("moves").replaceChildren(plainTable(headings, rows, [1, 2, 3, 4, 5, 6]));
    note(at("moves-note"), about);
  }

  async _showSettings() {
    const { facts: known, config } = await this._source.settings();
    facts(at("provenance"), known);
    at("settings").textContent = config;
  }

  async _showFigure(what, title) {
    let figure = at(`figure-${what}`);
    if (!figure) {
      figure = document.createElement("figure");
      figure.id = `figure-${what}`;
      at("figures").append(figure);
    }
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    try {
      const image = new Image();
      image.alt = title;
      image.src = await this._source.figure(what);
      await image.decode();
      figure.replaceChildren(caption, image);
    } catch (error) {
      const reason = document.createElement("p");
      reason.className = "note";
      reason.textContent = error.message;
      figure.replaceChildren(caption, reason);
    }
  }
}

function nowFacts({ status, doing, elapsed_s, remaining_s, tried, model, failed_attempts, improvements }) {
  return [
    ["status", status],
    ...(doing ? [["at work on", doing]] : []),
    ["work so far", clock(elapsed_s)],
    ...(remaining_s === null ? [] : [["remaining, at most", clock(remaining_s)]]),
    ["tried", count(tried)],
    ["model in use", model ? String(model) : "none"],
    ["failed attempts", count(failed_attempts)],
    ...(improvements.length ? [["last improvements", improvements.join("; ")]] : []),
  ];
}

function clock(seconds) {
  const whole = Math.round(seconds), pad = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

function number(value) {
  return value === null ? "–" : value.toFixed(4);
}

function trainingText({ version, step, num_steps, loss, steps_per_s }) {
  const left = steps_per_s ? ` at ${steps_per_s.toFixed(1)} steps per s, ${clock((num_steps - step) / steps_per_s)} left` : "";
  return `Model ${version}: step ${count(step)} of ${count(num_steps)}${step < num_steps ? left : ""}, loss ${number(loss)}.`;
}
