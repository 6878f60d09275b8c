"""The structures of one boundary that a model learns from, and the samples drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.config.learning import MOSAIC_CELLS
from gcd_hpc.errors import StructureError
from gcd_hpc.learning.assembly import known_mask, window_mask
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.conditions import Conditions
from gcd_hpc.learning.mosaics import Mosaics
from gcd_hpc.search.windows import Parent, draw_window
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.periodic import cartesian
from gcd_hpc.voxels.encoder import encode_elements


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
class TrainingSource:
    """Relaxed structures of one boundary.

    Args:
        system: the boundary; its grid is that of the samples.
        structures: at least one.
        name: of the boundary in the model's card.
    """

    system: BoundarySystem
    structures: Sequence[Candidate]
    name: str

    @property
    def energies(self) -> NDArray[np.float64]:
        """Boundary energies of the structures, (M,) J/m^2."""
        return np.array([row.gb_energy_j_m2 for row in self.structures])

    @property
    def lowest(self) -> dict[float, float]:
        """Lowest boundary energy of each [n], J/m^2."""
        lowest: dict[float, float] = {}
        for row in self.structures:
            known = lowest.get(row.n_fraction, np.inf)
            lowest[row.n_fraction] = min(known, row.gb_energy_j_m2)
        return lowest

    @cached_property
    def by_n(self) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Indices of the structures of each [n], with their sampling weights.

        Every [n] is drawn equally often, because deep minima have few structures near them.
        """
        groups: dict[int, list[int]] = {}
        for index, structure in enumerate(self.structures):
            groups.setdefault(structure.n_index, []).append(index)
        preference, energies = self.system.config.selection.preference_j_m2, self.energies
        return [
            (np.array(members), low_energy_weights(energies[members], preference))
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

    def cell(self, rng: np.random.Generator) -> tuple[int, int]:
        """In-plane cell of all samples of a step, in cells of the campaign.

        It is one for the whole batch, so that every part of the batch has the same cost and shape.
        """
        if rng.random() >= self.system.config.training.mosaics:
            return 1, 1
        return MOSAIC_CELLS[int(rng.integers(len(MOSAIC_CELLS)))]

    def sample(
        self, cell: tuple[int, int], conditions: Conditions, rng: np.random.Generator
    ) -> Sample:
        """A structure of low energy of any [n], or a mosaic around it, turned and shifted."""
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
        parent = augmented(piece.parent, system, rng)
        offset = rng.random()
        # A single cell that is generated between its known layers needs no mask of its own.
        mask = None
        if not is_single or config.training.windows:
            mask = _mask(parent, system, rng)
        numbers = system.numbers_of(parent.positions, parent.species)
        return Sample(
            encode_elements(parent.positions, numbers, system.channels, grid),
            noise,
            offset,
            conditions(piece.energy_j_m2, piece.fraction),
            is_shown,
            mask,
        )


def augmented(parent: Parent, system: BoundarySystem, rng: np.random.Generator) -> Parent:
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


def _mask(parent: Parent, system: BoundarySystem, rng: np.random.Generator) -> Tensor:
    """Known voxels (X, Y, Z) of a sample: all but a window, or the layers at both ends."""
    config, grid = system.config, system.grid
    known = known_mask(grid.shape, system.num_known)
    if rng.random() >= config.training.windows:
        return known
    window = draw_window(parent, system.frame, config.explore, rng)
    return known | window_mask([window], grid, np.zeros(3))


def low_energy_weights(
    energies_j_m2: NDArray[np.float64], preference_j_m2: float
) -> NDArray[np.float64]:
    """Sampling weights (M,) of the structures of one [n]: exp(-E / preference), normalised."""
    weights = np.exp((energies_j_m2.min() - energies_j_m2) / preference_j_m2)
    return np.asarray(weights / weights.sum())


def voxel_scale(source: TrainingSource) -> float:
    """Standard deviation of the voxel values of a training set, of all channels together."""
    system = source.system
    values = torch.stack(
        [
            encode_elements(row.positions, system.numbers_of_row(row), system.channels, system.grid)
            for row in source.structures
        ]
    )
    return float(values.std())


def shared_elements(sources: Sequence[TrainingSource]) -> tuple[str, ...]:
    """Elements of the voxel channels of a model; empty if one channel holds those of several.

    Raises:
        StructureError: if the boundaries have several channels that differ.
    """
    elements = {source.system.channels.symbols for source in sources}
    if len(elements) == 1:
        return elements.pop()
    if any(len(one) > 1 for one in elements):
        lists = ", ".join("-".join(one) for one in sorted(elements))
        raise StructureError(
            "one model cannot learn from boundaries of compounds of other elements, whose voxel"
            f" channels differ ({lists}); train a model for each"
        )
    return ()
