"""Choice among several structures before one of them is relaxed, by an energy model."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.store.makers import FRESH, MODEL_MOVES
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import lowest_nearby

if TYPE_CHECKING:
    # A campaign without models searches and explores without torch.
    from gcd_hpc.learning.energy_network import EnergyModel

Made = TypeVar("Made")


@dataclass(frozen=True)
class Chooser:
    """Choice by the energy model of a campaign."""

    system: BoundarySystem
    model: "EnergyModel"

    @property
    def num_tries(self) -> int:
        """Structures that are made for each try that is relaxed."""
        return self.system.config.ranking.tries

    def num_of(self, move: str) -> int:
        """Structures that are made for each one that is relaxed, by the kind of the move."""
        if move in MODEL_MOVES:
            return 1
        return self.num_tries if move == FRESH else self.system.config.ranking.moves

    def lowest(
        self,
        num: int,
        first: Made,
        make: Callable[[int], Made],
        row_of: Callable[[Made], Candidate],
        with_row: Callable[[Made, Candidate], Made],
        known_j_m2: Mapping[int, float],
    ) -> Made:
        """The structure whose estimated energy is lowest, with the estimate as its score.

        Energies are compared relative to the lowest known of their [n]. Structures that were
        refused, or that have no estimate, come last; of equals the first is taken.

        Args:
            num: number of structures that are made.
            make: makes structure number 1, 2, ... beside the first.
            row_of, with_row: get the row of a structure, and set it.
            known_j_m2: lowest energy known of each n_index; may be empty.
        """
        if num == 1:
            return first
        best, lowest = first, math.inf
        for number in range(num):
            made = make(number) if number else first
            row = row_of(made)
            if row.status != "sampled":
                continue
            energy = self.model.estimate(self.system, row)
            known = lowest_nearby(dict(known_j_m2), row.n_index, row.atoms_per_plane)
            height = energy if math.isnan(known) else energy - known
            if height < lowest:
                lowest, best = height, with_row(made, replace(row, score_gb_energy_j_m2=energy))
        return best


@functools.lru_cache(maxsize=4)
def kept_chooser(run_dir: str) -> Chooser | None:
    """Chooser of a run, kept for all tasks of a worker; None if it relaxes all that is made.

    Raises:
        CheckpointError: if the model is damaged or of another potential.
    """
    system = load_boundary_system(run_dir)
    if not system.config.ranking.is_wanted:
        return None
    from gcd_hpc.learning.energy_network import EnergyModel

    return Chooser(system, EnergyModel.of(RunDirectory(run_dir), system))
