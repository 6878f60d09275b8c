"""The section guidance of a campaign as likelihoods of one batch of voxel arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.config.guidance import CountGuidance, EnergyGuidance, ImageGuidance
from gcd_hpc.diffusion.guidance import Likelihood
from gcd_hpc.learning.atom_count import AtomCount, Count
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.energy_likelihood import EnergyLikelihood
from gcd_hpc.learning.energy_network import EnergyModel
from gcd_hpc.learning.image import ImageTerm
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.structures.sites import Sites


@dataclass(frozen=True)
class Generated:
    """A batch of voxel arrays that is to be generated.

    Args:
        known: voxels (B, C, X, Y, Z) divided by ``scale``, valid where the mask is True.
        mask: (X, Y, Z) bool, True where known.
        scale: divisor of the voxel values.
        n_indices: [n] that each item is asked for, in atoms.
        decode: from an array (C, X, Y, Z) in atoms to atoms in the frame of the grid.
        counts: number of atoms of an array of each item, as its structure has.
        shifts: displacement (3,) of each item's structure relative to the grid, Å.
    """

    system: BoundarySystem
    known: Tensor
    mask: Tensor
    scale: float
    n_indices: Sequence[int]
    decode: Callable[[Tensor], Sites]
    counts: Sequence[Count]
    shifts: Sequence[NDArray[np.float64]]
    lowest_j_m2: Sequence[float] = ()
    """Lowest energy known of the [n] of each item; NaN where none is known."""
    energy: EnergyModel | None = None
    image: PlacedImage | None = None
    """Image that the section guidance names."""


def likelihoods(batch: Generated) -> list[Likelihood]:
    """Terms of the campaign's section guidance for a batch, in the section's order."""
    terms: list[Likelihood] = []
    for section in batch.system.config.guidance:
        if section.property == "n_fraction":
            terms.append(_count(section, batch))
        elif section.property == "image":
            terms.append(_image(section, batch))
        elif section.property == "gb_energy" and np.isfinite(batch.lowest_j_m2).all():
            terms.append(_energy(section, batch))
    return terms


def _count(section: CountGuidance, batch: Generated) -> Likelihood:
    known, mask = batch.known, batch.mask
    return AtomCount(
        torch.tensor(batch.n_indices, dtype=known.dtype, device=known.device),
        batch.system.bicrystal.atoms_per_plane,
        batch.counts,
        batch.scale * torch.where(mask, known, 0.0).flatten(1).sum(1),
        mask,
        batch.scale,
        section.strength,
    )


def _energy(section: EnergyGuidance, batch: Generated) -> Likelihood:
    assert batch.energy is not None, "a campaign that asks for energies has an energy model"
    known = batch.known
    lowest = torch.tensor(batch.lowest_j_m2, dtype=known.dtype, device=known.device)
    return EnergyLikelihood(
        batch.energy,
        lowest - section.target.below_known,
        known,
        batch.mask,
        batch.system.num_known,
        batch.scale,
        section.strength,
    )


def _image(section: ImageGuidance, batch: Generated) -> Likelihood:
    assert batch.image is not None, "the image is placed when a sampler is loaded"
    return ImageTerm(
        batch.image,
        batch.system.grid,
        batch.shifts,
        batch.decode,
        batch.mask,
        batch.scale,
        section.strength,
    )
