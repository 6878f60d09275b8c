"""Made the reference structures beside this file from a search of this program:

    gcd-hpc campaign campaigns/w_sigma5.yaml --set budget.rounds=0 --run-dir RUN
    python tests/data/w_sigma5/make.py RUN

The lowest structures at [n] = 1/5 and 2/5, the second twice along x, are made higher by four
periods of the crystal at both ends and relaxed with the preset tight. Their energies are those of
the structures that GRIP (github.com/enze-chen/grip) publishes for this boundary and potential,
2.2969 and 2.4688 J/m^2.
"""

import sys
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

import gcd_hpc
from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.learning.boundary import BoundarySystem

NUM_PERIODS = 4
PHASES = {"phase_n1of5": ("n=0.2", 1), "phase_n2of5_2x1": ("n=0.4", 2)}


def higher(atoms: Atoms, period: float) -> Atoms:
    """The slab with more of its own outermost period at both ends, in a higher box."""
    taller = atoms.copy()
    heights = atoms.positions[:, 2]
    ends = (
        (atoms[heights < heights.min() + period - 0.1], -1.0),
        (atoms[heights > heights.max() - period + 0.1], 1.0),
    )
    for end, sign in ends:
        for step in range(1, NUM_PERIODS + 1):
            copy = end.copy()
            copy.positions[:, 2] += sign * step * period
            taller += copy
    taller.positions[:, 2] += 5.0 - taller.positions[:, 2].min()
    taller.cell[2, 2] = taller.positions[:, 2].max() + 5.0
    return taller[np.argsort(taller.positions[:, 2], kind="stable")]


def main(run_dir: Path) -> None:
    run = gcd_hpc.open_run(run_dir)
    config = load_campaign(run_dir / "campaign.yaml")
    system = BoundarySystem.build(config, run_dir)
    for name, (words, copies) in PHASES.items():
        best = run.select(words).lowest(1)[0]
        start = higher(best.to_atoms(), system.bicrystal.lower.cell[2][2]).repeat((copies, 1, 1))
        with LammpsChild(system.potential, 60.0) as child:
            relaxed = relax_boundary(
                child, start, system.bicrystal, system.bulk, RelaxationConfig(preset="tight")
            )
        atoms = Atoms(start.symbols, relaxed.positions, cell=start.cell, pbc=(True, True, False))
        atoms.wrap()
        atoms.arrays["atom_energy_ev"] = relaxed.energies
        atoms.info = {"gb_energy_j_m2": round(relaxed.gb_energy_j_m2, 6)}
        ase.io.write(Path(__file__).parent / f"{name}.extxyz", atoms)
        print(f"{name}: {best.id}, {len(atoms)} atoms, {relaxed.gb_energy_j_m2:.4f} J/m^2")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
