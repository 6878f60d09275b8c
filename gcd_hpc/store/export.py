"""Export of candidates to other programs: structures with their energies, or a CSV table."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from ase import Atoms

from gcd_hpc.engines.surfaces import need_of_energies
from gcd_hpc.errors import StoreError
from gcd_hpc.files import cannot_write, output, output_folder
from gcd_hpc.store.crystal import boundary_of, crystal_of
from gcd_hpc.store.element_fractions import element_names, element_of
from gcd_hpc.store.field import csv_cell
from gcd_hpc.store.hdf5 import checked_name
from gcd_hpc.store.material_rows import MATERIAL_FIELDS, kind_fields
from gcd_hpc.store.run import Run, scalar_columns
from gcd_hpc.store.vasp import with_held_layers, write_vasp_inputs, write_vasp_references
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.files import FileFormat, write_structures

Format = Literal["extxyz", "lammps-data", "lammps-dump", "poscar", "cif", "csv", "ase-db", "vasp"]
SUFFIXES: dict[FileFormat, str] = {
    "lammps-data": "data",
    "lammps-dump": "dump",
    "poscar": "poscar",
    "cif": "cif",
}
"""File suffixes of the formats that hold one structure per file."""
_TABLE_SUFFIXES = {"extxyz": ".extxyz", "ase-db": ".db"}
"""Suffixes of the formats that hold all structures of a run in one file."""
_BATCH = 50_000
"""Rows of a CSV table that are held in memory at once."""
_KEYS = (
    "source",
    "version",
    "round",
    "status",
    "preset",
    "converged",
    "n_fraction",
    "gb_energy_j_m2",
    "excess_volume_a",
    *MATERIAL_FIELDS,
    "title",
)
"""Fields that become key-value pairs of an ASE database, by which its rows are selected."""


def export(run: Run, form: str, out: str | Path, a0: float | None = None) -> int:
    """Write the candidates of a run in the format of another program; return their number.

    ``extxyz`` and ``ase-db`` hold all structures in one file, ``csv`` one row per candidate,
    failed ones included; all three state the [n] of each element of a compound, such as ``n_Ni``.
    ``lammps-data``, ``lammps-dump``, ``poscar`` and ``cif`` hold one structure per file: a single
    structure goes to the file ``out``, several go to ``out/ID.data``, ``.dump``, ``.poscar`` or
    ``.cif``. Structures are the relaxed ones of candidates with status
    ok, in the order of the run. Lengths are in Å, energies in eV: of the box and of each atom in
    extxyz and ase-db, of each atom in lammps-dump, none in the others. LAMMPS types count the
    elements in the campaign's order; poscar lists atoms element by element. poscar, cif and
    lammps-data cannot express that the box is open along z. poscar and vasp hold the outer layers
    by selective dynamics. Every file says in its title, comment or fields which candidate it holds,
    its E_gb and [n], or of a material its spectrum error, energy per atom, density and whether it
    was guided, and the potential with its hash. Structures of a material are periodic in all
    directions and nothing of them is held. ``vasp`` writes POSCAR, INCAR and
    KPOINTS of each structure to a folder ``out/ID``, and of the crystal and a slab of each grain to
    ``out/bulk``, ``out/lower`` and ``out/upper`` (not of strained grains and several elements); it
    is not for materials.

    Args:
        a0: lattice constant to which structures for vasp are scaled, Å; the run's own if None.

    Raises:
        StoreError: if the format is unknown, if there is nothing to export, or if structures cannot
            be scaled to ``a0``.
        RunDirectoryError: if ``out`` cannot be written.
    """
    if form not in get_args(Format):
        raise StoreError(f"the format must be one of {', '.join(get_args(Format))}, got {form}")
    if a0 is not None and form != "vasp":
        raise StoreError(f"--a0 scales structures for vasp only, not for {form}; leave it out")
    chosen = run if form == "csv" else run.select("status=ok")
    if not len(chosen):
        among = f" with {run.selection}" if run.selection else ""
        raise StoreError(f"{run.path}: nothing to export: there is no {_what(form)}{among}")
    if form == "vasp" and run.is_material:
        raise StoreError(
            f"{run.path}: vasp writes inputs for slabs, and these are structures of a material,"
            " periodic in all directions; export poscar"
        )
    if form == "csv":
        _write_csv(Path(out), {"": chosen})
        return len(chosen)
    assert run.element  # or an error that names the run
    structures = (candidate.to_atoms() for candidate in chosen)
    if form in ("poscar", "vasp") and not run.is_material:
        config = run.provenance.get("config", "")
        structures = (with_held_layers(candidate, config) for candidate in chosen)
    if form == "extxyz":
        from ase.io import write  # late, as in files.py

        with output(Path(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
            for atoms in structures:
                write(file, atoms, format="extxyz")
    elif form == "ase-db":
        _write_database(Path(out), structures)
    elif form == "vasp":
        _write_vasp(Path(out), chosen, structures, a0)
    else:
        _write_each(Path(out), structures, chosen, cast(FileFormat, form))
    return len(chosen)


def export_set(
    members: Mapping[str, Run], form: str, out: str | Path, a0: float | None = None
) -> int:
    """Write the candidates of a set of boundaries; return their number.

    ``csv`` is one file whose first column is the name of the boundary. Of the other formats, the
    structures of each boundary go to ``out/NAME`` as those of a run: a file with the suffix of the
    format, or a folder where there is one structure a file. Boundaries without any are left out.

    Raises:
        StoreError: as ``export``; there is nothing to export if no boundary has any.
        RunDirectoryError: if ``out`` cannot be written.
    """
    out, num = Path(out), 0
    if form == "csv":
        chosen = {name: run for name, run in members.items() if len(run)}
    else:
        found = {name: run.select("status=ok") for name, run in members.items()}
        chosen = {name: run for name, run in found.items() if len(run)}
    if not chosen:
        raise StoreError(f"nothing to export: none of the boundaries has {_what(form)}s to write")
    if form == "csv":
        _write_csv(out, chosen)
        return sum(map(len, chosen.values()))
    for name, run in chosen.items():
        place = out / f"{name}{_TABLE_SUFFIXES.get(form, '')}"
        if form not in _TABLE_SUFFIXES:
            # A single structure has a folder too, for its boundary may have more the next time.
            with output_folder(place):
                pass
        num += export(run, form, place, a0)
    return num


def _what(form: str) -> str:
    return "candidate" if form == "csv" else "relaxed structure"


def _write_each(out: Path, structures: Iterator[Atoms], run: Run, form: FileFormat) -> None:
    if len(run) == 1 and not out.is_dir():
        with output(out) as temporary:
            write_structures(temporary, list(structures), form, run.elements)
        return
    with output_folder(out) as folder:
        for atoms in structures:
            name = checked_name(atoms.info["id"], "the id of a candidate")
            write_structures(folder / f"{name}.{SUFFIXES[form]}", [atoms], form, run.elements)


def _write_vasp(out: Path, run: Run, structures: Iterator[Atoms], a0: float | None) -> None:
    scale, crystal = _scaled_crystal(run, a0)
    with output_folder(out) as folder:
        if crystal is not None and not need_of_energies(crystal):
            write_vasp_references(folder, crystal)
        for atoms in structures:
            own = folder / checked_name(atoms.info["id"], "the id of a candidate")
            own.mkdir()
            write_vasp_inputs(own, atoms, scale)


def _scaled_crystal(run: Run, a0: float | None) -> tuple[float, Bicrystal | None]:
    """Factor of all lengths, and the bicrystal so scaled; None if the file names no boundary."""
    first, boundary = run[0], boundary_of(run.provenance.get("config"))
    length = float(first.cell[0])
    crystal = None if boundary is None else crystal_of(boundary, length, first.axial_ratio)
    if a0 is None:
        return 1.0, crystal
    if a0 <= 0:
        raise StoreError(f"--a0 {a0:g}: must be above 0 Å; give the lattice constant of VASP")
    if boundary is None or crystal is None or boundary.slabs is not None:
        raise StoreError(
            f"{run.path}: structures cannot be scaled to --a0 {a0:g}, because the lattice constant"
            " of their crystal is not known; leave it out"
        )
    scale = a0 / crystal.a0
    return scale, crystal_of(boundary, scale * length, first.axial_ratio)


def _write_database(out: Path, structures: Iterator[Atoms]) -> None:
    """Write ASE's SQLite database; the key ``candidate`` is our id, as ASE's ``id`` is a number.

    Each row's ``data`` holds all known fields.
    """
    import sqlite3  # it and ase.db take half a second to import

    from ase.db import connect

    try:
        with (
            output(out) as temporary,
            connect(
                temporary, type="db", append=False, serial=True, use_lock_file=False
            ) as database,
        ):
            for atoms in structures:
                names = [name for name in atoms.info if name in _KEYS or element_of(name)]
                keys = {name: atoms.info[name] for name in names}
                # ASE stores the energy of the box as a result, but not the energies of the atoms.
                data = {**atoms.info, "energies_ev": atoms.get_potential_energies()}
                database.write(
                    atoms, key_value_pairs={"candidate": atoms.info["id"], **keys}, data=data
                )
    except sqlite3.Error as error:
        raise cannot_write(out, error) from error


def _write_csv(out: Path, runs: Mapping[str, Run]) -> None:
    """Write all rows of runs by the name of their boundary, which is no column if it is empty."""
    is_material = any(run.is_material for run in runs.values())
    names = [field.name for field in kind_fields(is_material)]
    further = {name: element_names(run.provenance.get("config")) for name, run in runs.items()}
    every = list(dict.fromkeys(one for several in further.values() for one in several))
    has_heading = False
    with output(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for name, run in runs.items():
            for first in range(0, len(run), _BATCH):
                part = run[first : first + _BATCH]
                boundary = {"boundary": np.full(len(part), name, dtype=object)} if name else {}
                columns = boundary | scalar_columns(part.columns([*names, *further[name]]))
                columns |= {one: columns.get(one, np.full(len(part), np.nan)) for one in every}
                if not has_heading:
                    writer.writerow(columns)
                    has_heading = True
                cells = ([csv_cell(cell) for cell in one.tolist()] for one in columns.values())
                writer.writerows(zip(*cells, strict=True))
