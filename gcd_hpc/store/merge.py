"""Merging of runs of one boundary into one file without duplicates.

Structures of equal [n] are duplicates if their energies and fingerprints agree within tolerance;
the one of lowest energy is kept. Files are read three times, block by block. Memory holds one
fingerprint (64 floats, 256 bytes) per possible duplicate and no atoms beyond the current block.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.files import output, reserve
from gcd_hpc.store.alloys import excess_energies, kinds_of
from gcd_hpc.store.blocks import Blocks
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.checksums import Columns, seal
from gcd_hpc.store.hdf5 import FORMAT, ColumnWriter, text_array, write_attributes
from gcd_hpc.store.parts import read_columns, without_structure
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.schema import FIELDS, candidate_id
from gcd_hpc.store.sources import Source, sources_of
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2
from gcd_hpc.structures.fingerprint import SAME_FINGERPRINT, Fingerprint, slab_fingerprint
from gcd_hpc.structures.periodic import with_tilt

Advance = Callable[[int], None]
_FATE = (
    "source",
    "round",
    "version",
    "index",
    "seed",
    "status",
    "reason",
    "num_atoms",
    "closest_pair_a",
)
"""Fields that identify a candidate without a relaxed structure."""
_KEYS = ("run", *_FATE, "n_index", "gb_energy_j_m2")


@dataclass(frozen=True)
class Merged:
    """Counts of candidates that a merge has read and kept."""

    num_read: int
    num_kept: int
    read: dict[str, int]
    """Candidates read, by the run's name in the merged file."""
    kept: dict[str, int]
    """Candidates kept, by the run's name in the merged file."""

    @property
    def num_dropped(self) -> int:
        """Number of duplicates."""
        return self.num_read - self.num_kept

    def record(self) -> dict[str, Any]:
        """The counts as plain data for JSON."""
        return {
            "read": self.num_read,
            "dropped": self.num_dropped,
            "kept": self.num_kept,
            "runs": self.by_run(),
        }

    def by_run(self) -> list[dict[str, Any]]:
        """One record of counts per run."""
        return [
            {"run": run, "read": num, "dropped": num - self.kept[run], "kept": self.kept[run]}
            for run, num in self.read.items()
        ]


@dataclass
class _Rows:
    """Rows of all files in their order: the fields needed to find duplicates."""

    columns: Columns
    runs: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    """Names of the runs in the merged file, (M,)."""
    is_kept: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))

    def __len__(self) -> int:
        return len(self.columns["run"])


def merge(paths: Sequence[Path], out: Path, advance: Advance = lambda num_bytes: None) -> Merged:
    """Merge the candidates of runs of one boundary and one potential into one file.

    Of duplicate relaxed structures the one of lowest energy is kept; of identical failed or refused
    candidates the first. A merged id is the run's name, a dot and the id in that run. The same runs
    in the same order give the same candidates in the same order.

    Args:
        paths: run directories or files of candidates, merged files included.
        advance: called with the bytes processed since the last call; they sum up to twice the size
            of all files.

    Raises:
        StoreError: if boundary or potential differ, naming the key, or if a file is damaged or has
            no candidates.
        RunDirectoryError: if ``out`` cannot be written.
    """
    sources = sources_of(paths)
    parts = [path for source in sources for path in source.parts]
    if out.exists() and any(os.path.samefile(out, path) for path in parts):
        raise StoreError(
            f"{out}: cannot write to a file that is being merged; choose another output file"
        )
    rows = _rows_of(sources)
    rows.is_kept = _is_first(rows)
    _drop_doubles(rows, sources, advance)
    read, kept = Counter(rows.runs.tolist()), Counter(rows.runs[rows.is_kept].tolist())
    with output(out) as temporary:
        # HDF5 crashes on a full disk, so the space is reserved first.
        reserve(temporary, sum(path.stat().st_size for path in parts))
        with h5py.File(temporary, "w", locking=False, libver=FORMAT) as file:
            _write(file, rows, sources, advance)
            _describe(file, sources, read, kept)
    return Merged(
        len(rows), int(rows.is_kept.sum()), dict(read), {name: kept[name] for name in read}
    )


