"""Work of the campaign on the page: trainings, moves of the exploration, sources, settings."""

import json
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.material_losses import property_course
from gcd_hpc.browse.material_spectra import MaterialSpectra
from gcd_hpc.browse.page.kinds import rounds_table, subject_facts
from gcd_hpc.browse.page.snapshot import Snapshot
from gcd_hpc.browse.report.facts import config_of, origin_facts, potential_facts
from gcd_hpc.browse.sources import ABOUT, HEADINGS, source_cells
from gcd_hpc.browse.status import StatusReader
from gcd_hpc.config.reader import write
from gcd_hpc.errors import GcdError
from gcd_hpc.store.makers import first_parent
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_directory import RunDirectory

MOVE_HEADINGS = ("move", "tries", "relaxed", "accepted", "of", "share", "tries per core-minute")
MOVE_ABOUT = (
    "Relaxed: the move gave a boundary that could be relaxed. Accepted: the chain went on from it,"
    " because it lay at most explore.threshold_j_m2 higher above the lowest of its [n] than the"
    " structure before; the last move of a chain has no successor that tells, and is not counted."
)
_MOVE_FIELDS = ("id", "source", "move", "round", "index", "status", "parents", "cpu_s")


class Work:
    """Work of a run. What is dear to compute is kept as long as the parts of the run are the same.

    Args:
        status: reader of the run's ledger.
    """

    def __init__(self, run: Path, status: StatusReader) -> None:
        self._run, self._status = run, status
        self._version: str | None = None
        self._table: dict[str, Any] = {}

    def table(self, rows: Snapshot, version: str) -> dict[str, Any]:
        """What each source cost and found; of a material the spectrum errors of each round.

        Args:
            version: version of the part files of the rows.
        """
        if self._version != version:
            state = None
            with suppress(GcdError):  # without a readable ledger the times of the rows remain
                state = self._status.state()
            if rows.run.is_material:
                self._table = rounds_table(rows.run)
            else:
                cells = source_cells(sources_of(rows.run, state, rows.relaxed))
                self._table = {"headings": HEADINGS, "rows": cells, "about": ABOUT}
            self._version = version
        return self._table

    def training(self) -> dict[str, Any]:
        """Step, losses and pace of each training, and the course of the losses.

        The course has a row [step, loss, hold-out loss or None] for each report of the training;
        that of a material's property network has rows [step, loss].
        """
        run = RunDirectory(self._run)
        paths = run.training_progresses() if self._run.is_dir() else []
        found = (_training(run, path) for path in paths)
        return {"models": [one for one in found if one is not None]}

    def moves(self, rows: Snapshot) -> dict[str, Any]:
        """What each kind of move of the exploration tried, and how often its chain went on."""
        length = (config_of(rows.run).get("explore") or {}).get("chain_length")
        cells = _move_cells(rows.run, int(length)) if length else []
        return {"headings": MOVE_HEADINGS, "rows": cells, "about": MOVE_ABOUT}

    def settings(self, run: Run, spectra: MaterialSpectra | None) -> dict[str, Any]:
        """Boundary or material, potential and origin in lines, and the whole campaign file."""
        state = None
        with suppress(GcdError):
            state = self._status.state()
        lines = [*subject_facts(run, spectra), *potential_facts(run).rows]
        lines += origin_facts(run, state).rows
        config = config_of(run)
        return {
            "facts": [[name, text.replace("`", "")] for name, text in lines],
            "config": write(config) if config else "The files do not hold the campaign.",
        }


def _training(run: RunDirectory, path: Path) -> dict[str, Any] | None:
    """One training; None while its file is being written for the first time, or is damaged."""
    try:
        data = json.loads(path.read_text())
        version, step = int(path.parent.name), int(data["step"])
        seconds, num = float(data["seconds"]), step - int(data.get("first_step", 0))
        course = data.get("history") or [[step, data["loss"], data["validation_loss"]]]
        return {
            "version": version,
            "step": step,
            "num_steps": int(data["num_steps"]),
            "loss": _finite(data["loss"]),
            "validation_loss": _finite(data["validation_loss"]),
            "steps_per_s": num / seconds if seconds > 0 and num > 0 else None,
            "history": [[int(at), float(loss), _finite(held)] for at, loss, held in course],
            "history_steps": int(data.get("history_steps", data["num_steps"])),
            "property_history": property_course(run, version),
            "decision": _decision(run.promotion(version)),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _finite(value: Any) -> float | None:
    return None if value is None or not isfinite(value) else float(value)


def _decision(path: Path) -> str:
    """Whether a model was promoted, and why; a dash before the decision."""
    try:
        data = json.loads(path.read_text())
        verdict = "promoted" if data["promoted"] else "not promoted"
        return f"{verdict}: {data['reason']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "–"


def _move_cells(run: Run, per_chain: int) -> list[tuple[str, ...]]:
    """Rows of the table of moves.

    A move was accepted if the next one of its chain began from its structure.

    Args:
        per_chain: number of moves of a chain.
    """
    columns = run.columns(_MOVE_FIELDS)
    explored = np.flatnonzero(columns["source"] == "explore")
    order = explored[np.lexsort([columns["index"][explored], columns["round"][explored]])]
    ids, move, status = (columns[name][order] for name in ("id", "move", "status"))
    index, round_number = columns["index"][order], columns["round"][order]
    parents = np.array(list(map(first_parent, columns["parents"][order].tolist())))
    follows = (np.diff(index) == 1) & (np.diff(round_number) == 0) & (index[1:] % per_chain != 0)
    is_told = np.append(follows & (parents[1:] != ""), False)[: len(order)]
    is_accepted = np.append(ids[:-1] == parents[1:], False)[: len(order)] & is_told
    cells: list[tuple[str, ...]] = []
    for name in np.unique(move):
        own = move == name
        cpu_s = float(np.nansum(columns["cpu_s"][order][own]))
        accepted, told = int(is_accepted[own].sum()), int(is_told[own].sum())
        cells.append(
            (
                str(name) or "-",
                f"{own.sum():,}",
                f"{(status[own] == 'ok').sum():,}",
                f"{accepted:,}",
                f"{told:,}",
                f"{accepted / told:.0%}" if told else "–",
                f"{60 * own.sum() / cpu_s:.1f}" if cpu_s > 0 else "–",
            )
        )
    return cells
