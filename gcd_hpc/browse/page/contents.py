"""Data of the page as plain types: counts, table pages, points of the map and structures."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np

from gcd_hpc.browse.asked import guidance_of
from gcd_hpc.browse.failures import counts, failure_rows
from gcd_hpc.browse.figure_kinds import energy_cap
from gcd_hpc.browse.page.asked import AskedView
from gcd_hpc.browse.page.kinds import kind_of, material_choices, spectra_record
from gcd_hpc.browse.page.material_structure import (
    material_environment,
    material_range,
    material_record,
)
from gcd_hpc.browse.page.phases import phase_rows
from gcd_hpc.browse.page.snapshot import Snapshot
from gcd_hpc.browse.page.structure import energy_range, environment_record, structure_record
from gcd_hpc.browse.page.work import Work
from gcd_hpc.browse.registries import reduced_registries
from gcd_hpc.browse.status import StatusReader
from gcd_hpc.browse.tables import plain
from gcd_hpc.errors import GcdError, StoreError, printable
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.crystal import boundary_of
from gcd_hpc.store.export import Format
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.makers import MAKER_FIELDS, MODEL_MOVES, group_of, maker_name
from gcd_hpc.store.material_rows import kind_fields
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory

MAX_POINTS, MOST_POINTS = 3000, 20_000
"""Number of points of the map, and the largest that a reader can ask for."""
MAX_PAGE = 500
LOOK_EVERY_S = 1.0


class Contents:
    """Data of a run for its page; thread-safe. It follows a running campaign, see ``version``.

    Args:
        set_name: name of the set that the run belongs to, if any.

    Raises:
        StoreError: if there is no such run or file.
    """

    def __init__(self, run: Path, set_name: str = "") -> None:
        self.path, self._set_name = run, set_name
        self._store = RunStore(run)
        self._status = StatusReader(run)
        self._lock = threading.RLock()
        self._looked_at = -LOOK_EVERY_S
        self._version, self._parts_version = "", ""
        self._shown = ""
        """Version of the part files from which the snapshot was read."""
        self._snapshot: Snapshot | None = None
        self._work = Work(run, self._status)
        self._asked = AskedView()
        self._state: dict[str, Any] = {}

    def version(self) -> str:
        """Hash that changes with the files of the run, checked at most every LOOK_EVERY_S."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                run = RunDirectory(self.path)
                told = [run.ledger, *run.training_progresses()] if self.path.is_dir() else []
                self._parts_version = version_of(self._store.part_paths())
                version = self._parts_version + version_of(told)
                if version != self._version:
                    self._version, self._state = version, {}
                self._looked_at = time.monotonic()
            return self._version

    def state(self) -> dict[str, Any]:
        """Name, counts, options of the controls and status of the campaign."""
        with self._lock:
            rows = self._current()
            is_material = rows.run.is_material
            if not self._state:
                self._state = {
                    "version": self._version,
                    "name": self._name(),
                    "set": self._set_name,
                    "path": str(self.path.resolve()),
                } | _overview(rows)
                best = self._state["best"]
                # One colour scale for all structures makes them comparable.
                self._state["range"] = _energy_range(self.candidate(best[0])) if best else None
                self._state |= {
                    "figures": kind_of(rows.run).figures,
                    "campaign": self._campaign(),
                    "formats": [
                        form for form in get_args(Format) if form != "vasp" or not is_material
                    ],
                    "is_guided": bool(guidance_of(rows.run)),
                    "kind": kind_of(rows.run).name,
                    "fields": list(kind_of(rows.run).fields),
                    "map_fields": list(kind_of(rows.run).map_fields),
                    "about": {
                        field.name: {"unit": field.unit, "meaning": field.meaning}
                        for field in kind_fields(rows.run.is_material)
                    },
                }
            return self._state

    def page(
        self, selection: str, sort: str, descending: bool, first: int, num: int
    ) -> dict[str, Any]:
        """Rows ``first`` to ``first + num`` of a sorted selection, and its number of rows.

        Raises:
            StoreError: if a condition of the selection or the field to sort by is wrong.
        """
        with self._lock:
            rows = self._current()
            chosen = rows.chosen(selection, sort, descending)
            columns = chosen[first : first + min(num, MAX_PAGE)].columns(kind_of(rows.run).fields)
            return {
                "version": self._shown,
                "total": len(chosen),
                "first": first,
                "rows": records(columns),
            }

    def points(self, selection: str, limit: int = MAX_POINTS) -> dict[str, Any]:
        """Points of the map: the lowest relaxed energies of each [n], at most ``limit`` in all.

        Raises:
            StoreError: if a condition of the selection is wrong.
        """
        with self._lock:
            rows = self._current()
            chosen, total = rows.lowest(selection, min(limit, MOST_POINTS))
            columns = chosen.columns(kind_of(rows.run).map_fields)
            cap = (
                energy_cap(columns["n_fraction"], columns["gb_energy_j_m2"])
                if len(chosen) and not chosen.is_material
                else None
            )
            return {"version": self._shown, "total": total, "cap": cap, "rows": records(columns)}

    def registries(self, selection: str, limit: int = MAX_POINTS) -> dict[str, Any]:
        """Relaxed registries of the points of the map in the cell in which they repeat, Å.

        Raises:
            StoreError: if a condition of the selection is wrong.
        """
        with self._lock:
            chosen, _ = self._current().lowest(selection, min(limit, MOST_POINTS))
            cell, places = reduced_registries(chosen)
            return {"cell": plain(cell), "places": places}

    def table(self, limit: int) -> list[list[Any]]:
        """All rows, or the lowest relaxed ones of each [n] if there are more than ``limit``."""
        with self._lock:
            rows = self._current()
            every = rows.run
            shown = every if len(every) <= limit else rows.lowest("", limit)[0]
            return records(shown.columns(kind_of(every).fields))

    def lowest(self, num: int) -> Run:
        """Candidates of the lowest relaxed energies, equally many of each [n], best first."""
        with self._lock:
            return self._current().lowest("", num)[0]

    def run(self) -> Run:
        """All candidates at this moment."""
        with self._lock:
            return self._current().run

    def candidate(self, name: str) -> RunCandidate:
        """One candidate, read without the rest of its file.

        Raises:
            StoreError: if there is no candidate of this id.
        """
        return self.run()[name]

    def structure(self, name: str) -> dict[str, Any]:
        """All fields of one candidate, and its atoms in the axes of the 3D view.

        Raises:
            StoreError: if there is no candidate of this id.
        """
        candidate = self.candidate(name)
        if candidate.is_material:
            return material_record(candidate)
        return structure_record(candidate, self.element())

    def environment(self, name: str, before: bool) -> dict[str, Any]:
        """Environments of the atoms of one candidate, see ``environment_record``.

        Args:
            before: of the atoms before relaxation.

        Raises:
            StoreError: if there is no candidate of this id, or if it has no neighbours to look at.
        """
        candidate = self.candidate(name)
        if candidate.is_material:
            return material_environment(candidate, before)
        return environment_record(candidate, self.lattice(), before)

    def spectra(self, name: str = "") -> dict[str, Any]:
        """Curves of the view of spectra, see ``spectra_record``."""
        with self._lock:
            rows = self._current()
            return spectra_record(rows.spectra, rows.groups if rows.spectra else {}, name)

    def asked(self) -> dict[str, Any]:
        """What guided candidates of a boundary were asked for and found, see ``asked_record``."""
        with self._lock:
            rows, version = self._current(), self._shown
        # Comparing projections takes seconds, in which others are answered.
        return self._asked.record(rows, version)

    def projection(self, name: str) -> dict[str, Any]:
        """Projection of one candidate beside the image, see ``projection_record``.

        Raises:
            StoreError: if there is no such candidate, or nothing to compare it with.
        """
        return self._asked.projection(self.run(), name)

    def selected(self, selection: str) -> Run:
        """Candidates of a selection, in the order of the run.

        Raises:
            StoreError: if a condition of the selection is wrong.
        """
        with self._lock:
            return self._current().selected(selection)

    def phases(self) -> dict[str, Any]:
        """Table of the phases, and the ids of the candidates of each."""
        with self._lock:
            return phase_rows(self._current().phases)

    def training(self) -> dict[str, Any]:
        """Trainings of the campaign so far, with the course of their losses."""
        return self._work.training()

    def work(self) -> dict[str, Any]:
        """Table of what each source cost and found, see ``Work.table``."""
        with self._lock:
            return self._work.table(self._current(), self._shown)

    def moves(self) -> dict[str, Any]:
        """Table of what each kind of move of the exploration tried and found."""
        with self._lock:
            return self._work.moves(self._current())

    def settings(self) -> dict[str, Any]:
        """Settings of the campaign, and what else the results depend on."""
        with self._lock:
            rows = self._current()
            return self._work.settings(rows.run, rows.spectra)

    def failures(self) -> list[dict[str, Any]]:
        """Number of failures with each reason, by class."""
        return counts(failure_rows(self.path))

    def element(self) -> str:
        """Chemical symbol of the atoms; X if the file does not name it."""
        try:
            return self.run().element
        except StoreError:
            return "X"

    def lattice(self) -> str:
        """Name of the crystal's lattice; empty if the file does not name it."""
        boundary = boundary_of(self.run().provenance.get("config"))
        return "" if boundary is None else str(boundary.lattice)

    def _current(self) -> Snapshot:
        self.version()
        if self._snapshot is None or self._parts_version != self._shown:
            # A million rows are not held twice.
            self._snapshot = None
            self._snapshot = Snapshot(open_run(self.path, in_memory=True))
            self._shown = self._parts_version
        return self._snapshot

    def _name(self) -> str:
        config = self.run().provenance.get("config", "")
        return printable(str(campaign_of(config).get("name", self.path.name)))

    def _campaign(self) -> dict[str, Any] | None:
        if not self.path.is_dir():
            return None
        try:
            record = self._status.record()
        except GcdError:  # Candidates without a campaign: the results of one stage, or a copy.
            return None
        return {
            name: record[name]
            for name in (
                *("status", "reason", "doing", "improvements", "elapsed_s", "remaining_s"),
                *("tried", "model", "failed_attempts"),
            )
        }


