"""The decoder of a campaign: first moments, or a learned one trained with the first model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.decoder_training import train_decoder
from gcd_hpc.networks.checkpoint import load, load_weights, save
from gcd_hpc.networks.precision import exact_convolutions
from gcd_hpc.seeds import DECODER, generator
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.sites import Positions, Sites
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.learned import LearnedDecoder, decode_learned
from gcd_hpc.voxels.moment import decode_moments
from gcd_hpc.voxels.species import decode_elements

Decoder = Callable[[torch.Tensor, Grid], Sites]
"""Decoder: voxel array (C, X, Y, Z) and its grid -> atoms."""


def prepare_decoder(
    run_dir: Path,
    system: BoundarySystem,
    structures: Sequence[Candidate],
    device: torch.device | str = "cpu",
) -> None:
    """Train the learned decoder on this device, if the campaign uses it and the run has none.

    It decodes one channel and learns from the channels of all elements alike.
    """
    config = system.config.decoder
    if config.kind == "learned" and not RunDirectory(run_dir).decoder_file.exists():
        grid = system.grid
        channels = [
            part
            for row in structures
            for part in system.channels.split(row.positions, system.numbers_of_row(row))
            if len(part)
        ]
        rng = generator(system.config.seed, DECODER)
        decoder = train_decoder(channels, grid, config, rng, device=device)
        save(RunDirectory(run_dir).decoder_file, decoder.state_dict(), config.model_dump())


def load_decoder(
    run_dir: Path, system: BoundarySystem, device: torch.device | str = "cpu"
) -> Decoder:
    """Decoder of a campaign, a function of one voxel array of the CPU and its grid.

    Args:
        device: where a learned decoder computes.

    Raises:
        CheckpointError: if the learned decoder is missing or damaged.
    """
    config, channels = system.config.decoder, system.channels
    if config.kind == "moment":
        return lambda array, grid: decode_elements(array.numpy(), channels, grid, decode_moments)
    weights, _ = load(RunDirectory(run_dir).decoder_file)
    network = LearnedDecoder(config.num_features)
    load_weights(network, weights, RunDirectory(run_dir).decoder_file)
    network = network.to(device)
    reach = config.cluster_distance * system.bicrystal.nearest_neighbor

    def decode(array: NDArray[np.floating], grid: Grid) -> Positions:
        with exact_convolutions(torch.device(device)):
            return decode_learned(array, grid, network, reach)

    return lambda array, grid: decode_elements(array.numpy(), channels, grid, decode)
