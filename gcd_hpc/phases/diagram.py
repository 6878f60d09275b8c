"""Phase diagrams: which phase has the lowest boundary energy at a temperature and another variable.

The energies are those of docs/phases.md#diagram: linear in the second variable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.structures.envelope import lowest_line, lowest_lines

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Second variable of a diagram.

    name: as the command takes it, such as ``strain``.
    label: for people, with its unit.
    low, high: its range.
    """

    name: str
    label: str
    low: float
    high: float

    def values(self, num: int) -> Array:
        """Equally spaced values from the lowest to the highest, (num,)."""
        return np.linspace(self.low, self.high, num)


@dataclass(frozen=True)
class Line:
    """Energy of one phase: at zero of the second variable by temperature, and its slope along it.

    energies_j_m2, errors_j_m2: (T,).
    slope, slope_error: J/m^2 per unit of the variable.
    """

    name: str
    n_fraction: float
    energies_j_m2: Array
    errors_j_m2: Array
    slope: float
    slope_error: float = 0.0


@dataclass(frozen=True)
class Crossing:
    """Value of the second variable at which two phases that are stable beside it are equal.

    below, above: names of the phases that are stable at lower and at higher values.
    """

    temperature_k: float
    at: float
    below: str
    above: str


@dataclass(frozen=True)
class Diagram:
    """Energies of the phases of a run against temperature and a second variable.

    temperatures_k: (T,); (1,) with 0 K if there are no free energies.
    lines: phases that all inputs are known of.
    left_out: why other phases are not in it, by name.
    missing: what a further axis would need, as sentences.
    """

    axis: Axis
    temperatures_k: Array
    lines: tuple[Line, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()

    def energies(self, values: Array) -> Array:
        """Energies (P, T, X) J/m^2 of the phases at values (X,) of the second variable."""
        static = np.array([one.energies_j_m2 for one in self.lines])  # (P, T)
        slopes = np.array([one.slope for one in self.lines])
        return np.asarray(static[:, :, None] + slopes[:, None, None] * values)

    def stable(self, values: Array) -> NDArray[np.int64]:
        """Number (T, X) of the phase of lowest energy."""
        return np.asarray(self.energies(values).argmin(axis=0))

    def uncertain(self, values: Array) -> NDArray[np.bool_]:
        """Where another phase is as low within the errors of both, (T, X)."""
        energies, lowest = self.energies(values), self.stable(values)[None]
        static = np.array([one.errors_j_m2 for one in self.lines])
        slopes = np.array([one.slope_error for one in self.lines])
        errors = np.hypot(static[:, :, None], slopes[:, None, None] * values)  # (P, T, X)
        gaps = energies - np.take_along_axis(energies, lowest, axis=0)
        reach = np.hypot(errors, np.take_along_axis(errors, lowest, axis=0))
        is_other = np.arange(len(energies))[:, None, None] != lowest
        return np.asarray((is_other & (gaps < reach)).any(axis=0))

    def crossings(self) -> list[Crossing]:
        """Where the stable phase changes along the second variable, at each temperature."""
        slopes = np.array([one.slope for one in self.lines])
        found = []
        for place, kelvin in enumerate(self.temperatures_k.tolist()):
            static = np.array([one.energies_j_m2[place] for one in self.lines])
            for at, below, above in lowest_lines(static, slopes, self.axis.low, self.axis.high):
                names = self.lines[below].name, self.lines[above].name
                found.append(Crossing(kelvin, at, *names))
        return found

    def transition_temperatures(self, value: float) -> list[tuple[float, str, str]]:
        """Temperatures at which the stable phase changes at one value of the second variable.

        Returns:
            Temperature in K, by linear interpolation of the energies, and the names of the phases
            that are stable below and above it.
        """
        energies = self.energies(np.array([value]))[:, :, 0]  # (P, T)
        found: list[tuple[float, int, int]] = []
        current: int | None = None
        for place in range(len(self.temperatures_k) - 1):
            low, high = self.temperatures_k[place : place + 2].tolist()
            slopes = (energies[:, place + 1] - energies[:, place]) / (high - low)
            intercepts = energies[:, place] - slopes * low
            # A change at a temperature of the grid lies between two intervals.
            first = lowest_line(intercepts, slopes, low)
            if current is not None and first != current:
                found.append((low, current, first))
            found += lowest_lines(intercepts, slopes, low, high)
            current = found[-1][2] if found else first
        names = [one.name for one in self.lines]
        return [(kelvin, names[below], names[above]) for kelvin, below, above in found]