def records(columns: Columns) -> list[list[Any]]:
    """One list per row, in the order of the columns; unknown numbers become None."""
    return [list(row) for row in zip(*(plain(values) for values in columns.values()), strict=True)]


def _energy_range(best: RunCandidate) -> list[float] | None:
    return material_range(best) if best.is_material else energy_range(best)


def _overview(rows: Snapshot) -> dict[str, Any]:
    fractions, best = [], rows.run.lowest(1) if rows.run.is_material else rows.relaxed[:1]
    if not rows.run.is_material:
        relaxed = rows.relaxed.columns(["n_index", "n_fraction"])
        _, first = np.unique(relaxed["n_index"], return_index=True)
        fractions = relaxed["n_fraction"][first].tolist()
    return {
        "num": len(rows.run),
        "statuses": {status: num for (status,), num in rows.run.counts(["status"]).items()},
        "sources": material_choices(rows.run) if rows.run.is_material else _choices(rows.run),
        "rounds": [number for (number,) in rows.run.counts(["round"])],
        "fractions": fractions,
        "best": next(iter(records(best.columns(kind_of(best).map_fields))), None),
    }


def _choices(run: Run) -> list[dict[str, Any]]:
    """Sources that can be chosen: the selection, the name and the number of rows of each."""
    makers: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    models: Counter[int] = Counter()
    for (source, version, move), num in run.counts(MAKER_FIELDS).items():
        makers[source, move] += num
        kinds[source] += num
        # A model is chosen with the moves that used its weights.
        if group_of(source, version, move) == "model":
            models[version] += num
    found = [("source=search", "search", kinds["search"])]
    found += [("source=explore", "all moves", kinds["explore"])]
    found += [(f"move={move}", move, num) for (_, move), num in sorted(makers.items()) if move]
    others = sorted({move for _, move in makers if move} - set(MODEL_MOVES))
    for version in sorted(models):
        # Version 0 is also that of rows that no model has made.
        by_others = f" move!={','.join(others)}" if others else ""
        select = f"version={version}" + ("" if version else f" source!=search{by_others}")
        found.append((select, maker_name("model", version, ""), models[version]))
    if len(models) > 1:
        found.append(("source=model", "all models", kinds["model"]))
    return [{"select": select, "name": name, "num": num} for select, name, num in found if num]


def version_of(paths: Iterable[Path]) -> str:
    """Hash of names, sizes and modification times of files."""
    digest = hashlib.sha256()
    for path in paths:
        with suppress(FileNotFoundError):  # gone since it was listed, or no campaign
            stat = path.stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
