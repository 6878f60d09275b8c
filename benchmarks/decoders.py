"""Both decoders on noisy copies of a known structure, and on arrays that the first model of a run
generates.

    OMP_NUM_THREADS=1 python benchmarks/decoders.py RUN [--steps 1500] [--num 10] [--generated 60]

The learned decoder is trained first on the run's own training set. Times are of this process, on
one core. The first table has the error of the positions, atoms lost and extra; the second what
becomes of generated structures when they are relaxed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.config.campaign import DecoderConfig
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.decoder_training import train_decoder
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.stages.relaxing import ScreenWindow, relax_candidate
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.learned import decode_learned
from gcd_hpc.voxels.moment import decode_moments
from gcd_hpc.voxels.species import decode_elements

Decoder = Callable[[np.ndarray], np.ndarray]
CPU = torch.device("cpu")
NOISES = (0.0, 0.02, 0.05, 0.1)
CONFIG = DecoderConfig(kind="learned", learning_rate=6e-3)


def compare(decoded: np.ndarray, positions: np.ndarray, grid: Grid) -> tuple[float, int, int]:
    """RMSE in voxels over atoms that have a mutual nearest neighbour within a voxel; the numbers of
    atoms lost and extra.
    """
    if not len(decoded):
        return float("nan"), len(positions), 0
    gaps = np.linalg.norm(
        grid.displacement(positions[:, None], decoded[None]) / grid.spacing, axis=2
    )  # (N, K)
    nearest = gaps.argmin(axis=1)
    found = (gaps[:, nearest].argmin(axis=0) == np.arange(len(positions))) & (
        gaps.min(axis=1) < 1.0
    )
    error = float(np.sqrt((gaps.min(axis=1)[found] ** 2).mean())) if found.any() else float("nan")
    return error, int(len(positions) - found.sum()), int(len(decoded) - found.sum())


def curve(
    decoder: Decoder, positions: np.ndarray, grid: Grid, noise: float, num: int
) -> tuple[float, float, float, float]:
    """RMSE (voxels), lost, extra and milliseconds: means over arrays of randomly shifted copies;
    both decoders see the same arrays.
    """
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(num):
        moved = positions + generator.uniform(0.0, grid.spacing)
        array = encode(torch.from_numpy(moved), grid).numpy() + np.float32(
            noise
        ) * generator.standard_normal(grid.shape, dtype=np.float32)
        start = time.process_time()
        decoded = decoder(array)
        milliseconds = 1000 * (time.process_time() - start)
        rows.append((*compare(decoded, moved, grid), milliseconds))
    error, lost, extra, milliseconds = np.mean(rows, axis=0)
    return float(error), float(lost), float(extra), float(milliseconds)


def fates(
    system: BoundarySystem, run_dir: Path, decoders: dict[str, Decoder], num: int
) -> list[str]:
    """One line a decoder: the same generated arrays decoded, assembled and relaxed."""
    sampler = Sampler.load(run_dir, 1, CPU)
    drafts = [sampler.draft(index) for index in range(num)]
    arrays = sampler.generate(drafts)
    lines = []
    with LammpsChild(system.potential, system.config.relaxation.timeout_s) as child:
        for name, decoder in decoders.items():
            rows = []
            for item, array in zip(drafts, arrays, strict=True):
                decoded = decode_elements(
                    array.numpy(),
                    system.channels,
                    system.grid,
                    lambda one, _, decoder=decoder: decoder(one),
                )
                row = sampler.candidate(item, item.canvas.assemble(decoded))
                rows.append(
                    relax_candidate(system, child, row, ScreenWindow(np.inf, {}))
                    if row.status == "sampled"
                    else row
                )
            done = [row for row in rows if row.status == "ok"]
            energies = np.array([row.gb_energy_j_m2 for row in done])
            closest = np.median([row.closest_pair_a for row in rows])
            lines.append(
                f"| {name} | {len(done)} of {num} | {np.mean([row.num_atoms for row in rows]):.1f}"
                f" | {closest:.2f} | {np.mean([row.evaluations for row in done]):.0f} |"
                f" {np.median(energies):.3f} | {energies.min():.3f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--steps", type=int, default=CONFIG.num_steps, help="training steps of the learned decoder"
    )
    parser.add_argument("--num", type=int, default=10, help="arrays a row of the first table")
    parser.add_argument(
        "--generated", type=int, default=60, help="generated arrays of the second table"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    system = load_boundary_system(str(options.run))
    structures = read_part(RunDirectory(options.run).training_set(1))
    positions, grid = structures[0].positions, system.grid
    start = time.process_time()
    config = CONFIG.model_copy(update={"num_steps": options.steps})
    network = train_decoder(
        [structure.positions for structure in structures], grid, config, np.random.default_rng(0)
    )
    print(
        f"The learned decoder took {time.process_time() - start:.0f} s to train ({options.steps}"
        " steps).\n"
    )
    reach = CONFIG.cluster_distance * system.bicrystal.nearest_neighbor
    decoders: dict[str, Decoder] = {
        "moment": lambda array: decode_moments(array, grid),
        "learned": lambda array: decode_learned(array, grid, network, reach),
    }
    print("| decoder | noise | RMSE (voxels) | lost | extra | ms |\n|---|---|---|---|---|---|")
    for name, decoder in decoders.items():
        for noise in NOISES:
            error, lost, extra, milliseconds = curve(decoder, positions, grid, noise, options.num)
            print(
                f"| {name} | {noise} | {error:.2g} | {lost:.1f} | {extra:.1f} |"
                f" {milliseconds:.0f} |",
                flush=True,
            )
    print(
        "\n| decoder | relaxed | atoms | closest pair, Å | evaluations | median E_gb, J/m^2 |"
        " lowest |\n|---|---|---|---|---|---|---|"
    )
    print("\n".join(fates(system, options.run, decoders, options.generated)))


if __name__ == "__main__":
    main()
