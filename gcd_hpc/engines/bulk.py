"""Reference crystal of boundary energies: lattice constant, cohesive energy and cutoff."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, reference_states

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.chemistry import measure_chemistry
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.constants import hcp_constants, relaxed_a0
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.jobs import Evaluation
from gcd_hpc.engines.resolve import kept_engine
from gcd_hpc.engines.smooth import measured_reach
from gcd_hpc.errors import PotentialError, RunDirectoryError, SimulationError
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.structures.composition import Chemistry
from gcd_hpc.structures.lattices import (
    conventional_cell,
    typical_a0,
)

REPLICAS = 3
PURE = ("fcc", "bcc", "sc", "diamond")
"""Crystals of a pure element that are tried for its chemical potential."""
TIMEOUT_S = 60.0
ALL_ENERGY = 1e-8
"""Tolerance of the sum of all energies of atoms, eV an atom; rounding is below 1e-10."""


@dataclass(frozen=True)
class Bulk:
    """One crystal under one potential: a0 in Å, cohesive_ev in eV per atom, cutoff in Å.

    c0: lattice constant of hcp along its axis, Å; None in cubic crystals.
    num_cutoffs: cutoffs up to which an atom may change the energy of another; 1 in files of
    versions that did not know it.
    chemistry: reference energies of the elements; None if there is one element.
    """

    a0: float
    cohesive_ev: float
    cutoff: float
    c0: float | None = None
    num_cutoffs: int = 1
    chemistry: Chemistry | None = field(default=None, repr=False)

    @property
    def reach(self) -> float:
        """Distance up to which a free surface or a defect may change the energy of an atom, Å."""
        return self.num_cutoffs * self.cutoff


@dataclass(frozen=True)
class BulkRecord:
    """A bulk measurement and its inputs."""

    potential_sha256: str
    element: str
    """Chemical symbols, separated by blanks."""
    lattice: str
    given_a0: float | None
    """None if the lattice constant was measured as well."""
    bulk: Bulk
    given_c0: float | None = None
    given_mu: dict[str, float] | None = None
    """Chemical potentials that the campaign gives, eV."""

    def write(self, path: Path) -> None:
        """Write the record as JSON with a checksum; what only alloys have is left out otherwise."""
        content = asdict(self)
        if self.bulk.chemistry is None:
            del content["given_mu"], content["bulk"]["chemistry"]
        write_checked_json(path, content)

    @classmethod
    def read(cls, path: Path) -> "BulkRecord | None":
        """Read a record; None if there is none, or if an old version wrote it without a checksum.

        Raises:
            RunDirectoryError: if the file was edited or is damaged.
        """
        try:
            data = json.loads(path.read_text())
            if "sha256" not in data and all(isinstance(one, dict) for one in data.values()):
                return None
            if content := checked_content(data):
                return cls(**content | {"bulk": _bulk(content["bulk"])})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            pass
        raise RunDirectoryError(
            f"{path}: the measured bulk crystal cannot be read, because the file was edited or"
            " damaged; remove it and the same command measures the crystal again"
        )


def measure_bulk(
    potential: Engine,
    elements: str | Sequence[str],
    lattice: str,
    a0: float | None = None,
    cache: Path | None = None,
    c0: float | None = None,
    mu: Mapping[str, float] | None = None,
) -> Bulk:
    """Relax the perfect crystal to zero pressure, and hcp to its lowest c/a as well.

    Args:
        elements: of the crystal, then of solutes.
        mu: chemical potentials that are given, eV by element; as ``BoundaryConfig.mu``.
        a0: lattice constant in Å; measured if None, otherwise kept, and only the energy is
            measured.
        c0: lattice constant of hcp along its axis, as a0; with a0 alone, c0 is measured.
        cache: file that stores the result for one potential and crystal; replaced for another one.

    Raises:
        PotentialError: if LAMMPS refuses the potential, or the crystal is not stable under it.
        RunDirectoryError: if the cache was edited or is damaged.
    """
    symbols = (elements,) if isinstance(elements, str) else tuple(elements)
    if len(symbols) > 1 and not potential.has_energies:
        raise PotentialError(
            f"boundary.elements: several cannot be used with {potential}, which gives no energies"
            " of single atoms; use another engine"
        )
    name, given = " ".join(symbols), dict(mu) if mu else None
    known = None if cache is None else BulkRecord.read(cache)
    if known is not None:
        wanted = BulkRecord(potential.sha256, name, lattice, a0, known.bulk, c0, given)
        if known == wanted:
            return known.bulk
    with Child(potential, TIMEOUT_S) as child:
        try:
            bulk = _measure(child, symbols, lattice, a0, c0)
            if len(symbols) > 1:
                chemistry = measure_chemistry(
                    *(child, symbols, lattice, bulk.a0, bulk.cutoff),
                    mu or {},
                    partial(pure_ev, child),
                )
                bulk = replace(bulk, chemistry=chemistry)
        except SimulationError as error:
            raise PotentialError(f"{potential}: {error}") from error
    if cache is not None:
        BulkRecord(potential.sha256, name, lattice, a0, bulk, c0, given).write(cache)
    return bulk


def read_prepared(
    config: CampaignConfig, potential_folder: Path, bulk_file: Path
) -> tuple[Engine, Bulk]:
    """Potential and bulk crystal of a run directory, checked to belong together.

    Raises:
        PotentialError: if a copy of the potential is missing, edited or damaged.
        RunDirectoryError: if the file of the bulk crystal was edited or is damaged.
    """
    cure = "run the campaign's command again"
    record = BulkRecord.read(bulk_file)
    if record is None:
        raise PotentialError(
            f"{bulk_file}: there is no measured bulk crystal with a checksum; {cure}, in a new run"
            " directory if an earlier version of gcd-hpc made this one"
        )
    potential = kept_engine(config, potential_folder)
    if record.potential_sha256 != potential.sha256:
        raise PotentialError(
            f"{potential_folder}: the potential has the hash {potential.sha256}, but"
            f" {bulk_file.name} was measured with {record.potential_sha256}: a file was edited or"
            f" damaged; remove the folder and {cure}"
        )
    return potential, record.bulk


def _bulk(content: dict[str, Any]) -> Bulk:
    """A bulk crystal from JSON, which has lists for tuples."""
    chemistry = content.get("chemistry")
    if chemistry is None:
        return Bulk(**content)
    own = Chemistry(**{name: tuple(values) for name, values in chemistry.items()})
    return Bulk(**content | {"chemistry": own})


def pure_ev(child: Child, element: str) -> float:
    """Energy per atom of the most stable crystal of one element, eV.

    Raises:
        PotentialError: if none is stable.
    """
    found = []
    reference = reference_states[atomic_numbers[element]] or {}
    tables = ("hcp",) if reference.get("symmetry") == "hcp" else ()
    for lattice in (*PURE, *tables):
        with suppress(PotentialError):
            *_, final = _relaxed(child, (element,), lattice, None, None)
            found.append(float(final.energies.mean()))
    if not found:
        raise PotentialError(f"{element} has no stable crystal of {', '.join(PURE)}")
    return min(found)


def _measure(
    child: Child, elements: Sequence[str], lattice: str, a0: float | None, c0: float | None
) -> Bulk:
    a0, c0, final = _relaxed(child, elements, lattice, a0, c0)
    cohesive_ev = float(final.energies.mean())
    if not child.potential.states_cutoff:
        cell = conventional_cell(lattice, elements, a0, c0 / a0 if c0 else None)
        return Bulk(a0, cohesive_ev, measured_reach(child, cell), c0)
    if final.cutoff is None:
        raise PotentialError(
            f"{child.potential.program} does not state the cutoff of {child.potential}, which E_gb"
            " needs"
        )
    return Bulk(a0, cohesive_ev, final.cutoff, c0, child.potential.num_cutoffs)


def _relaxed(
    child: Child, elements: Sequence[str], lattice: str, a0: float | None, c0: float | None
) -> tuple[float, float | None, Evaluation]:
    """Lattice constants, as far as they are not given, and the crystal at them."""
    # LAMMPS takes a cell with room for its cutoff; calculators count images themselves.
    replicas = REPLICAS if child.potential.states_cutoff else 1

    def crystal(a: float, ratio: float | None = None) -> Evaluation:
        atoms = conventional_cell(lattice, elements, a, ratio).repeat(replicas)
        return child.evaluate(
            atoms.positions,
            np.array([np.zeros(3), atoms.cell.lengths()]),
            periodic_z=True,
            numbers=child.numbers_of_job(atoms.numbers),
        )

    if child.potential.states_cutoff:
        _check_energies(child, lattice, elements, a0)
    if lattice != "hcp":
        a0 = a0 or relaxed_a0(crystal, elements, lattice)
        return a0, c0, crystal(a0)
    a0, c0 = hcp_constants(crystal, elements, a0, c0)
    return a0, c0, crystal(a0, c0 / a0)


def _check_energies(child: Child, lattice: str, elements: Sequence[str], a0: float | None) -> None:
    """Refuse a potential without energies of atoms, in a crystal with one atom off its site.

    Raises:
        PotentialError: if there is no energy, or if those of the atoms are not all of it.
    """
    a0 = a0 or typical_a0(elements, lattice)
    atoms = conventional_cell(lattice, elements, a0).repeat(REPLICAS)
    atoms.positions[0] += 0.03 * a0
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    got = child.evaluate(
        atoms.positions, box, periodic_z=True, numbers=child.numbers_of_job(atoms.numbers)
    )
    if got.forces.any() and not got.energies.any() and got.total_ev == 0:
        raise PotentialError(
            f"{child.potential}: gives forces but no energies, which E_gb needs; use another"
            " potential"
        )
    total = float(got.energies.sum())
    if abs(total - got.total_ev) > ALL_ENERGY * len(atoms):
        raise PotentialError(
            f"{child.potential}: the energies of the atoms are {total:.6f} eV together, but that of"
            f" the crystal is {got.total_ev:.6f} eV, so that E_gb cannot be summed over atoms; use"
            " another potential"
        )
