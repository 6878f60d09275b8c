"""Files of candidates made of the published phases of the W Sigma5 twist boundary."""

from pathlib import Path

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import excess_volume, gb_energy
from tests.reference import ATOM_ENERGY

ROOT = Path(__file__).parents[2]
A0, COHESIVE_EV, REACH = 3.164849455443875, -8.759994064855974, 7.8925
"""Crystal of the potential W_zhou.eam.alloy, as the campaign measures it."""


def campaign(replicas: tuple[int, int] = (1, 1)) -> CampaignConfig:
    """The campaign of the boundary in a cell."""
    return load_campaign(ROOT / "campaigns/w_sigma5.yaml", [f"boundary.replicas={list(replicas)}"])


def bicrystal(replicas: tuple[int, int] = (1, 1)) -> Bicrystal:
    """Its bicrystal."""
    return Bicrystal.build(campaign(replicas).boundary, A0)


def candidate(index: int, atoms: Atoms, **more) -> Candidate:
    """A relaxed row of a structure, with the energies of its atoms."""
    z = atoms.positions[:, 2]
    energies = atoms.arrays[ATOM_ENERGY]
    inside = (z > z.min() + REACH) & (z < z.max() - REACH)
    copies = round(atoms.cell[0, 0] / 10.008), round(atoms.cell[1, 1] / 10.008)
    crystal = bicrystal(copies)
    total, num = float(energies[inside].sum()), int(inside.sum())
    values = {
        "num_atoms": len(atoms),
        "n_index": len(atoms) % crystal.atoms_per_plane,
        "atoms_per_plane": crystal.atoms_per_plane,
        "n_fraction": len(atoms) % crystal.atoms_per_plane / crystal.atoms_per_plane,
        "gb_energy_j_m2": gb_energy(total, num, COHESIVE_EV, crystal.area),
        "excess_volume_a": excess_volume(atoms.positions, crystal),
        "preset": "tight",
        "converged": True,
        "cohesive_ev": COHESIVE_EV,
        "area_a2": crystal.area,
        "surface_depth_a": REACH,
        "potential_sha256": "ab",
        "cell": atoms.cell.lengths(),
        "positions": atoms.positions,
        "unrelaxed_positions": atoms.positions,
        "energies_ev": energies,
        "numbers": atoms.numbers,
    }
    one = candidate_id("search", 0, index)
    return Candidate(one, "search", 0, 0, index, 7, "ok", **(values | more))


def run_of(path: Path, rows: list[Candidate], replicas: tuple[int, int] = (1, 1)) -> Run:
    """A file of candidates, opened as a run."""
    write_part(path, rows, campaign_provenance(campaign(replicas)))
    return open_run(path)


def repeated(atoms: Atoms, x: int, y: int) -> Atoms:
    """A structure in a larger cell, with the energies of its atoms."""
    return atoms.repeat((x, y, 1))


def rattled(atoms: Atoms, size_a: float, seed: int = 0) -> Atoms:
    """A structure with each atom moved a little."""
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, size_a, atoms.positions.shape)
    return moved
