"""Check that all structures of a run were relaxed with the potential that the run keeps."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.config.loader import load_campaign, load_material
from gcd_hpc.engines.bulk import BulkRecord, read_prepared
from gcd_hpc.engines.potentials import copied_potential
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.findings import Report
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.kind import is_of_material
from gcd_hpc.store.parts import read_columns
from gcd_hpc.store.run_directory import RunDirectory

CHECK = "potential"
SAME_EV = 1e-9
"""Tolerance of the cohesive energy, eV: differences between two machines are smaller."""


@dataclass(frozen=True)
class Reference:
    """Reference of the excess energies: the potential and its cohesive energy."""

    potential_sha256: str
    cohesive_ev: float | None
    """Energy per atom of the bulk crystal, eV; None in files of old versions."""

    def __str__(self) -> str:
        return f"potential {self.potential_sha256} and {self.cohesive_ev} eV an atom"

    def is_as(self, other: "Reference") -> bool:
        """Whether potential and cohesive energy agree; an unknown energy agrees with any."""
        if self.cohesive_ev is None or other.cohesive_ev is None:
            return self.potential_sha256 == other.potential_sha256
        return self.potential_sha256 == other.potential_sha256 and math.isclose(
            self.cohesive_ev, other.cohesive_ev, rel_tol=0.0, abs_tol=SAME_EV
        )


def references(parts: Sequence[Path]) -> list[Reference]:
    """Distinct references of the structures in some part files, by first occurrence.

    Files that cannot be read are left out.
    """
    found: dict[tuple[str, float | None], None] = {}
    for part in parts:
        with suppress(StoreError):  # reported where the file itself is checked
            columns = read_columns([part], ["potential_sha256", "cohesive_ev"])
            # Two NaN would count as distinct; None equals None.
            energies = [
                value if math.isfinite(value) else None for value in columns["cohesive_ev"].tolist()
            ]
            rows = zip(columns["potential_sha256"].tolist(), energies, strict=True)
            found |= dict.fromkeys(rows)
    return [Reference(*row) for row in found if row[0]]


def verify_potential(run_dir: Path, report: Report) -> None:
    """Compare the reference of every structure with the potential and bulk crystal of the run."""
    expected = _kept(run_dir, report)
    for part in RunStore(run_dir).part_paths():
        report.looked_at(CHECK)
        for got in references([part]):
            expected = expected or got
            if not got.is_as(expected):
                report.found(CHECK, expected, got, file=part)


def _kept(run_dir: Path, report: Report) -> Reference | None:
    """Reference from the run directory's own files; None if they are missing or damaged."""
    run = RunDirectory(run_dir)
    report.looked_at(CHECK)
    try:
        if is_of_material(run_dir):
            if not run.potential.is_dir():
                report.skipped(CHECK, f"{run.potential}: the potential is not kept here, or gone")
                return None
            material = load_material(run.config)
            copy = copied_potential(material.potential, material.material.element, run.potential)
            return Reference(copy.sha256, None)  # energies of a material have no reference
        if BulkRecord.read(run.bulk) is None:
            report.skipped(CHECK, f"{run.bulk}: made by a version that kept no checksum, or gone")
            return None
        config = load_campaign(run.config)
        potential, bulk = read_prepared(config, run.potential, run.bulk)
    except GcdError as error:
        report.found(CHECK, "what gcd-hpc left there", error, file=run_dir)
        return None
    return Reference(potential.sha256, bulk.cohesive_ev)
