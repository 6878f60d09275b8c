"""Lattice constants of lowest energy, from evaluations of the crystal at others."""

from collections.abc import Callable, Sequence

import numpy as np

from gcd_hpc.config.boundary import HCP_RATIOS
from gcd_hpc.engines.jobs import Evaluation
from gcd_hpc.engines.smooth import smooth_minimum
from gcd_hpc.errors import PotentialError
from gcd_hpc.structures.lattices import IDEAL_RATIO, crystal_symbols, typical_a0

SCAN = np.arange(0.80, 1.30, 0.02)
"""Lattice constants tried first, relative to the guess."""
RATIO_STEP = 1e-3
"""Half the step of c/a over which the slope of the energy is taken."""
NUM_RATIOS = 11
"""Values of c/a at which the slope of the energy is looked at first."""
SAME_RATIO = 1e-7
"""Change of c/a below which it has settled."""
MAX_ROUNDS = 20
NEAR = 1e-4
"""Relative distance from the lowest energy within which the pressure must pass through zero."""
NO_PRESSURE_BAR = 1.0
"""Largest pressure that counts as zero. Roots of a continuous pressure reach 1e-3 bar."""


def hcp_constants(
    crystal: Callable[[float, float], Evaluation],
    elements: Sequence[str],
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

    # Most commands import this module, and scipy.optimize takes as long as the rest of their start.
    from scipy.optimize import brentq

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
                f"{elements[0]} has no stable hcp crystal with a c/a from {low:g} to {high:g}"
            )
        nearest = min(valleys, key=lambda one: abs(trial[one] - IDEAL_RATIO))
        return float(brentq(at, trial[nearest], trial[nearest + 1], xtol=1e-9))

    if a0 is not None:
        return a0, a0 * best_ratio(a0, None)
    ratio = IDEAL_RATIO
    for _ in range(MAX_ROUNDS):
        a = relaxed_a0(lambda edge: crystal(edge, ratio), elements, "hcp")  # noqa: B023
        before, ratio = ratio, best_ratio(a, a**3 * ratio)
        if abs(ratio - before) < SAME_RATIO:
            return a, a * before
    raise PotentialError(f"{elements[0]} has no hcp crystal of lowest energy: c/a does not settle")


def relaxed_a0(
    crystal: Callable[[float], Evaluation], elements: Sequence[str], lattice: str
) -> float:
    """Lattice constant of lowest energy, where the pressure is zero, Å.

    The energy is scanned, and the zero of the pressure is found between the neighbours of the
    lowest value. Some potentials, such as fitted ones of machine learning, fall to lower energies
    far from the crystal; the minimum nearest to the usual lattice constant is then meant.
    A potential with an abrupt cutoff has energy steps where atoms leave its range;
    the pressures of the neighbours may then have the same sign, so the lowest energy is searched
    first.
    """

    from scipy.optimize import brentq, minimize_scalar  # late, as in hcp_constants

    def energy(a: float) -> float:
        return float(crystal(a).energies.mean())

    def pressure(a: float) -> float:
        value = crystal(a).pressure_bar
        assert value is not None  # see below
        return value

    name = "-".join(crystal_symbols(elements, lattice))
    trial = SCAN * typical_a0(elements, lattice)
    energies = [energy(a) for a in trial]
    lowest = int(np.argmin(energies))
    if lowest in (0, len(trial) - 1):
        lowest = _nearest_minimum(energies)
    if lowest in (0, len(trial) - 1) or energies[lowest] >= 0:
        raise PotentialError(
            f"{name} has no stable {lattice} crystal with a lattice constant from"
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
        f"{name} has no {lattice} crystal without pressure: its energy is lowest at a step near"
        f" {a0:.4f} Å, because the potential ends abruptly; use a potential that ends smoothly, or"
        " another cutoff"
    )


def _nearest_minimum(energies: list[float]) -> int:
    """Index of the minimum of a scan that is nearest to the usual lattice constant; 0 if none."""
    usual = int(np.argmin(np.abs(SCAN - 1)))
    inside = range(1, len(energies) - 1)
    minima = [at for at in inside if energies[at] < min(energies[at - 1], energies[at + 1])]
    return min(minima, key=lambda at: abs(at - usual), default=0)
