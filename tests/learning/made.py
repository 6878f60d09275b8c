"""Sources of several boundaries, made without a search: perfect grains at random registries with
made-up energies.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.learning.sources import TrainingSource

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
BULKS = {"W": Bulk(3.164849, -8.9, 5.5), "Cu": Bulk(3.615, -3.54, 5.50679)}
CU_SIGMA5 = [
    "boundary.element=Cu",
    "boundary.lattice=fcc",
    "boundary.lower=null",
    "boundary.upper=null",
    "boundary.sigma=5",
    "boundary.axis=[0, 0, 1]",
    "boundary.plane=[2, 1, 0]",
    "potential.file=Cu_mishin1.eam.alloy",
    'potential.pair_coeff="* * {file} Cu"',
    "voxels={}",
]
W_SIGMA13 = [
    "boundary.lower={x: [5, -1, 0], y: [1, 5, 0], z: [0, 0, 1]}",
    "boundary.upper={x: [5, 1, 0], y: [-1, 5, 0], z: [0, 0, 1]}",
    "voxels={}",
]
LEARNING = [
    "network.width=8",
    "training.num_steps=12",
    "training.batch_size=2",
    "training.checkpoint_every=6",
    "training.precision=float32",
]
OVERRIDES = {"w_sigma5": [], "cu_sigma5": CU_SIGMA5, "w_sigma13": W_SIGMA13}


def made_source(name: str, energies=(), *overrides: str, num: int = 6) -> TrainingSource:
    """Source of one of OVERRIDES; ``energies`` in J/m^2, or random ones from 0.9 to 1.4."""
    settings = [f"name={name}", *OVERRIDES[name], *LEARNING, *overrides]
    config = load_campaign(CAMPAIGNS / "smoke.yaml", settings)
    element = config.boundary.element
    potential = find_potential(config.potential, element, Path())
    system = BoundarySystem.of(config, potential, BULKS[element])
    rng = np.random.default_rng(0)
    energies = energies or rng.uniform(0.9, 1.4, num)
    rows = [made_row(system, index, energy, rng) for index, energy in enumerate(energies)]
    return TrainingSource(system, rows, name)


def made_row(system: BoundarySystem, index: int, energy: float, rng):
    """Perfect grains at a random registry, as if they had been relaxed to this energy."""
    registry = system.frame.random_registry(rng)
    positions = system.frame.join(registry).positions
    row = with_structure(system, new_candidate(system, "search", index), positions, registry)
    return replace(
        row,
        status="ok",
        gb_energy_j_m2=energy,
        positions=positions,
        energies_ev=np.full(len(positions), system.bulk.cohesive_ev),
        registry_relaxed=registry,
    )
