"""Budgets of the carbon experiment: structures, training and sampling."""

from dataclasses import dataclass, replace
from typing import Literal

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.diffusion.exploding import Anneal, Steps
from gcd_hpc.engines.quench import MeltQuench
from gcd_hpc.learning.particles import ParticleConfig

Form = Literal["amorphous", "diamond"]

CELLS = 3
"""Cells of diamond along each edge: 216 atoms, as many as in the amorphous structures."""
NUM_ATOMS = 8 * CELLS**3
CARBON = PotentialConfig(pair_style="tersoff", pair_coeff="* * {file} C", file="SiC.tersoff")
"""Tersoff's potential, Phys. Rev. B 39 (1989) 5566.

Of LAMMPS' other potentials, quenched at 2.5 g/cm^3, SiC_1994 has its first neighbours too far away
(1.58 Å), LCBOP and REBO take five to ten times as long, and that of Erhart and Albe leaves fewer
four-fold atoms.
"""


@dataclass(frozen=True)
class Case:
    """Starts of a model: random, or diamond with normal displacements of sigma, Å."""

    name: str
    form: Form
    sigma: float | None


@dataclass(frozen=True)
class CarbonBudget:
    """Amounts of structures, training and sampling."""

    num_training: int
    num_held_out: int
    num_blocks: int
    """Number of tasks that the melt-quenches are divided into."""
    programme: MeltQuench
    models: dict[Form, ParticleConfig]
    samplers: dict[Form, Steps | Anneal]
    num_generated: int
    cases: tuple[Case, ...]


# k = 0.8 Å and a cutoff of 3.0 Å after Kwon et al. (arXiv 2312.05472).
_GLASS = ParticleConfig(
    cutoff=3.0,
    max_sigma=0.8,
    width=48,
    num_layers=3,
    num_steps=12_000,
    batch_size=1,
    learning_rate=3e-3,
    network="equivariant",
    t_min=0.025,
    times="focused",
)
_CRYSTAL = ParticleConfig(
    cutoff=3.0,
    max_sigma=0.8,
    width=64,
    num_layers=4,
    num_steps=4500,
    batch_size=2,
    learning_rate=1e-3,
)
CASES = (
    Case("amorphous-random", "amorphous", None),
    *(Case(f"diamond-{sigma}", "diamond", sigma) for sigma in (0.1, 0.2, 0.3, 0.5, 0.8)),
    Case("diamond-random", "diamond", None),
)
QUICK = CarbonBudget(
    num_training=20,
    num_held_out=4,
    num_blocks=4,
    programme=MeltQuench(),
    models={"amorphous": _GLASS, "diamond": _CRYSTAL},
    samplers={"amorphous": Anneal(), "diamond": Steps("sde", 200)},
    num_generated=10,
    cases=CASES,
)
FULL = CarbonBudget(
    num_training=120,
    num_held_out=20,
    num_blocks=20,
    programme=MeltQuench(quench_steps=50_000),
    models={
        "amorphous": replace(
            _GLASS, width=128, num_layers=4, num_steps=100_000, batch_size=16, learning_rate=1e-3
        ),
        "diamond": replace(
            _CRYSTAL, width=200, num_layers=5, num_steps=50_000, batch_size=16, learning_rate=5e-4
        ),
    },
    samplers={"amorphous": Anneal(), "diamond": Steps("sde", 1000)},
    num_generated=10,
    cases=CASES,
)
