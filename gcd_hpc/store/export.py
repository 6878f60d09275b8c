"""Candidates for other programs: structures with their energies, or a table."""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, get_args

import ase.io
import numpy as np
import yaml
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from gcd_hpc.errors import StoreError
from gcd_hpc.store.files import replacing
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.schema import ROW_FIELDS, Candidate, Field
from gcd_hpc.structures.files import FileFormat, write_structures

Format = Literal["extxyz", "lammps-data", "poscar", "csv"]


def export(store: RunStore, form: str, out: str | Path, ids: Collection[str] | None = None) -> int:
    """Write the candidates of a run for other programs and return how many.

    ``extxyz`` (all structures one after the other) and ``csv`` (one row a candidate, failed ones too) make one file.
    ``lammps-data`` and ``poscar`` hold one structure a file: a single structure goes to the file ``out``, several go to
    ``out/ID.data`` or ``out/ID.poscar``. Structures are the relaxed ones of candidates whose status is ok.

    Args:
        ids: only these candidates; all when not given.

    Raises:
        StoreError: if the format or an id is unknown, or if there is nothing to export.
        RunDirectoryError: if ``out`` cannot be written.
    """
    if form not in get_args(Format):
        raise StoreError(f"format: expected one of {', '.join(get_args(Format))}, got {form}")
    chosen = _chosen(store, ids, structures=form != "csv")
    if form == "csv":
        _write_csv(store, Path(out), chosen)
    elif form == "extxyz":
        element = _element(store)
        with replacing(Path(out)) as temporary, temporary.open("w") as file:
            for candidate in _read(store, chosen):
                ase.io.write(file, to_atoms(candidate, element), format="extxyz")
    else:
        _write_each(store, Path(out), chosen, "lammps-data" if form == "lammps-data" else "poscar")
    return len(chosen)


def to_atoms(candidate: Candidate, element: str) -> Atoms:
    """The relaxed structure: energies as ASE's own results, every known field of the schema in ``info``."""
    atoms = Atoms(f"{element}{candidate.num_atoms}", candidate.positions, cell=candidate.cell, pbc=(True, True, False))
    known = {field.name: getattr(candidate, field.name) for field in ROW_FIELDS if field.name not in ("cell", "num_atoms")}
    atoms.info = {name: value for name, value in known.items() if _is_known(value)}
    energies = np.asarray(candidate.energies_ev)
    atoms.calc = SinglePointCalculator(atoms, energy=float(energies.sum()), energies=energies)
    return atoms


def _is_known(value: object) -> bool:
    if isinstance(value, str):
        return value != ""
    return bool(np.isfinite(np.asarray(value, dtype=float)).all())


def _chosen(store: RunStore, ids: Collection[str] | None, structures: bool) -> frozenset[str]:
    """Ids to export."""
    columns = store.columns(["id", "status"])
    every = dict(zip(columns["id"].tolist(), columns["status"].tolist(), strict=True))
    for name in ids or ():
        if name not in every:
            raise StoreError(f"{store.path}: expected the id of a candidate of this run, got {name}")
    wanted = every if ids is None else ids
    chosen = frozenset(name for name in wanted if not structures or every[name] == "ok")
    if not chosen:
        raise StoreError(f"{store.path}: expected at least one {'relaxed structure' if structures else 'candidate'} to export, got none")
    return chosen


def _read(store: RunStore, chosen: Collection[str]) -> Iterator[Candidate]:
    """Part after part, so that a large run need not fit into memory."""
    for path in store.part_paths():
        yield from (candidate for candidate in read_part(path) if candidate.id in chosen)


def _write_each(store: RunStore, out: Path, chosen: Collection[str], form: FileFormat) -> None:
    suffix = "data" if form == "lammps-data" else "poscar"
    single, element = len(chosen) == 1 and not out.is_dir(), _element(store)
    for candidate in _read(store, chosen):
        with replacing(out if single else out / f"{candidate.id}.{suffix}") as temporary:
            write_structures(temporary, [to_atoms(candidate, element)], form)


def _write_csv(store: RunStore, out: Path, chosen: Collection[str]) -> None:
    columns = store.columns([field.name for field in ROW_FIELDS])
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name for field in ROW_FIELDS for name in _headings(field)])
        for row, name in enumerate(columns["id"].tolist()):
            if name in chosen:
                writer.writerow([cell for field in ROW_FIELDS for cell in _cells(columns[field.name][row])])


def _headings(field: Field) -> list[str]:
    return [f"{field.name}_{axis}" for axis in "xyz"] if field.shape else [field.name]


def _cells(value: np.ndarray | np.generic) -> list[object]:
    """Empty where a number is not known."""
    return ["" if number != number else number for number in np.ravel(value).tolist()]


def _element(store: RunStore) -> str:
    config = store.provenance().get("config", "")
    try:
        return str(yaml.safe_load(config)["boundary"]["element"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise StoreError(f"{store.part_paths()[0]}: expected the campaign's boundary.element in the attribute config, got none") from error
