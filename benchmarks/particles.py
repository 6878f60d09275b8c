"""Cost of a sampling step of the particle networks for cells of 216 to 13,824 carbon atoms.

OMP_NUM_THREADS=1 python -m benchmarks.particles
"""

import math
import resource
import time
from multiprocessing import get_context

import numpy as np
import torch

from gcd_hpc.diffusion.exploding import Steps
from gcd_hpc.learning.particles import (
    ParticleConfig,
    ParticleModel,
    random_starts,
    sample_particles,
)
from gcd_hpc.networks.equivariant import EquivariantScore
from gcd_hpc.networks.meshgraphnet import MeshGraphNet

EDGE = 12.0
"""Edge of a cube of 216 atoms at 2.5 g/cm^3, Å."""
ROWS = [(name, copies) for name in ("equivariant", "meshgraphnet") for copies in (1, 2, 4)]


def measure(row: tuple[str, int]) -> tuple[float, float]:
    """Processor time of an atom and step, µs, and the process's largest memory, GB."""
    name, copies = row
    torch.manual_seed(0)
    if name == "equivariant":
        network: EquivariantScore | MeshGraphNet = EquivariantScore(48, 3, 3.0)
        width, num_layers = 48, 3
    else:
        network, width, num_layers = MeshGraphNet(64, 4, 3.0), 64, 4
    config = ParticleConfig(3.0, 0.9, width, num_layers, 1, 1, network=name)
    model = ParticleModel(network.eval(), config, "cpu")
    lengths = (copies * EDGE,) * 3
    starts = random_starts(1, 216 * copies**3, lengths, 0, 0)
    num_steps = math.ceil(30 / copies**3)
    costs = []
    for _ in range(3):
        before = time.process_time()
        sample_particles(model, starts, lengths, Steps("sde", num_steps), 0, 0)
        costs.append((time.process_time() - before) / num_steps / starts.shape[1])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return 1e6 * float(np.median(costs)), memory


def main() -> None:
    """Print a table; each row is measured in a process of its own."""
    print("| network | atoms | µs an atom and step | memory, GB |\n|---|--:|--:|--:|")
    for row in ROWS:
        with get_context("spawn").Pool(1) as pool:
            cost, memory = pool.apply(measure, (row,))
        print(f"| {row[0]} | {216 * row[1] ** 3:,} | {cost:.0f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
