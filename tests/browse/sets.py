"""Set of three copper tilt boundaries and a twist with made-up numbers, the last not begun."""

from pathlib import Path

import numpy as np

from gcd_hpc.config.loader import dump, dump_set, load_campaign_or_set
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bicrystal import Bicrystal
from tests.store.synthetic import make_candidate

SET = """\
name: tilts
boundary: {element: Cu, lattice: fcc, axis: [0, 0, 1]}
boundaries:
  - {name: s5_310, sigma: 5, plane: [3, 1, 0]}
  - {name: s5_210, sigma: 5, plane: [2, 1, 0], replicas: [1, 2]}
  - {name: s13_320, sigma: 13, plane: [3, 2, 0]}
  - {name: s5_twist, sigma: 5, twist: true}
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} Cu", file: Cu_mishin1.eam.alloy}
search: {num_tries: 4}
sampling: {num_candidates: 4}
"""
LOWEST = {"s5_310": 0.905, "s5_210": 0.94, "s13_320": 0.79}
"""Lowest energy of each boundary that has begun, J/m^2."""
NOT_BEGUN = "s5_twist"


def make_set(folder: Path, lowest: dict[str, float] = LOWEST) -> Path:
    """Run directory of the set, with three relaxed candidates and a failed one of each boundary."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "set.yaml").write_text(SET)
    config = load_campaign_or_set(folder / "set.yaml")
    run = RunDirectory(folder / "run")
    run.boundaries.mkdir(parents=True)
    run.config.write_text(dump_set(config))
    for name, campaign in config.members().items():
        if name not in lowest:
            continue
        member = run.member(name)
        crystal = Bicrystal.build(campaign.boundary, 3.615)
        write_part(
            member.search_part(0),
            list(candidates(crystal, lowest[name])),
            {"config": dump(campaign)},
        )
        member.config.write_text(dump(campaign))
    return run.path


def candidates(crystal: Bicrystal, lowest: float):
    """Two slabs at a distance, from which atoms were taken; the second has the lowest energy."""
    (ax, _), (_, by) = crystal.cell
    grains = [
        crystal.lattice_positions("lower", (0.0, 0.0, 0.0), 0.0, 25.0),
        crystal.lattice_positions("upper", (0.0, 0.0, 27.0), 27.0, 50.0),
    ]
    for index, above in enumerate((0.1, 0.0, 0.05, None)):
        positions = np.concatenate(grains)[: -1 - index]
        n_index = len(positions) % crystal.atoms_per_plane
        more = {"status": "failed", "reason": "NaN", "failure": "physics"}
        if above is not None:
            more = {"gb_energy_j_m2": lowest + above, "positions": positions}
        yield make_candidate(
            index,
            num_atoms=len(positions),
            n_index=n_index,
            n_fraction=n_index / crystal.atoms_per_plane,
            atoms_per_plane=crystal.atoms_per_plane,
            surface_depth_a=5.5,
            cell=(ax, by, 50.0),
            area_a2=ax * by,
            relax_s=2.0,
            **more,
        )
