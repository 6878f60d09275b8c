"""Training samples, drawn and augmented from relaxed structures.

Sample ``slot`` of step ``step`` has a random stream of its own, so it is the same on any number of
processes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.learning.conditions import Conditions
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.seeds import TRAINING, generator
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.frame import Frame
from gcd_hpc.voxels.grid import MARGIN_LAYERS, Grid

FIT, VALIDATE = 0, 1
"""Purpose of a batch; the random streams of the two are distinct."""


@dataclass(frozen=True)
class Batch:
    """Scaled voxel arrays with noise, times and conditions."""

    clean: Tensor  # (B, C, X, Y, Z)
    noise: Tensor  # (B, C, X, Y, Z)
    time: Tensor  # (B,) training times, between t_min and t_max of the schedule
    condition: Tensor  # (B, 3)
    has_condition: Tensor  # (B,) bool
    num_known: int
    """Voxel layers at each end that hold perfect grain."""
    mask: Tensor | None = None
    """(B, 1, X, Y, Z) bool, True where known; None where only the known layers are."""


@dataclass(frozen=True)
class TrainingBatches:
    """Draws augmented training samples from the relaxed structures of one or several boundaries.

    All samples of a step are of one boundary and one in-plane cell, so that they have one shape.
    Every boundary is drawn equally often, however many structures it has.

    Args:
        sources: structures of each boundary. Their systems share the number of channels and the
            sections of the campaign that concern learning.
        conditions: scale of the conditions of each source.
        scale: divisor of the voxel values.
        version: of the model, a key of the random streams.
    """

    sources: Sequence[TrainingSource]
    conditions: Sequence[Conditions]
    scale: float
    version: int

    @property
    def config(self) -> CampaignConfig:
        """Campaign whose sections on learning all sources share."""
        return self.sources[0].system.config

    def batch(
        self, purpose: int, step: int, slots: range, batch_size: int, source: int | None = None
    ) -> Batch:
        """Samples ``slots`` of one step; training times are stratified over the whole batch.

        Args:
            source: index of the source; drawn evenly when not given.
        """
        key = (self.config.seed, TRAINING, self.version, purpose, step)
        rng = generator(*key)
        if source is None:
            # A single source takes no random number, so that its cells stay what they were.
            source = int(rng.integers(len(self.sources))) if len(self.sources) > 1 else 0
        chosen, conditions = self.sources[source], self.conditions[source]
        cell = chosen.cell(rng)
        samples = [chosen.sample(cell, conditions, generator(*key, slot)) for slot in slots]
        offsets = torch.tensor([one.offset for one in samples], dtype=torch.float32)
        # Float32 rounding can give exactly 1, where draw_times is defined too.
        uniform = (torch.tensor(slots) + offsets) / batch_size
        time = Schedule(self.config.diffusion.schedule).draw_times(uniform)
        masks = [one.mask for one in samples if one.mask is not None]
        return Batch(
            torch.stack([one.voxels for one in samples]) / self.scale,
            torch.stack([one.noise for one in samples]),
            time,
            torch.from_numpy(np.stack([one.condition for one in samples])),
            torch.tensor([one.has_condition for one in samples]),
            chosen.system.num_known,
            torch.stack(masks)[:, None] if masks else None,
        )


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


def fits(structure: Candidate, frame: Frame, grid: Grid) -> bool:
    """Whether one voxel layer stays empty at both ends of z under any sub-voxel shift."""
    spacing = grid.spacing[2]
    return bool(
        frame.bottom >= spacing
        and frame.bottom + np.ptp(structure.positions[:, 2])
        <= (grid.shape[2] - MARGIN_LAYERS) * spacing
    )
