"""What the candidates of a campaign are compared by: one number each, the lower the better."""

from dataclasses import dataclass

from gcd_hpc.stages.table import Kind
from gcd_hpc.store.materials import GUIDED_ORDER

NOTICEABLE_J_M2 = 1e-3
"""Least decrease of a lowest boundary energy that counts as an improvement."""


@dataclass(frozen=True)
class Merit:
    """Figure of merit of a kind of campaign, and the groups in which candidates are compared."""

    heading: str
    """Heading of a column with the lowest ones."""
    unit: str
    """Unit after a number; empty if it has none."""
    target: str
    """What the number of the budget at which a campaign ends is called."""
    noticeable: float
    """Least decrease that counts as an improvement."""
    decimals: int
    """Decimal places that are shown."""
    group: str
    """Heading of the groups."""
    groups: tuple[str, ...] = ()
    """Names of the groups; empty if a group is the candidates of one [n]."""

    def values(self, *values: float) -> str:
        """Values with their unit, such as ``from 2.633 to 2.590 J/m^2`` for two."""
        numbers = [f"{value:.{self.decimals}f}" for value in values]
        text = numbers[0] if len(numbers) == 1 else "from {} to {}".format(*numbers)
        return f"{text} {self.unit}" if self.unit else text

    def group_of(self, n_index: int, atoms_per_plane: int) -> str:
        """Name of a group, such as ``0.3`` for an [n] or ``guided``."""
        return self.groups[n_index] if self.groups else f"{n_index / atoms_per_plane:g}"

    def place(self, group: str) -> str:
        """Phrase for a group in an improvement, such as ``[0.3]`` or ``guided samples``."""
        return f"{group} samples" if self.groups else f"[{group}]"

    def lowest(self, value: float, group: str, source: str) -> str:
        """Phrase for the lowest of all, such as ``2.590 J/m^2 at [n] = 0.3 (insert)``."""
        where = f" ({group}, {source})" if self.groups else f" at [n] = {group} ({source})"
        return self.values(value) + where


MERITS: dict[Kind, Merit] = {
    "boundary": Merit(
        heading="best E_gb (J/m^2)",
        unit="J/m^2",
        target="target energy",
        noticeable=NOTICEABLE_J_M2,
        decimals=3,
        group="[n]",
    ),
    "material": Merit(
        heading="best spectrum error",
        unit="",
        target="target error",
        noticeable=1e-3,
        decimals=4,
        group="samples",
        groups=GUIDED_ORDER,
    ),
}
"""E_gb of a boundary, and RMS difference of a spectrum from the target for a material."""
