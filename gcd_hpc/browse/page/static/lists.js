"use strict";
// Lists beside the candidates: phases and failures.

// onPhase: called with the name of a phase and its lowest candidate; onLowest: with the ids of all
// lowest candidates.
async function showPhases(source, onPhase, onLowest) {
  note(at("phase-note"), "comparing structures …");
  try {
    const { headings, rows, about } = await source.phases();
    const table = plainTable(headings, rows, [1, 2, 3]);
    [...table.tBodies[0].rows].forEach((line, number) => {
      const [name, , , , , id] = rows[number];
      line.cells[0].replaceChildren(linkButton(name, () => onPhase(name, id)));
    });
    const lowest = linkButton("Show the lowest of each phase alone in the table and the map", () => onLowest(rows.map((row) => row[5])));
    at("phase-table").replaceChildren(table, ...(rows.length ? [lowest] : []));
    note(at("phase-note"), rows.length ? about : "There are no phases: nothing was relaxed yet, or the files do not describe the boundary.");
  } catch (error) {
    note(at("phase-note"), error.message, true);
  }
}

function linkButton(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = text;
  button.addEventListener("click", act);
  return button;
}

// onNames: called with the ids of failed or refused candidates; null where the rows are no links.
async function showFailures(source, onNames) {
  try {
    const rows = await source.failures();
    const cells = rows.map((row) => [row.class, row.kind, count(row.num), row.reason]);
    const table = plainTable(["Class", "Of", "Number", "Reason"], cells, [2]);
    [...table.tBodies[0].rows].forEach((line, number) => {
      const { kind, num, names, reason } = rows[number];
      if (!onNames || kind !== "candidate") return;
      const link = linkButton(reason, () => onNames(names));
      link.title = names.length < num ? `Show ${count(names.length)} of these ${count(num)} candidates` : "Show these candidates";
      line.cells[3].replaceChildren(link);
    });
    at("failures").replaceChildren(rows.length ? table : "Nothing failed, and no structure was refused.");
  } catch (error) {
    at("failures").replaceChildren(error.message);
  }
}
