"""Labelling: spectra of chosen atoms by an engine, in parallel, each kept as soon as it is there.

While it runs, the files lie in ``FILE.labelling`` beside the table that is written at the end. The
same command continues after it was killed, and adds atoms to a finished table.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from math import inf, isfinite
from pathlib import Path
from typing import Any, cast

import numpy as np
from ase import Atoms

from gcd_hpc.engines.spreading import spread
from gcd_hpc.errors import LaunchError, StoreError, did_you_mean, shortened
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.spectra.choose import Place, choose_atoms
from gcd_hpc.spectra.engine import SpectrumEngine, SpectrumResult, TableEngine, labelled_by
from gcd_hpc.spectra.feff10 import TIMEOUT_S, Feff10, Feff10Settings
from gcd_hpc.spectra.table import SpectrumTable, joined
from gcd_hpc.spectra.table_file import Labelled, read_labelled, write_labelled

ENGINES = ("feff10",)
"""Engines with a name of their own."""


@dataclass(frozen=True)
class Progress:
    """How far a labelling is."""

    num_done: int
    num_all: int
    num_failed: int
    core_s: float
    """Processor time of all atoms that are done, s."""


_NEEDED = ("name", "version", "settings", "element", "edge", "energies_ev", "spectrum")
"""What an engine of the user's own must have."""


@dataclass(frozen=True)
class EngineChoice:
    """An engine by its name, as each process makes one of its own."""

    name: str
    """feff10, the file of a table, or the path of a class, ``module:Class``."""
    settings: Feff10Settings
    """Settings of feff10."""
    timeout_s: float = TIMEOUT_S

    def make(self) -> SpectrumEngine:
        """The engine.

        Raises:
            GcdError: if there is none of this name, or it cannot be used.
        """
        if self.name == "feff10":
            return Feff10(self.settings, self.timeout_s)
        if self.name.endswith(".h5"):
            return TableEngine(read_labelled(Path(self.name)))
        if not re.fullmatch(r"[\w.]+:\w+", self.name):
            raise LaunchError(
                f"there is no engine {shortened(repr(self.name))}; name feff10, the .h5 file of a"
                f" table, or a class as module:Class{did_you_mean(self.name, ENGINES)}"
            )
        module, _, member = self.name.partition(":")
        try:
            engine = getattr(import_module(module), member)()
        except Exception as error:  # code of the user's own fails in any way
            raise LaunchError(
                f"the engine {self.name} cannot be loaded: {error}; name a class that Python can"
                " import"
            ) from error
        missing = [name for name in _NEEDED if not hasattr(engine, name)]
        if missing:
            raise LaunchError(
                f"the engine {self.name} cannot be used, because it lacks {', '.join(missing)};"
                " docs/spectra.md lists what an engine has"
            )
        return cast(SpectrumEngine, engine)


@dataclass(frozen=True)
class LabelFolder:
    """Files of a labelling that is under way; no other module knows their names."""

    table: Path
    """File that is written at the end."""

    @property
    def path(self) -> Path:
        """Folder of all other files."""
        return self.table.with_name(f"{self.table.name}.labelling")

    @property
    def job(self) -> Path:
        """What is labelled and how."""
        return self.path / "job.json"

    def atom(self, place: Place) -> Path:
        """Spectrum of one atom."""
        structure, atom = place
        return self.path / f"{structure:06d}-{atom:06d}.json"


def label(
    structures: Sequence[Atoms],
    out: Path,
    choice: EngineChoice,
    num_atoms: int,
    seed: int = 0,
    workers: int = 1,
    budget_core_s: float = inf,
    progress: Callable[[Progress], None] = lambda done: None,
    places: Sequence[Place] | None = None,
    entries: Callable[[Labelled], Mapping[str, str]] = lambda labelled: {},
) -> Labelled:
    """Choose atoms, compute their spectra and write the table.

    Args:
        out: HDF5 file. Atoms of a table that is there already count as done.
        num_atoms: largest number of atoms of the table.
        seed: of the choice.
        workers: number of processes, each with an engine of its own. Results do not depend on it.
        budget_core_s: processor time after which no other atom is begun; what earlier runs of the
            command spent counts.
        places: atoms to label; they are chosen here if None.
        entries: further attributes of the file.

    Raises:
        StoreError: if ``out`` or its folder is of other structures or another engine.
        GcdError: if the engine cannot be used. What fails for one atom is a row of the table.
    """
    with choice.make() as engine:
        question = _question(structures, engine)
        kept = _kept_table(out, structures, engine)
        if places is None:
            chosen = choose_atoms(structures, engine.element, num_atoms, seed)
        else:
            chosen = list(places)
        folder = LabelFolder(out)
        _begin(folder, question)
        done = _results(kept, chosen) | _read_results(folder, chosen)
        missing = [place for place in chosen if place not in done]

        def report() -> None:
            failed = sum(one.values is None for one in done.values())
            progress(Progress(len(done), len(chosen), failed, _core_s(done.values())))

        def within_budget() -> Iterator[tuple[Place, Atoms]]:
            for place in missing:
                if _core_s(done.values()) >= budget_core_s:
                    return
                yield place, structures[place[0]]

        report()
        num = min(workers, len(missing))
        compute = partial(_compute, engine if num <= 1 else choice, folder)
        for (place, _), result in spread(within_budget(), compute, num, "computed a spectrum"):
            done[place] = result
            report()
        return _finish(folder, structures, engine, kept, done, entries)


