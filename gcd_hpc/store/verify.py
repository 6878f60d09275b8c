"""Verification of one file of candidates: its layout, its checksums and its physics."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import FileFault
from gcd_hpc.store.blocks import Blocks
from gcd_hpc.store.candidate_file import CandidateFile, reading
from gcd_hpc.store.checksums import ROW_CHECKSUM, Columns
from gcd_hpc.store.field import DTYPES, Field
from gcd_hpc.store.findings import Report
from gcd_hpc.store.hdf5 import START, attributes_of, has_type
from gcd_hpc.store.material_physics import MaterialPhysics
from gcd_hpc.store.material_rows import is_material
from gcd_hpc.store.physics import Physics
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import FIELDS, candidate_id


def verify_file(
    path: Path, report: Report, advance: Callable[[int], None] = lambda num_bytes: None
) -> None:
    """Run all checks of a single file and add the findings to the report.

    Args:
        advance: called with the number of bytes verified since the last call.
    """
    size = path.stat().st_size if path.is_file() else 0
    report.looked_at("structure")
    try:
        with reading(path) as file:
            report.looked_at("units")
            _verify_attributes(path, file.hdf5, report)
            if _verify_structure(path, file.hdf5, report):
                size -= _verify_rows(path, file, report, size, advance)
    except FileFault as fault:
        report.found("structure", fault.expected, fault.got, file=path, field=fault.field)
    advance(size)


def fields_of(version: int) -> list[Field]:
    """Fields that a file of a schema version holds as datasets."""
    return [field for field in (*FIELDS, START, ROW_CHECKSUM) if field.since <= version]


def _verify_attributes(path: Path, file: h5py.File, report: Report) -> None:
    version = int(file.attrs["schema_version"])
    for field in fields_of(version):
        if field.path not in file:
            continue
        attributes = file[field.path].attrs
        expected = attributes_of(field, version)
        # The wording of a meaning may differ between releases.
        expected.pop("meaning", None)
        # A wrong unit misleads under the old name ("unit") as under the new one ("units").
        stray = {name: field.unit for name in ("unit", "units") if name in attributes}
        for name, value in (expected | stray).items():
            got = attributes.get(name)
            got = got.tolist() if isinstance(got, np.ndarray) else got
            if got != value:
                shown = "no such attribute" if got is None else repr(got)
                report.found("units", repr(value), shown, file=path, field=f"{field.path}@{name}")


def _verify_structure(path: Path, file: h5py.File, report: Report) -> bool:
    """Check types and shapes of all datasets; True if the rows can be read."""

    def wrong(expected: object, got: object, name: str) -> None:
        report.found("structure", expected, got, file=path, field=name)

    before = report.outcomes["structure"].num_wrong
    version = int(file.attrs["schema_version"])
    for field in fields_of(version):
        if not isinstance(file.get(field.path), h5py.Dataset):
            wrong("a dataset", "none", field.path)
        elif not has_type(file[field.path], field):
            wrong(
                f"the type {'UTF-8 text' if field.kind == 'text' else DTYPES[field.kind]}",
                file[field.path].dtype,
                field.path,
            )
        elif "crc32" not in file[field.path].attrs:
            wrong("a checksum", "none", f"{field.path}@crc32")
    if report.outcomes["structure"].num_wrong > before:
        return False
    num_rows, num_atoms = len(file["structures/id"]), len(file["atoms/positions"])
    for field in fields_of(version):
        shape = (num_atoms if field.per_atom else num_rows, *field.shape)
        if file[field.path].shape != shape:
            wrong(f"the shape {shape}", file[field.path].shape, field.path)
    if report.outcomes["structure"].num_wrong == before:
        _verify_places(file, num_atoms, wrong)
    plot = file.get("plot/gb_energy")
    if version >= 3 and (
        plot is None
        or any(
            plot.get(name) is None
            for name in (plot.attrs.get("signal"), *plot.attrs.get("axes", ()))
        )
    ):
        wrong("links to a signal and its axes", "none", "plot/gb_energy")
        return report.outcomes["structure"].num_wrong == before + 1
    return report.outcomes["structure"].num_wrong == before


def _verify_places(
    file: h5py.File, num_atoms: int, wrong: Callable[[object, object, str], None]
) -> None:
    counts, starts = file["structures/num_atoms"][...], file[START.path][...]
    if (counts < 0).any() or counts.sum() != num_atoms:
        wrong(
            f"{num_atoms} atoms in all, as in atoms/positions",
            int(counts.sum()),
            "structures/num_atoms",
        )
        return
    places = np.cumsum(counts) - counts
    if (starts != places).any():
        row = int(np.flatnonzero(starts != places)[0])
        wrong(f"row {row} to start at {places[row]}", int(starts[row]), START.path)


def _verify_rows(
    path: Path, file: CandidateFile, report: Report, size: int, advance: Callable[[int], None]
) -> int:
    """Check checksums, ids and physics of all rows; return the bytes passed to ``advance``."""
    blocks = Blocks(file)
    physics: Physics | MaterialPhysics = (
        MaterialPhysics(path, report)
        if is_material(file.hdf5.attrs.get("config"))
        else Physics(path, file.hdf5, report, depth_beside(path))
    )
    num_rows, told = max(1, file.num_rows), 0
    known: set[str] = set()
    report.looked_at("checksums")
    try:
        for columns in blocks:
            _verify_ids(path, columns, known, report)
            physics.verify(columns)
            step = size * len(columns["id"]) // num_rows
            advance(step)
            told += step
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        report.found("checksums", "numbers that can be read", str(error).splitlines()[0], file=path)
        return told
    for name in blocks.damaged():
        report.found(
            "checksums",
            "what was written",
            "something else: the checksum does not fit",
            file=path,
            field=name,
        )
    return told


def _verify_ids(path: Path, columns: Columns, known: set[str], report: Report) -> None:
    report.looked_at("ids", len(columns["id"]))
    made_of = (columns[name].tolist() for name in ("id", "run", "source", "round", "index"))
    for name, run, source, made_in, index in zip(*made_of, strict=True):
        expected = f"{run}." * bool(run) + candidate_id(source, made_in, index)
        if name != expected:
            report.found("ids", expected, name, file=path, row=name, field="id")
        if name in known:
            report.found(
                "ids",
                "an id of its own",
                "that of a candidate before",
                file=path,
                row=name,
                field="id",
            )
        known.add(name)


def depth_beside(path: Path) -> dict[str, float]:
    """Cutoffs of the potentials by their sha256, Å, from bulk.json of the surrounding run.

    Files before version 3 do not hold ``surface_depth_a``, which equals this cutoff. Empty if there
    is no run directory or its bulk.json cannot be read.
    """
    run = RunDirectory.around(path)
    try:
        known = json.loads(run.bulk.read_text()) if run else {}
        if "potential_sha256" in known:
            return {known["potential_sha256"]: float(known["bulk"]["cutoff"])}
        return {key.split()[0]: float(bulk["cutoff"]) for key, bulk in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return {}
