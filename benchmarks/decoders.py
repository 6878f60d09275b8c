"""Both decoders on clean and noisy voxel arrays: error of the positions, atoms lost and extra, milliseconds an array.

    OMP_NUM_THREADS=1 python benchmarks/decoders.py STRUCTURE [--element W] [--voxels 12 12 72] [--nearest 2.741] [--steps 1500] [--num 10]

STRUCTURE is a relaxed bicrystal (any file that gcd-hpc reads); its middle is cut out to fit the grid. The learned decoder is trained on
it first, with random shifts and noise. Times are of this process, on one core.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from gcd_hpc.config.campaign import DecoderConfig
from gcd_hpc.structures.files import read_structure
from gcd_hpc.voxels.decoder_training import train_decoder
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.learned import decode_learned
from gcd_hpc.voxels.moment import decode_moments

Decoder = Callable[[np.ndarray], np.ndarray]
NOISES = (0.0, 0.02, 0.05, 0.1)
CONFIG = DecoderConfig(kind="learned", learning_rate=6e-3)


def cut_middle(path: str, element: str, shape: tuple[int, int, int]) -> tuple[np.ndarray, Grid]:
    """Positions of the middle of a bicrystal in a grid of this shape, with three empty voxels at both ends."""
    atoms = read_structure(path, element)
    lengths = atoms.cell.lengths()
    grid = Grid.build(shape, (lengths[0], lengths[1]))
    positions = atoms.positions.copy()
    positions[:, 2] += grid.lengths[2] / 2 - (positions[:, 2].min() + positions[:, 2].max()) / 2
    free = 3 * grid.spacing[2]
    return positions[(positions[:, 2] > free) & (positions[:, 2] < grid.lengths[2] - free - grid.spacing[2])], grid


def compare(decoded: np.ndarray, positions: np.ndarray, grid: Grid) -> tuple[float, int, int]:
    """RMSE in voxels over atoms that have a mutual nearest neighbour within a voxel; the numbers of atoms lost and extra."""
    if not len(decoded):
        return float("nan"), len(positions), 0
    gaps = np.linalg.norm(grid.displacement(positions[:, None], decoded[None]) / grid.spacing, axis=2)  # (N, K)
    nearest = gaps.argmin(axis=1)
    found = (gaps[:, nearest].argmin(axis=0) == np.arange(len(positions))) & (gaps.min(axis=1) < 1.0)
    error = float(np.sqrt((gaps.min(axis=1)[found] ** 2).mean())) if found.any() else float("nan")
    return error, int(len(positions) - found.sum()), int(len(decoded) - found.sum())


def curve(decoder: Decoder, positions: np.ndarray, grid: Grid, noise: float, num: int) -> tuple[float, float, float, float]:
    """RMSE (voxels), lost, extra and milliseconds: means over arrays of randomly shifted copies; both decoders see the same arrays."""
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(num):
        moved = positions + generator.uniform(0.0, grid.spacing)
        array = encode(torch.from_numpy(moved), grid).numpy() + np.float32(noise) * generator.standard_normal(grid.shape, dtype=np.float32)
        start = time.process_time()
        decoded = decoder(array)
        milliseconds = 1000 * (time.process_time() - start)
        rows.append((*compare(decoded, moved, grid), milliseconds))
    error, lost, extra, milliseconds = np.mean(rows, axis=0)
    return float(error), float(lost), float(extra), float(milliseconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structure")
    parser.add_argument("--element", default="W")
    parser.add_argument("--voxels", type=int, nargs=3, default=(12, 12, 72))
    parser.add_argument("--nearest", type=float, default=2.741, help="nearest-neighbour distance, Å")
    parser.add_argument("--steps", type=int, default=CONFIG.num_steps, help="training steps of the learned decoder")
    parser.add_argument("--num", type=int, default=10, help="arrays a row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    positions, grid = cut_middle(options.structure, options.element, tuple(options.voxels))
    start = time.process_time()
    network = train_decoder([positions], grid, CONFIG.model_copy(update={"num_steps": options.steps}), np.random.default_rng(0))
    print(f"{len(positions)} atoms; the learned decoder took {time.process_time() - start:.0f} s to train ({options.steps} steps)\n")
    decoders: dict[str, Decoder] = {
        "moment": lambda array: decode_moments(array, grid),
        "learned": lambda array: decode_learned(array, grid, network, CONFIG.cluster_distance * options.nearest),
    }
    print("| decoder | noise | RMSE (voxels) | lost | extra | ms |\n|---|---|---|---|---|---|")
    for name, decoder in decoders.items():
        for noise in NOISES:
            error, lost, extra, milliseconds = curve(decoder, positions, grid, noise, options.num)
            print(f"| {name} | {noise} | {error:.2g} | {lost:.1f} | {extra:.1f} | {milliseconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
