"""The section guidance of a campaign as likelihoods of one batch of voxel arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gcd_hpc.config.guidance import CountGuidance
from gcd_hpc.diffusion.guidance import Likelihood
from gcd_hpc.learning.atom_count import AtomCount, Count
from gcd_hpc.learning.boundary import BoundarySystem


@dataclass(frozen=True)
class Generated:
    """A batch of voxel arrays that is to be generated.

    Args:
        known: voxels (B, C, X, Y, Z) divided by ``scale``, valid where the mask is True.
        mask: (X, Y, Z) bool, True where known.
        scale: divisor of the voxel values.
        n_indices: [n] that each item is asked for, in atoms.
        counts: decodes an array of each item.
    """

    system: BoundarySystem
    known: Tensor
    mask: Tensor
    scale: float
    n_indices: Sequence[int]
    counts: Sequence[Count]


def likelihoods(batch: Generated) -> list[Likelihood]:
    """Terms of the campaign's section guidance for a batch, in the section's order."""
    terms: list[Likelihood] = []
    for section in batch.system.config.guidance:
        if section.property == "n_fraction":
            terms.append(_count(section, batch))
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
