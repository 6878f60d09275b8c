"""Harmonic free energy of a boundary phase against temperature. See docs/phases.md#free-energy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from gcd_hpc.engines.child import USUAL_S
from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.harmonic import Modes
from gcd_hpc.phases.held import (
    crystal_modes,
    held_crystal,
    held_phase,
    kept_array,
    repeats_for,
    thicker,
)
from gcd_hpc.phases.measuring import Results, Settings, Subject
from gcd_hpc.phases.record import MeasuredRecord
from gcd_hpc.phases.slabs import bicrystal_of
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.energetics import J_PER_M2

KIND = "free-energy"
DISPLACEMENT_A = 0.01
"""Displacement of finite differences, Å; the error compares it with twice as much."""
IN_PLANE_A = 20.0
"""Least in-plane edges of the repeated phase, Å; the error compares it with half of that."""
DEPTH_A = 6.0
"""Further depth of the held layers that the error compares with, Å."""
LARGEST_GB = 8.0
"""Memory that the modes of one slab may take, GB."""
SECONDS_PER_CUBE = 2e-9
"""Time of the eigenvectors of a complex matrix of n rows on one core, over n^3, s."""

Cell = tuple[int, int]


@dataclass(frozen=True)
class Sizes:
    """Repeats of the phase in the plane: the small and the large cell that are compared."""

    small: Cell
    large: Cell

    @classmethod
    def of(cls, cell: np.ndarray, length: float) -> "Sizes":
        """Sizes of a phase with this in-plane cell (2, 2), Å; the large one is larger."""
        large, small = repeats_for(cell, length), repeats_for(cell, length / 2)
        if large == small:
            large = (2 * small[0], 2 * small[1])
        return cls(small, large)


@dataclass(frozen=True)
class Plan:
    """Work of one measurement before it begins.

    num_evaluations: of displaced structures.
    cpu_s: estimated processor time with an embedded-atom potential.
    memory_gb: of the modes.
    """

    sizes: Sizes
    num_evaluations: int
    cpu_s: float
    memory_gb: float


def plan_of(system: PhaseSystem, one: RunCandidate, length: float = IN_PLANE_A) -> Plan:
    """Work of the free energy of one phase, from its representative."""
    sizes = Sizes.of(one.box[:2, :2], length)
    held = 2 * system.outer * one.area_a2 / system.bicrystal.atomic_volume
    moving = max(1, round(one.num_atoms - held))
    # Three slabs in two cells, and the small cell once more with the other displacement.
    cells = [x * y for x, y in (sizes.small, sizes.small, sizes.large)]
    evaluations = 3 * 6 * moving * len(cells)
    atom_evaluations = 3 * 6 * moving * one.num_atoms * sum(cells)
    waves = sum(cells) / 2 + 2
    cpu_s = atom_evaluations * USUAL_S + 3 * waves * (3 * moving) ** 3 * SECONDS_PER_CUBE
    memory = (max(cells) / 2 + 1) * 3 * moving**2 * 8 + max(cells) * (3 * moving) ** 2 * 8
    return Plan(sizes, evaluations, cpu_s, memory / 1e9)


def measure_free_energy(subject: Subject, settings: Settings) -> Results:
    """Free energy of one phase at the temperatures of the settings.

    Args:
        settings: ``temperatures_k``, and ``in_plane_a`` and ``displacement_a`` in Å.

    Raises:
        SimulationError: if the phase has imaginary modes, or if it is too large.
    """
    return _Measurement(subject, settings).results()


class _Measurement:
    """Slabs, force constants and free energies of one phase."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self.subject = subject
        self.step = float(settings["displacement_a"])
        self.temperatures = np.array(settings["temperatures_k"], dtype=float)
        system, child = subject.system, subject.child
        if len(system.bicrystal.elements) > 1:
            raise SimulationError(
                f"{subject.phase}: no free energy, because atoms of several elements have no common"
                " reference in the crystal; measure it for boundaries of one element"
            )
        length = float(settings["in_plane_a"])
        needed = plan_of(system, subject.candidate, length).memory_gb
        if needed > LARGEST_GB:
            raise SimulationError(
                f"{subject.phase}: no free energy, because its modes would take {needed:.0f} GB,"
                f" more than {LARGEST_GB:g}; take a phase in a smaller cell or lower --in-plane"
            )
        slab = held_phase(child, system, subject.candidate)
        bicrystal = bicrystal_of(subject.candidate, system)
        self.area = bicrystal.area
        self.slabs = {"phase": slab}
        for side in ("lower", "upper"):
            self.slabs[side] = held_crystal(slab, bicrystal, side)
        self.sizes = Sizes.of(slab.cell, length)
        subject.folder.mkdir(parents=True, exist_ok=True)

    def results(self) -> Results:
        """Free energies with their errors."""
        crystal = crystal_modes(self.subject.child, self.subject.system.bicrystal.lower, self.step)
        crystal.check("the crystal")
        large = self._modes(self.sizes.large, self.step)
        excess = self._excess(large, crystal)
        errors = self._errors(excess, crystal)
        static = self.subject.candidate.gb_energy_j_m2
        classical = self._excess(large, crystal, is_quantum=False)
        own, slab = large["phase"], self.slabs["phase"]
        values = {
            "temperatures_k": self.temperatures.tolist(),
            "gb_energy_j_m2": static,
            "free_energy_j_m2": (static + excess).tolist(),
            "classical_free_energy_j_m2": (static + classical).tolist(),
            "excess_entropy_mj_m2_k": (1e3 * self._excess_entropy(large, crystal)).tolist(),
            "error_j_m2": np.sqrt(sum(one**2 for one in errors.values())).tolist(),
            "errors_j_m2": {name: one.tolist() for name, one in errors.items()},
            "crystal_free_energy_ev": self._of_an_atom(crystal).tolist(),
            "atoms_beyond_crystals": self._beyond(),
            "repeats": list(self.sizes.large),
            "repeats_compared": list(self.sizes.small),
            "lowest_thz": float(own.thz.min()),
            "highest_thz": float(own.thz.max()),
            "num_modes": int(own.thz.shape[1] * np.prod(self.sizes.large)),
            "num_zero_modes": own.num_zero,
        }
        arrays = {
            "heights_a": slab.positions[slab.moving, 2],
            "atom_free_energies_ev": own.free_energies(self.temperatures),
            "frequencies_thz": own.thz,
        }
        return Results(values, arrays)

    def _errors(self, excess: np.ndarray, crystal: Modes) -> dict[str, np.ndarray]:
        """Changes of the result (T,) by each of its approximations, J/m^2."""
        small = self._excess(self._modes(self.sizes.small, self.step), crystal)
        wide = self._excess(self._modes(self.sizes.small, 2 * self.step), crystal)
        # Atoms next to the held layers are held too, which needs no further force constants.
        thick = {
            name: self.slabs[name].modes(
                self._constants(name, self.sizes.large, self.step), self.sizes.large, kept
            )
            for name, kept in self._thicker().items()
        }
        return {
            "cell": np.abs(excess - small),
            "displacement": np.abs(wide - small),
            "thickness": np.abs(self._excess(thick, crystal) - excess),
        }

    def _of_an_atom(self, crystal: Modes, is_quantum: bool = True) -> np.ndarray:
        """Free energy of an atom of the infinite crystal, (T,) eV."""
        return np.asarray(crystal.free_energies(self.temperatures, is_quantum).mean(axis=1))

    def _constants(self, name: str, repeats: Cell, step: float) -> np.ndarray:
        """Force constants of a slab, kept so that a killed measurement continues after them."""
        path = self.subject.folder / f"{name}-{repeats[0]}x{repeats[1]}-{step:g}.npy"
        return kept_array(
            path, lambda: self.slabs[name].constants(self.subject.child, repeats, step)
        )

    def _modes(self, repeats: Cell, step: float) -> dict[str, Modes]:
        """Modes of the three slabs, which must all have restoring forces."""
        found = {}
        for name, slab in self.slabs.items():
            found[name] = slab.modes(self._constants(name, repeats, step), repeats)
            whose = self.subject.phase if name == "phase" else f"the {name} crystal"
            found[name].check(f"phase {whose}" if name == "phase" else whose)
        return found

    def _thicker(self) -> dict[str, np.ndarray]:
        """Masks (M,) of the moving atoms of each slab if the held layers are thicker."""
        low, high = thicker(self.slabs["phase"], DEPTH_A)
        held = {"phase": (low, high), "lower": (low, low), "upper": (high, high)}
        return {name: slab.inner(held[name]) for name, slab in self.slabs.items()}

    def _beyond(self) -> float:
        """Atoms of the phase beyond the mean of the two perfect crystals."""
        numbers = {name: len(slab.positions) for name, slab in self.slabs.items()}
        return numbers["phase"] - 0.5 * (numbers["lower"] + numbers["upper"])

    def _excess(
        self, modes: Mapping[str, Modes], crystal: Modes, is_quantum: bool = True
    ) -> np.ndarray:
        """Vibrational part of the free energy of the boundary, (T,) J/m^2."""
        sums = {
            name: one.free_energies(self.temperatures, is_quantum).sum(axis=1)
            for name, one in modes.items()
        }
        return self._per_area(sums, self._of_an_atom(crystal, is_quantum))

    def _excess_entropy(self, modes: Mapping[str, Modes], crystal: Modes) -> np.ndarray:
        """Excess entropy of the boundary, (T,) J/m^2/K."""
        sums = {name: one.entropies(self.temperatures).sum(axis=1) for name, one in modes.items()}
        return self._per_area(sums, crystal.entropies(self.temperatures).mean(axis=1))

    def _per_area(self, sums: Mapping[str, np.ndarray], atom: np.ndarray) -> np.ndarray:
        """A property of the phase beyond that of held crystals, per area.

        Args:
            sums: (T,) over the moving atoms of each slab.
            atom: (T,) of an atom of the infinite crystal, from which further atoms are taken.
        """
        held = 0.5 * (sums["lower"] + sums["upper"])
        beyond = sums["phase"] - held - self._beyond() * atom
        return np.asarray(beyond / self.area * J_PER_M2)


