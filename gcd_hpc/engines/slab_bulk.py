"""Measurement of the crystal that slab files hold, in slabs of the grains."""

from collections.abc import Mapping
from functools import partial
from math import ceil
from pathlib import Path

from ase.data import atomic_numbers

from gcd_hpc.engines.box import box_around
from gcd_hpc.engines.bulk import TIMEOUT_S, Bulk, BulkRecord, pure_ev
from gcd_hpc.engines.chemistry import crystal_chemistry
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.jobs import Evaluation
from gcd_hpc.engines.smooth import HALF_SLAB, felt_depth
from gcd_hpc.errors import PotentialError, SimulationError
from gcd_hpc.structures.bicrystal import BORDER, Bicrystal, Side
from gcd_hpc.structures.composition import Chemistry

MIN_DEPTH = 8.0
"""Least distance of atoms from the surfaces of a slab in which a crystal is measured, Å."""
MIN_MIDDLE = 4.0
"""Least height over which its energy is averaged, Å."""


def measure_crystal(
    potential: Engine,
    bicrystal: Bicrystal,
    cache: Path | None = None,
    mu: Mapping[str, float] | None = None,
) -> Bulk:
    """Energy of the crystal that slab files hold, at their lattice constants.

    It is the mean of whole lattice planes in the middle of a slab of the lower grain, out of range
    of its surfaces. a0 is the length of the shortest lattice vector.

    Args:
        cache, mu: as for ``measure_bulk``.

    Raises:
        PotentialError, RunDirectoryError: as ``measure_bulk``.
    """
    if not potential.has_energies:
        raise PotentialError(
            f"boundary.slabs: the crystal of slab files cannot be measured with {potential}, which"
            " gives no energies of single atoms; name the boundary by directions, or use another"
            " engine"
        )
    symbols, given = " ".join(bicrystal.elements), dict(mu) if mu else None
    crystal = bicrystal.lower.crystal
    name = f"{crystal.name} {crystal.primitive} {crystal.basis}"
    if len(bicrystal.elements) > 1:
        name += f" {crystal.numbers}"
    known = None if cache is None else BulkRecord.read(cache)
    if known is not None:
        wanted = BulkRecord(
            potential.sha256, symbols, name, bicrystal.a0, known.bulk, given_mu=given
        )
        if known == wanted:
            return known.bulk
    with Child(potential, TIMEOUT_S) as child:
        try:
            bulk = _measure(child, bicrystal, mu or {})
        except SimulationError as error:
            raise PotentialError(f"{potential}: {error}") from error
    if cache is not None:
        BulkRecord(potential.sha256, symbols, name, bicrystal.a0, bulk, given_mu=given).write(cache)
    return bulk


def _measure(child: Child, bicrystal: Bicrystal, mu: Mapping[str, float]) -> Bulk:
    potential = child.potential
    if potential.states_cutoff:
        middle, cutoff = _deep_middle(child, bicrystal)
    else:
        middle = _Slab(child, bicrystal, "lower", HALF_SLAB)
        above = _Slab(child, bicrystal, "upper", HALF_SLAB)
        cutoff = max(one.felt_depth(middle.crystal_ev) for one in (middle, above))
    return Bulk(
        bicrystal.a0,
        middle.crystal_ev,
        cutoff,
        num_cutoffs=potential.num_cutoffs,
        chemistry=_chemistry(child, bicrystal, middle, mu),
    )


def _deep_middle(child: Child, bicrystal: Bicrystal) -> tuple["_Slab", float]:
    """A slab whose middle is out of range of its surfaces, and the potential's cutoff, Å."""
    depth = MIN_DEPTH
    while True:
        slab = _Slab(child, bicrystal, "lower", depth)
        cutoff = slab.found.cutoff
        if cutoff is None:
            raise PotentialError(
                f"{child.potential.program} does not state the cutoff of {child.potential}, which"
                " E_gb needs"
            )
        reach = cutoff * child.potential.num_cutoffs
        if reach <= depth:
            return slab, cutoff
        depth = reach


def _chemistry(
    child: Child, bicrystal: Bicrystal, middle: "_Slab", mu: Mapping[str, float]
) -> Chemistry | None:
    """Reference energies of a compound's elements; None if there is one element."""
    elements, crystal = bicrystal.elements, bicrystal.lower.crystal
    if len(elements) == 1:
        return None
    shares = [crystal.numbers.count(atomic_numbers[element]) for element in elements]
    site_ev = [middle.mean_ev(atomic_numbers[element]) for element in elements]
    return crystal_chemistry(elements, shares, site_ev, mu, partial(pure_ev, child))


class _Slab:
    """An evaluated slab of one perfect grain with whole lattice planes from z = 0 on.

    middle: mask (N,) of whole planes below ``depth`` (Å) of both surfaces.
    """

    def __init__(self, child: Child, bicrystal: Bicrystal, side: Side, depth: float) -> None:
        self.spacing, self.area = bicrystal.grain(side).plane_spacing, bicrystal.area
        planes = ceil(MIN_MIDDLE / self.spacing)
        outer = ceil(depth / self.spacing) + 1
        height = (planes + 2 * outer) * self.spacing
        origin = (0.0, 0.0, 0.0)
        self.positions, self.numbers = bicrystal.lattice_sites(side, origin, 0.0, height)
        self.found: Evaluation = child.evaluate(
            self.positions,
            box_around(self.positions, bicrystal.cell),
            numbers=child.numbers_of_job(self.numbers),
        )
        first, z = outer * self.spacing - BORDER, self.positions[:, 2]
        self.middle = (z >= first) & (z < first + planes * self.spacing)

    @property
    def crystal_ev(self) -> float:
        """Energy of the crystal per atom, eV."""
        return float(self.found.energies[self.middle].mean())

    def mean_ev(self, number: int) -> float:
        """Mean energy of one element's atoms in the crystal, eV."""
        return float(self.found.energies[self.middle & (self.numbers == number)].mean())

    def felt_depth(self, crystal_ev: float) -> float:
        """Depth to which the surfaces are felt, Å."""
        return felt_depth(self.positions, self.found, self.spacing, self.area, crystal_ev)
