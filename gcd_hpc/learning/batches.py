"""Training samples, drawn and augmented from relaxed structures.

Sample ``slot`` of step ``step`` has a random stream of its own, so it is the same on any number of
processes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.config.learning import MOSAIC_CELLS
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.learning.assembly import known_mask, window_mask
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.mosaics import Mosaics
from gcd_hpc.search.windows import Parent, draw_window
from gcd_hpc.seeds import TRAINING, generator
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import cartesian
from gcd_hpc.voxels.encoder import encode_elements
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

    clean: Tensor  # (B, C, X, Y, Z)
    noise: Tensor  # (B, C, X, Y, Z)
    time: Tensor  # (B,) training times, between t_min and t_max of the schedule
    condition: Tensor  # (B, 3)
    has_condition: Tensor  # (B,) bool
    mask: Tensor | None = None
    """(B, 1, X, Y, Z) bool, True where known; None where only the known layers are."""


@dataclass(frozen=True)
class Sample:
    """One training sample before it is scaled."""

    voxels: Tensor  # (C, X, Y, Z) in atoms
    noise: Tensor  # (C, X, Y, Z)
    offset: float  # in [0, 1), of the training time within the sample's stratum
    condition: NDArray[np.float32]  # (3,)
    has_condition: bool
    mask: Tensor | None  # (X, Y, Z) bool


@dataclass(frozen=True)
class TrainingBatches:
    """Draws augmented training samples from relaxed structures."""

    system: BoundarySystem
    structures: Sequence[Candidate]
    scale: float
    condition_scale: ConditionScale
    version: int

    @cached_property
    def by_n(self) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Indices of the structures of each [n], with their sampling weights.

        Every [n] is drawn equally often, because deep minima have few structures near them.
        """
        groups: dict[int, list[int]] = {}
        for index, structure in enumerate(self.structures):
            groups.setdefault(structure.n_index, []).append(index)
        preference = self.system.config.selection.preference_j_m2
        return [
            (
                np.array(members),
                low_energy_weights(
                    np.array([self.structures[index].gb_energy_j_m2 for index in members]),
                    preference,
                ),
            )
            for _, members in sorted(groups.items())
        ]

    @cached_property
    def mosaics(self) -> Mosaics:
        """Mosaics of the structures, with partners as frequent as the samples themselves."""
        weights = np.zeros(len(self.structures))
        for members, of_members in self.by_n:
            weights[members] = of_members / len(self.by_n)
        return Mosaics(self.system, self.structures, weights)

    @cached_property
    def systems(self) -> dict[tuple[int, int], BoundarySystem]:
        """The boundary system of each in-plane cell, in cells of the campaign."""
        return {(1, 1): self.system} | {
            cell: self.system.replicated(*cell) for cell in MOSAIC_CELLS
        }

    def batch(self, purpose: int, step: int, slots: range, batch_size: int) -> Batch:
        """Samples ``slots`` of one step; training times are stratified over the whole batch."""
        key = (self.system.config.seed, TRAINING, self.version, purpose, step)
        cell = self.cell(generator(*key))
        samples = [self._sample(cell, generator(*key, slot)) for slot in slots]
        offsets = torch.tensor([one.offset for one in samples], dtype=torch.float32)
        # Float32 rounding can give exactly 1, where draw_times is defined too.
        uniform = (torch.tensor(slots) + offsets) / batch_size
        time = Schedule(self.system.config.diffusion.schedule).draw_times(uniform)
        masks = [one.mask for one in samples if one.mask is not None]
        return Batch(
            torch.stack([one.voxels for one in samples]) / self.scale,
            torch.stack([one.noise for one in samples]),
            time,
            torch.from_numpy(np.stack([one.condition for one in samples])),
            torch.tensor([one.has_condition for one in samples]),
            torch.stack(masks)[:, None] if masks else None,
        )

    def cell(self, rng: np.random.Generator) -> tuple[int, int]:
        """In-plane cell of all samples of a step, in cells of the campaign.

        It is one for the whole batch, so that every part of the batch has the same cost and shape.
        """
        if rng.random() >= self.system.config.training.mosaics:
            return 1, 1
        return MOSAIC_CELLS[int(rng.integers(len(MOSAIC_CELLS)))]

    def _sample(self, cell: tuple[int, int], rng: np.random.Generator) -> Sample:
        members, weights = self.by_n[int(rng.integers(len(self.by_n)))]
        index = int(members[int(rng.choice(len(members), p=weights))])
        system = self.systems[cell]
        grid, config = system.grid, system.config
        shape = (len(system.channels), *grid.shape)
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        is_shown = (
            config.diffusion.conditional and rng.random() >= config.diffusion.condition_dropout
        )
        is_single = cell == (1, 1)
        piece = self.mosaics.single(index) if is_single else self.mosaics.draw(index, system, rng)
        parent = self._augmented(piece.parent, system, rng)
        offset = rng.random()
        # A single cell that is generated between its known layers needs no mask of its own.
        mask = None
        if not is_single or config.training.windows:
            mask = self._mask(parent, system, rng)
        return Sample(
            encode_elements(parent.positions, piece.numbers, system.channels, grid),
            noise,
            offset,
            self.condition_scale(piece.energy_j_m2, piece.fraction),
            is_shown,
            mask,
        )

    def _augmented(
        self, parent: Parent, system: BoundarySystem, rng: np.random.Generator
    ) -> Parent:
        """The structure after a symmetry operation, an in-plane and a sub-voxel shift."""
        positions = parent.positions
        if system.config.training.symmetry:
            operations = system.bicrystal.symmetry_operations
            operation = operations[rng.integers(len(operations))]
            positions = system.frame.transform(positions, operation, parent.species)
        ranges = np.array(system.frame.cell)
        ranges[2, 2] = system.grid.spacing[2]
        shift = cartesian(rng.random(3), ranges)
        return replace(parent, positions=positions + shift)

    def _mask(self, parent: Parent, system: BoundarySystem, rng: np.random.Generator) -> Tensor:
        """Known voxels (X, Y, Z) of a sample: all but a window, or the layers at both ends."""
        config, grid = system.config, system.grid
        known = known_mask(grid.shape, system.num_known)
        if rng.random() >= config.training.windows:
            return known
        window = draw_window(parent, system.frame, config.explore, rng)
        return known | window_mask([window], grid, np.zeros(3))


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


def voxel_scale(structures: Sequence[Candidate], system: BoundarySystem) -> float:
    """Standard deviation of the voxel values of a training set, of all channels together."""
    values = torch.stack(
        [
            encode_elements(row.positions, system.numbers_of_row(row), system.channels, system.grid)
            for row in structures
        ]
    )
    return float(values.std())
