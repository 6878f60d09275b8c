"""Which decoder a campaign uses: exact moments, or the paper's learned one, trained beside the first model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.stages.assembly import grid_of
from gcd_hpc.stages.setting import Setting
from gcd_hpc.voxels.moment import decode_moments

Decoder = Callable[[torch.Tensor], NDArray[np.float64]]
"""Voxel array (X, Y, Z) -> positions (N, 3) Å."""


def load_decoder(run_dir: Path, setting: Setting, device: torch.device) -> Decoder:
    grid = grid_of(setting.frame, setting.config.voxels.shape)
    return lambda array: decode_moments(array.numpy(), grid)