def _rows_of(sources: Sequence[Source]) -> _Rows:
    pieces = [(source, _once_each(read_columns(source.parts, _KEYS))) for source in sources]
    rows = _Rows({name: np.concatenate([columns[name] for _, columns in pieces]) for name in _KEYS})
    names = [source.name_of(run) for source, columns in pieces for run in columns["run"].tolist()]
    rows.runs = np.array(names, dtype=object)
    return rows


def _once_each(columns: Columns) -> Columns:
    """Columns with equal texts interned, as a million rows share few distinct texts."""
    texts = {name: values for name, values in columns.items() if values.dtype == object}
    return columns | {
        name: np.array([sys.intern(text) for text in values], dtype=object)
        for name, values in texts.items()
    }


def _is_first(rows: _Rows) -> np.ndarray:
    """Mask (M,) that is False for repetitions of a candidate without a relaxed structure."""
    is_first = np.ones(len(rows), dtype=bool)
    known: set[tuple[Any, ...]] = set()
    for row in np.flatnonzero(rows.columns["status"] != "ok").tolist():
        key = tuple(str(rows.columns[name][row]) for name in _FATE)  # as text: NaN equals no NaN
        is_first[row] = key not in known
        known.add(key)
    return is_first


def _drop_doubles(rows: _Rows, sources: Sequence[Source], advance: Advance) -> None:
    """Mark duplicate relaxed structures as dropped; the lowest in energy, then the first, stays."""
    energies = rows.columns["gb_energy_j_m2"]
    indices = rows.columns["n_index"]
    relaxed = np.flatnonzero(rows.columns["status"] == "ok")
    # Sort by [n], then energy, then row: possible duplicates become neighbours.
    order = relaxed[np.lexsort([relaxed, energies[relaxed], indices[relaxed]])]
    near = (np.diff(energies[order]) < SAME_ENERGY_J_M2) & (np.diff(indices[order]) == 0)
    has_neighbour = np.zeros(len(rows), dtype=bool)
    has_neighbour[order[:-1][near]] = has_neighbour[order[1:][near]] = True
    # Fingerprints only of rows with a neighbour close in energy; row -> its line in marks.
    marks = _marks(sources, has_neighbour, advance)
    places = np.cumsum(has_neighbour) - 1
    # Compare each row with the kept rows of its [n] at most SAME_ENERGY_J_M2 below it.
    window: list[int] = []
    for row in order[has_neighbour[order]].tolist():
        window = [
            kept
            for kept in window
            if indices[kept] == indices[row] and energies[row] - energies[kept] < SAME_ENERGY_J_M2
        ]
        if window and _nearest(marks[places[row]], marks[places[window]]) <= SAME_FINGERPRINT:
            rows.is_kept[row] = False
        else:
            window.append(row)


def _nearest(mark: Fingerprint, others: np.ndarray) -> float:
    """Smallest distance of a fingerprint (64,) to others (M, 64), relative to their mean norm."""
    mark, others = mark.astype(float), others.astype(float)
    sizes = 0.5 * (np.linalg.norm(mark) + np.linalg.norm(others, axis=1))
    return float(np.min(np.linalg.norm(others - mark, axis=1) / np.where(sizes > 0, sizes, 1.0)))


def _marks(sources: Sequence[Source], wanted: np.ndarray, advance: Advance) -> np.ndarray:
    """Fingerprints of the M rows in the mask ``wanted``, (M, 64 k^2) in single precision, for k
    elements.
    """
    num_elements = len(sources[0].boundary.symbols)
    marks = np.empty((int(wanted.sum()), 64 * num_elements**2), dtype=np.float32)
    place = 0
    for source, first, columns in _blocks(sources, advance):
        starts = np.cumsum(columns["num_atoms"]) - columns["num_atoms"]
        for row in np.flatnonzero(wanted[first : first + len(starts)]).tolist():
            atoms = slice(int(starts[row]), int(starts[row] + columns["num_atoms"][row]))
            marks[place] = slab_fingerprint(
                columns["positions"][atoms],
                with_tilt(columns["cell"][row], columns["tilt_a"][row]),
                excess_energies(
                    {name: columns[name][row] for name in ("cohesive_ev", "element_energies_ev")}
                    | {name: columns[name][atoms] for name in ("energies_ev", "numbers")}
                ),
                0.0,
                source.nearest_neighbor(float(columns["cell"][row][0])),
                source.outer_layers(float(columns["surface_depth_a"][row])),
                kinds_of(columns["numbers"][atoms], source.boundary.symbols),
                num_elements,
            )
            place += 1
    assert place == len(marks)
    return marks