def _finish(
    folder: LabelFolder,
    structures: Sequence[Atoms],
    engine: SpectrumEngine,
    kept: SpectrumTable | None,
    done: dict[Place, SpectrumResult],
    entries: Callable[[Labelled], Mapping[str, str]],
) -> Labelled:
    """Write the table and remove the folder; rows of an older table stay, chosen now or not."""
    old = set() if kept is None else set(_places(kept))
    new = [place for place in done if place not in old]
    made = labelled_by(engine, structures, new, [done[place] for place in new])
    table = made.table if kept is None else joined([kept, made.table])
    labelled = Labelled(structures, table.sorted())
    write_labelled(folder.table, labelled, entries(labelled))
    shutil.rmtree(folder.path, ignore_errors=True)
    return labelled


def _compute(
    source: SpectrumEngine | EngineChoice, folder: LabelFolder, item: tuple[Place, Atoms]
) -> SpectrumResult:
    """Spectrum of one atom, also written to its file.

    Args:
        source: the engine, or which one a process is to make and keep for its next atoms.
    """
    place, atoms = item
    engine = _engine_of_process(source) if isinstance(source, EngineChoice) else source
    result = _sound(engine.spectrum(atoms, place[1]), engine)
    values = None if result.values is None else result.values.tolist()
    content = {"values": values, "reason": result.reason, "seconds": result.seconds}
    write_checked_json(folder.atom(place), content)
    return result


def _sound(result: SpectrumResult, engine: SpectrumEngine) -> SpectrumResult:
    """The result, or a failure if its values are no spectrum."""
    values, axis = result.values, engine.energies_ev
    if values is None:
        return result
    if axis is not None and values.shape != axis.shape:
        reason = f"{engine.name} returned {values.shape} values for {axis.shape} energies"
        return SpectrumResult(None, reason, result.seconds)
    if not np.isfinite(values).all():
        reason = f"{engine.name} returned values that are not finite"
        return SpectrumResult(None, reason, result.seconds)
    return result


@cache
def _engine_of_process(choice: EngineChoice) -> SpectrumEngine:
    """Engine of a process of the pool. It ends with the process."""
    return choice.make()


def _question(structures: Sequence[Atoms], engine: SpectrumEngine) -> dict[str, Any]:
    """What the results in a folder depend on."""
    hashed = hashlib.sha256()
    for atoms in structures:
        for part in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
            hashed.update(np.ascontiguousarray(part).tobytes())
    return {
        "structures": hashed.hexdigest(),
        "engine": engine.name,
        "version": engine.version,
        "element": engine.element,
        "edge": engine.edge,
        "settings": engine.settings,
    }


def _begin(folder: LabelFolder, question: dict[str, Any]) -> None:
    """Make the folder, or adopt it.

    Raises:
        StoreError: if it is of another job.
    """
    if not folder.job.exists():
        write_checked_json(folder.job, question)
        return
    known = _read_json(folder.job)
    if known != question:
        what = "damaged"
        if known is not None:
            what = "of other " + ", ".join(
                key for key in question if known.get(key) != question[key]
            )
        raise StoreError(
            f"{folder.path}: holds labels that are {what}; remove the folder to begin anew, or name"
            " another file with --out"
        )


def _kept_table(
    out: Path, structures: Sequence[Atoms], engine: SpectrumEngine
) -> SpectrumTable | None:
    """Table of an earlier labelling of the same structures by the same engine.

    Raises:
        StoreError: if the file is another one.
    """
    if not out.exists():
        return None
    kept = read_labelled(out)
    same = len(kept.structures) == len(structures) and all(
        one == other for one, other in zip(kept.structures, structures, strict=True)
    )
    empty = labelled_by(engine, structures, [], []).table
    if not same or kept.table.sha256 != empty.sha256:
        what = "other structures" if not same else "another engine or other settings"
        raise StoreError(
            f"{out}: holds spectra of {what}; name another file with --out, or remove this one"
        )
    return kept.table


def _places(table: SpectrumTable) -> list[Place]:
    return list(zip(table.structure.tolist(), table.atom.tolist(), strict=True))


def _results(table: SpectrumTable | None, chosen: Sequence[Place]) -> dict[Place, SpectrumResult]:
    """Results of the chosen atoms that a table holds."""
    if table is None:
        return {}
    wanted = set(chosen)
    return {
        place: SpectrumResult(
            table.values[row] if table.is_ok[row] else None,
            str(table.reason[row]),
            float(table.seconds[row]),
        )
        for row, place in enumerate(_places(table))
        if place in wanted
    }


def _read_results(folder: LabelFolder, chosen: Sequence[Place]) -> dict[Place, SpectrumResult]:
    """Results of the chosen atoms that have a file; a damaged file counts as none."""
    found = {}
    for place in chosen:
        content = _read_json(folder.atom(place))
        if content is not None:
            values = content["values"]
            array = None if values is None else np.array(values, dtype=float)
            found[place] = SpectrumResult(array, content["reason"], content["seconds"])
    return found


def _read_json(path: Path) -> dict[str, Any] | None:
    """Content of a file with a checksum; None if it is missing or damaged."""
    try:
        return checked_content(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _core_s(results: Iterable[SpectrumResult]) -> float:
    """Processor time of results, s; without those whose time is not known."""
    return sum(one.seconds for one in results if isfinite(one.seconds))