@dataclass(frozen=True)
class Transition:
    """Temperature at which two phases have equal free energies.

    below, above: names of the phases that are stable below and above it.
    temperature_k: by linear interpolation.
    from_k, to_k: temperatures between which the difference is within its error.
    """

    below: str
    above: str
    temperature_k: float
    from_k: float
    to_k: float


def transitions(records: Mapping[str, MeasuredRecord]) -> list[Transition]:
    """Transitions between phases of one run that were measured at the same temperatures.

    All pairs are compared; whether a third phase is more stable still is for the reader of the
    curves.
    """
    found = []
    for first, second in combinations(records, 2):
        one, other = records[first].results, records[second].results
        if one["temperatures_k"] != other["temperatures_k"]:
            continue
        kelvin = np.array(one["temperatures_k"])
        gap = np.subtract(other["free_energy_j_m2"], one["free_energy_j_m2"])
        error = np.hypot(one["error_j_m2"], other["error_j_m2"])
        signs = np.sign(gap)
        # Equal free energies at a temperature of the list count with the temperature after it.
        for place in np.flatnonzero(signs[:-1] == 0)[::-1]:
            signs[place] = signs[place + 1]
        for place in np.flatnonzero(signs[1:] * signs[:-1] < 0):
            share = gap[place] / (gap[place] - gap[place + 1])
            at = float(kelvin[place] + share * (kelvin[place + 1] - kelvin[place]))
            names = (first, second) if gap[place] > 0 else (second, first)
            low, high = _uncertain(kelvin, gap, error, at)
            found.append(Transition(*names, at, low, high))
    return sorted(found, key=lambda one: one.temperature_k)


def _uncertain(
    kelvin: np.ndarray, gap: np.ndarray, error: np.ndarray, at: float
) -> tuple[float, float]:
    """Range around a crossing in which the difference is within its error, K."""
    fine = np.linspace(kelvin[0], kelvin[-1], 2001)
    inside = np.abs(np.interp(fine, kelvin, gap)) <= np.interp(fine, kelvin, error)
    place = int(np.searchsorted(fine, at))
    outside = np.flatnonzero(~inside)
    low = fine[outside[outside < place].max(initial=-1) + 1]
    high = fine[outside[outside >= place].min(initial=len(fine)) - 1]
    return min(float(low), at), max(float(high), at)


def settings_of(
    temperatures_k: Sequence[float],
    in_plane_a: float = IN_PLANE_A,
    displacement_a: float = DISPLACEMENT_A,
) -> dict[str, Any]:
    """Settings of a measurement, which belong to its question."""
    return {
        "temperatures_k": [float(one) for one in temperatures_k],
        "in_plane_a": in_plane_a,
        "displacement_a": displacement_a,
    }