def _write(file: h5py.File, rows: _Rows, sources: Sequence[Source], advance: Advance) -> None:
    """Write the kept rows in the order of the files."""
    writer = ColumnWriter(
        file, int(rows.is_kept.sum()), int(rows.columns["num_atoms"][rows.is_kept].sum())
    )
    for source, first, columns in _blocks(sources, advance):
        these = slice(first, first + len(columns["id"]))
        kept = rows.is_kept[these]
        if kept.any():
            in_atoms = np.repeat(kept, columns["num_atoms"])
            chosen = {
                one.name: columns[one.name][in_atoms if one.per_atom else kept] for one in FIELDS
            }
            chosen["run"] = rows.runs[these][kept]
            chosen["id"] = text_array(name.encode() for name in _ids(chosen))
            chosen["parents"] = text_array(name.encode() for name in _parents(chosen))
            writer.append(source.completed(chosen))
    writer.finish()


def _ids(columns: Columns) -> Iterator[str]:
    made_of = (columns[name].tolist() for name in ("run", "source", "round", "index"))
    return (
        f"{run}.{candidate_id(source, made_in, index)}"
        for run, source, made_in, index in zip(*made_of, strict=True)
    )


def _parents(columns: Columns) -> Iterator[str]:
    """Ids of the parents in the merged file, where a merged file is merged again included."""
    for run, parents in zip(columns["run"].tolist(), columns["parents"].tolist(), strict=True):
        yield " ".join(f"{run}.{parent.rpartition('.')[2]}" for parent in parents.split())


def _blocks(sources: Sequence[Source], advance: Advance) -> Iterator[tuple[Source, int, Columns]]:
    """Blocks of all files: the source, the number of the block's first row, and the columns.

    Raises:
        StoreError: naming a damaged file, after its last block.
    """
    row = 0
    for source in sources:
        for path in source.parts:
            for columns in _pieces(path):
                yield source, row, columns
                row += len(columns["id"])
            advance(path.stat().st_size)


def _pieces(path: Path) -> Iterator[Columns]:
    with reading(path) as file:
        blocks = Blocks(file)
        for columns in blocks:
            _check_values(path, columns)
            yield columns
        if damaged := blocks.damaged():
            raise ValueError(f"checksum of {damaged[0]} does not fit")


def _check_values(path: Path, columns: Columns) -> None:
    """Refuse values that the schema does not allow, even if the checksums fit.

    Raises:
        StoreError: naming the file and the field or row.
    """
    for one in FIELDS:
        if one.labels and (wrong := set(columns[one.name].tolist()) - set(one.labels)):
            raise StoreError(
                f"{path}: cannot be merged, because {min(wrong)[:60]!r} is no {one.name}; known are"
                f" {', '.join(filter(None, one.labels))}; see gcd-hpc verify"
            )
    if len(wrong_rows := without_structure(columns)):
        raise StoreError(
            f"{path}: cannot be merged, because {columns['id'][wrong_rows[0]]} has no atoms with"
            " finite positions and energies in a box; gcd-hpc verify lists all faults"
        )


def _describe(
    file: h5py.File, sources: Sequence[Source], read: Counter[str], kept: Counter[str]
) -> None:
    """Write the origin of the candidates as attributes of the file and of ``runs/NAME``."""
    names = ", ".join(read)
    write_attributes(
        file,
        {"title": f"Candidates merged from {names}", "config": sources[0].config}
        | package_provenance(),
    )
    for source in sources:
        for name, attributes in source.origins():
            group = file.create_group(f"runs/{name}")
            group.attrs.update(attributes)
            group.attrs["num_read"], group.attrs["num_kept"] = read[name], kept[name]
            seal(group)
