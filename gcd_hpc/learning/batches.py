"""Training samples, drawn and augmented from relaxed structures.

Sample ``slot`` of step ``step`` has a random stream of its own, so it is the same on any number of
processes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.seeds import TRAINING, generator
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.frame import Frame
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid

NUM_CONDITIONS = 3
"""Length of the condition vector that ConditionScale makes of (E_gb, [n])."""
FIT, VALIDATE = 0, 1
"""Purpose of a batch; the random streams of the two are distinct."""


@dataclass(frozen=True)
class ConditionScale:
    """Scaling of (E_gb, [n]) for the network.

    The energy is standardised. [n] becomes a point on a circle, because [n] = 1 equals [n] = 0.
    """

    mean_j_m2: float
    std_j_m2: float

    @classmethod
    def fit(cls, energies: Sequence[float]) -> "ConditionScale":
        """Scale of a training set, from its boundary energies in J/m^2."""
        return cls(float(np.mean(energies)), max(float(np.std(energies)), 0.05))

    def __call__(self, energy_j_m2: float, n_fraction: float) -> NDArray[np.float32]:
        angle = 2 * np.pi * n_fraction
        return np.array(
            [(energy_j_m2 - self.mean_j_m2) / self.std_j_m2, np.cos(angle), np.sin(angle)],
            np.float32,
        )


@dataclass(frozen=True)
class Batch:
    """Scaled voxel arrays with noise, times and conditions."""

    clean: Tensor  # (B, 1, X, Y, Z)
    noise: Tensor  # (B, 1, X, Y, Z)
    time: Tensor  # (B,) training times, between t_min and t_max of the schedule
    condition: Tensor  # (B, 3)
    has_condition: Tensor  # (B,) bool


@dataclass(frozen=True)
class TrainingBatches:
    """Draws augmented training samples from relaxed structures."""

    system: BoundarySystem
    grid: Grid
    structures: Sequence[Candidate]
    scale: float
    condition_scale: ConditionScale
    version: int

    @cached_property
    def by_n(self) -> list[tuple[list[Candidate], NDArray[np.float64]]]:
        """Structures of each [n] with their sampling weights.

        Every [n] is drawn equally often, because deep minima have few structures near them.
        """
        groups: dict[int, list[Candidate]] = {}
        for structure in self.structures:
            groups.setdefault(structure.n_index, []).append(structure)
        preference = self.system.config.selection.preference_j_m2
        return [
            (
                group,
                low_energy_weights(
                    np.array([structure.gb_energy_j_m2 for structure in group]), preference
                ),
            )
            for _, group in sorted(groups.items())
        ]

    def batch(self, purpose: int, step: int, slots: range, batch_size: int) -> Batch:
        """Samples ``slots`` of one step; training times are stratified over the whole batch."""
        samples = [
            self._sample(
                generator(self.system.config.seed, TRAINING, self.version, purpose, step, slot)
            )
            for slot in slots
        ]
        clean, noise, offsets, conditions, shown = zip(*samples, strict=True)
        # Float32 rounding can give exactly 1, where draw_times is defined too.
        uniform = (torch.tensor(slots) + torch.tensor(offsets, dtype=torch.float32)) / batch_size
        time = Schedule(self.system.config.diffusion.schedule).draw_times(uniform)
        return Batch(
            torch.stack(clean)[:, None] / self.scale,
            torch.stack(noise)[:, None],
            time,
            torch.from_numpy(np.stack(conditions)),
            torch.tensor(shown),
        )

    def _sample(
        self, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, float, NDArray[np.float32], bool]:
        structures, weights = self.by_n[int(rng.integers(len(self.by_n)))]
        structure = structures[int(rng.choice(len(structures), p=weights))]
        diffusion = self.system.config.diffusion
        noise = torch.from_numpy(rng.standard_normal(self.grid.shape, dtype=np.float32))
        condition = self.condition_scale(structure.gb_energy_j_m2, structure.n_fraction)
        shown = diffusion.conditional and rng.random() >= diffusion.condition_dropout
        return (
            encode(torch.from_numpy(self._augmented(structure, rng)), self.grid),
            noise,
            rng.random(),
            condition,
            shown,
        )

    def _augmented(self, structure: Candidate, rng: np.random.Generator) -> NDArray[np.float64]:
        """Augmented positions (N, 3) Å: a symmetry operation, an in-plane and a sub-voxel shift."""
        positions = structure.positions
        if self.system.config.training.symmetry:
            operations = self.system.bicrystal.symmetry_operations
            positions = self.system.frame.transform(
                positions, operations[rng.integers(len(operations))]
            )
        return positions + rng.random(3) * [*self.system.bicrystal.lengths, self.grid.spacing[2]]


def hold_out(
    structures: Sequence[Candidate], share: float
) -> tuple[list[Candidate], list[Candidate]]:
    """Split the structures into (held out, learned from) by the hash of their ids.

    A structure is thus held out of the training sets of all models alike. The lowest of each [n] is
    never held out. If the hash selects none, the structure with the smallest hash is held out.
    """
    if not share:
        return [], list(structures)
    lowest = {
        row.n_index: row.id
        for row in sorted(structures, key=lambda row: (-row.gb_energy_j_m2, row.id))
    }
    others = [row for row in structures if row.id not in lowest.values()]
    held = [row for row in others if position(row.id) < share] or [
        min(others or structures, key=lambda row: position(row.id))
    ]
    ids = {row.id for row in held}
    return held, [row for row in structures if row.id not in ids]


def position(candidate_id: str) -> float:
    """Hash of a candidate's id to [0, 1), uniform over all ids."""
    return int.from_bytes(hashlib.sha256(candidate_id.encode()).digest()[:6], "big") / 2**48


def low_energy_weights(
    energies_j_m2: NDArray[np.float64], preference_j_m2: float
) -> NDArray[np.float64]:
    """Sampling weights (M,) of the structures of one [n]: exp(-E / preference), normalised."""
    weights = np.exp((energies_j_m2.min() - energies_j_m2) / preference_j_m2)
    return np.asarray(weights / weights.sum())


def fits(structure: Candidate, frame: Frame, grid: Grid) -> bool:
    """Whether one voxel layer stays empty at both ends of z under any sub-voxel shift."""
    spacing = grid.spacing[2]
    return bool(
        frame.bottom >= spacing
        and frame.bottom + np.ptp(structure.positions[:, 2]) <= (grid.shape[2] - 3) * spacing
    )


def voxel_scale(structures: Sequence[Candidate], grid: Grid) -> float:
    """Standard deviation of the voxel values of a training set."""
    values = torch.stack(
        [encode(torch.from_numpy(structure.positions), grid) for structure in structures]
    )
    return float(values.std())
