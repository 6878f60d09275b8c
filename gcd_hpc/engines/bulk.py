"""Reference crystal of boundary energies: lattice constant, cohesive energy and cutoff."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from gcd_hpc.config.boundary import HCP_RATIOS
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.box import box_around
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.jobs import Evaluation
from gcd_hpc.engines.resolve import kept_engine
from gcd_hpc.engines.smooth import measured_reach, smooth_minimum
from gcd_hpc.errors import PotentialError, RunDirectoryError, SimulationError
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.structures.bicrystal import BORDER, Bicrystal
from gcd_hpc.structures.lattices import IDEAL_RATIO, conventional_cell, typical_a0

REPLICAS = 3
SCAN = np.arange(0.80, 1.30, 0.02)
"""Lattice constants tried first, relative to the guess."""
TIMEOUT_S = 60.0
MIN_DEPTH = 8.0
"""Least distance of atoms from the surfaces of a slab in which a crystal is measured, Å."""
MIN_MIDDLE = 4.0
"""Least height over which its energy is averaged, Å."""
RATIO_STEP = 1e-3
"""Half the step of c/a over which the slope of the energy is taken."""
NUM_RATIOS = 11
"""Values of c/a at which the slope of the energy is looked at first."""
SAME_RATIO = 1e-7
"""Change of c/a below which it has settled."""
MAX_ROUNDS = 20
NEAR = 1e-4
"""Relative distance from the lowest energy within which the pressure must pass through zero."""
ALL_ENERGY = 1e-8
"""Tolerance of the sum of all energies of atoms, eV an atom; rounding is below 1e-10."""
NO_PRESSURE_BAR = 1.0
"""Largest pressure that counts as zero. Roots of a continuous pressure reach 1e-3 bar."""


@dataclass(frozen=True)
class Bulk:
    """One crystal under one potential: a0 in Å, cohesive_ev in eV per atom, cutoff in Å.

    c0: lattice constant of hcp along its axis, Å; None in cubic crystals.
    num_cutoffs: cutoffs up to which an atom may change the energy of another; 1 in files of
    versions that did not know it.
    """

    a0: float
    cohesive_ev: float
    cutoff: float
    c0: float | None = None
    num_cutoffs: int = 1

    @property
    def reach(self) -> float:
        """Distance up to which a free surface or a defect may change the energy of an atom, Å."""
        return self.num_cutoffs * self.cutoff


@dataclass(frozen=True)
class BulkRecord:
    """A bulk measurement and its inputs."""

    potential_sha256: str
    element: str
    lattice: str
    given_a0: float | None
    """None if the lattice constant was measured as well."""
    bulk: Bulk
    given_c0: float | None = None

    def write(self, path: Path) -> None:
        """Write the record as JSON with a checksum."""
        write_checked_json(path, asdict(self))

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
                return cls(**content | {"bulk": Bulk(**content["bulk"])})
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
    element: str,
    lattice: str,
    a0: float | None = None,
    cache: Path | None = None,
    c0: float | None = None,
) -> Bulk:
    """Relax the perfect crystal to zero pressure, and hcp to its lowest c/a as well.

    Args:
        a0: lattice constant in Å; measured if None, otherwise kept, and only the energy is
            measured.
        c0: lattice constant of hcp along its axis, as a0; with a0 alone, c0 is measured.
        cache: file that stores the result for one potential and crystal; replaced for another one.

    Raises:
        PotentialError: if LAMMPS refuses the potential, or the crystal is not stable under it.
        RunDirectoryError: if the cache was edited or is damaged.
    """
    known = None if cache is None else BulkRecord.read(cache)
    if known is not None:
        wanted = BulkRecord(potential.sha256, element, lattice, a0, known.bulk, c0)
        if known == wanted:
            return known.bulk
    with Child(potential, TIMEOUT_S) as child:
        try:
            bulk = _measure(child, element, lattice, a0, c0)
        except SimulationError as error:
            raise PotentialError(f"{potential}: {error}") from error
    if cache is not None:
        BulkRecord(potential.sha256, element, lattice, a0, bulk, c0).write(cache)
    return bulk


def measure_crystal(potential: Engine, bicrystal: Bicrystal, cache: Path | None = None) -> Bulk:
    """Energy of the crystal that slab files hold, at their lattice constants.

    It is the mean of whole lattice planes in the middle of a slab of the lower grain, out of range
    of its surfaces. a0 is the length of the shortest lattice vector.

    Args:
        cache: as for ``measure_bulk``.

    Raises:
        PotentialError, RunDirectoryError: as ``measure_bulk``.
    """
    if not potential.has_energies:
        raise PotentialError(
            f"boundary.slabs: the crystal of slab files cannot be measured with {potential}, which"
            " gives no energies of single atoms; name the boundary by directions, or use another"
            " engine"
        )
    crystal = bicrystal.lower.crystal
    name = f"{crystal.name} {crystal.primitive} {crystal.basis}"
    element = bicrystal.element
    known = None if cache is None else BulkRecord.read(cache)
    if known is not None:
        wanted = BulkRecord(potential.sha256, element, name, bicrystal.a0, known.bulk)
        if known == wanted:
            return known.bulk
    with Child(potential, TIMEOUT_S) as child:
        try:
            energy, cutoff = _middle_energy(child, bicrystal, MIN_DEPTH)
            depth = cutoff * potential.num_cutoffs
            if depth > MIN_DEPTH:
                energy, cutoff = _middle_energy(child, bicrystal, depth)
        except SimulationError as error:
            raise PotentialError(f"{potential}: {error}") from error
    bulk = Bulk(bicrystal.a0, energy, cutoff)
    if cache is not None:
        BulkRecord(potential.sha256, element, name, bicrystal.a0, bulk).write(cache)
    return bulk


def _middle_energy(child: Child, bicrystal: Bicrystal, depth: float) -> tuple[float, float]:
    """Mean energy of the atoms of whole planes below ``depth`` (Å) of both surfaces, eV; cutoff."""
    spacing = bicrystal.plane_spacing
    planes = ceil(MIN_MIDDLE / spacing)
    outer = ceil(depth / spacing) + 1
    height = (planes + 2 * outer) * spacing
    positions = bicrystal.lattice_positions("lower", (0.0, 0.0, 0.0), 0.0, height)
    found = child.evaluate(positions, box_around(positions, bicrystal.cell))
    if found.cutoff is None:
        raise PotentialError(
            f"{child.potential.program} does not state the cutoff of {child.potential}, which E_gb"
            " needs"
        )
    first = outer * spacing - BORDER
    middle = (positions[:, 2] >= first) & (positions[:, 2] < first + planes * spacing)
    return float(found.energies[middle].mean()), found.cutoff


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


def _measure(child: Child, element: str, lattice: str, a0: float | None, c0: float | None) -> Bulk:
    # LAMMPS takes a cell with room for its cutoff; calculators count images themselves.
    replicas = REPLICAS if child.potential.states_cutoff else 1

    def crystal(a: float, ratio: float | None = None) -> Evaluation:
        atoms = conventional_cell(lattice, element, a, ratio).repeat(replicas)
        return child.evaluate(
            atoms.positions, np.array([np.zeros(3), atoms.cell.lengths()]), periodic_z=True
        )

    if child.potential.states_cutoff:
        _check_energies(child, lattice, element, a0)
    if lattice != "hcp":
        a0 = a0 or _relaxed_a0(crystal, element, lattice)
        final = crystal(a0)
    else:
        a0, c0 = _hcp_constants(crystal, element, a0, c0)
        final = crystal(a0, c0 / a0)
    if not child.potential.states_cutoff:
        cohesive_ev = float(final.energies.mean())
        cell = conventional_cell(lattice, element, a0, c0 / a0 if c0 else None)
        return Bulk(a0, cohesive_ev, measured_reach(child, cell, cohesive_ev), c0)
    if final.cutoff is None:
        raise PotentialError(
            f"{child.potential.program} does not state the cutoff of {child.potential}, which E_gb"
            " needs"
        )
    return Bulk(a0, float(final.energies.mean()), final.cutoff, c0, child.potential.num_cutoffs)


def _hcp_constants(
    crystal: Callable[[float, float], Evaluation],
    element: str,
    a0: float | None,
    c0: float | None,
) -> tuple[float, float]:
    """Constants a and c of lowest energy, Å; what is given is kept.

    c/a and the volume are relaxed in turn, c/a where the energy does not change with it at a
    constant volume, until both stay.

    Raises:
        PotentialError: if hcp is not stable.
    """
    if a0 is not None and c0 is not None:
        return a0, c0

    def slope(ratio: float, a: float, keeps_volume: bool) -> float:
        """Change of the energy with c/a, eV per atom."""
        energies = []
        for one in (ratio - RATIO_STEP, ratio + RATIO_STEP):
            edge = a * (ratio / one) ** (1 / 3) if keeps_volume else a
            energies.append(float(crystal(edge, one).energies.mean()))
        return (energies[1] - energies[0]) / (2 * RATIO_STEP)

    def best_ratio(a: float, volume: float | None) -> float:
        """c/a of lowest energy at a constant a, or at a constant volume a^2 c, Å^3."""
        low, high = HCP_RATIOS

        def at(ratio: float) -> float:
            if volume is None:
                return slope(ratio, a, keeps_volume=False)
            return slope(ratio, (volume / ratio) ** (1 / 3), keeps_volume=True)

        trial = np.linspace(low, high, NUM_RATIOS)
        slopes = np.array([at(one) for one in trial])
        valleys = np.flatnonzero((slopes[:-1] < 0) & (slopes[1:] > 0))
        if not len(valleys):
            raise PotentialError(
                f"{element} has no stable hcp crystal with a c/a from {low:g} to {high:g}"
            )
        nearest = min(valleys, key=lambda one: abs(trial[one] - IDEAL_RATIO))
        return float(brentq(at, trial[nearest], trial[nearest + 1], xtol=1e-9))

    if a0 is not None:
        return a0, a0 * best_ratio(a0, None)
    ratio = IDEAL_RATIO
    for _ in range(MAX_ROUNDS):
        a = _relaxed_a0(lambda edge: crystal(edge, ratio), element, "hcp")  # noqa: B023
        before, ratio = ratio, best_ratio(a, a**3 * ratio)
        if abs(ratio - before) < SAME_RATIO:
            return a, a * before
    raise PotentialError(f"{element} has no hcp crystal of lowest energy: c/a does not settle")


def _check_energies(child: Child, lattice: str, element: str, a0: float | None) -> None:
    """Refuse a potential without energies of atoms, in a crystal with one atom off its site.

    Raises:
        PotentialError: if there is no energy, or if those of the atoms are not all of it.
    """
    a0 = a0 or typical_a0(element, lattice)
    atoms = conventional_cell(lattice, element, a0).repeat(REPLICAS)
    atoms.positions[0] += 0.03 * a0
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    got = child.evaluate(atoms.positions, box, periodic_z=True)
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


def _relaxed_a0(crystal: Callable[[float], Evaluation], element: str, lattice: str) -> float:
    """Lattice constant of lowest energy, where the pressure is zero, Å.

    The energy is scanned, and the zero of the pressure is found between the neighbours of the
    lowest value. Some potentials, such as fitted ones of machine learning, fall to lower energies
    far from the crystal; the minimum nearest to the usual lattice constant is then meant.
    A potential with an abrupt cutoff has energy steps where atoms leave its range;
    the pressures of the neighbours may then have the same sign, so the lowest energy is searched
    first.
    """

    def energy(a: float) -> float:
        return float(crystal(a).energies.mean())

    def pressure(a: float) -> float:
        value = crystal(a).pressure_bar
        assert value is not None  # see below
        return value

    trial = SCAN * typical_a0(element, lattice)
    energies = [energy(a) for a in trial]
    lowest = int(np.argmin(energies))
    if lowest in (0, len(trial) - 1):
        lowest = _nearest_minimum(energies)
    if lowest in (0, len(trial) - 1) or energies[lowest] >= 0:
        raise PotentialError(
            f"{element} has no stable {lattice} crystal with a lattice constant from"
            f" {trial[0]:.2f} to {trial[-1]:.2f} Å"
        )
    if crystal(trial[lowest]).pressure_bar is None:
        return smooth_minimum(energy, trial[lowest])
    low, high = trial[lowest - 1], trial[lowest + 1]
    if not pressure(low) > 0 > pressure(high):
        a0 = float(minimize_scalar(energy, bounds=(low, high), method="bounded").x)
        low, high = a0 * (1 - NEAR), a0 * (1 + NEAR)
    if pressure(low) > 0 > pressure(high):
        a0 = float(brentq(pressure, low, high, xtol=1e-10))
        # Where the pressure jumps, a change of sign is no zero.
        if abs(pressure(a0)) < NO_PRESSURE_BAR:
            return a0
    raise PotentialError(
        f"{element} has no {lattice} crystal without pressure: its energy is lowest at a step near"
        f" {a0:.4f} Å, because the potential ends abruptly; use a potential that ends smoothly, or"
        " another cutoff"
    )


def _nearest_minimum(energies: list[float]) -> int:
    """Index of the minimum of a scan that is nearest to the usual lattice constant; 0 if none."""
    usual = int(np.argmin(np.abs(SCAN - 1)))
    inside = range(1, len(energies) - 1)
    minima = [at for at in inside if energies[at] < min(energies[at - 1], energies[at + 1])]
    return min(minima, key=lambda at: abs(at - usual), default=0)
