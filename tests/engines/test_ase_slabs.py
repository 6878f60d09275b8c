"""Boundaries named by slab files with an ASE calculator, against the same ones by directions."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from gcd_hpc.config.campaign import BoundaryConfig, RelaxationConfig
from gcd_hpc.config.loader import parse_campaign
from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.bulk import measure_bulk, measure_crystal
from gcd_hpc.engines.calculators import find_calculator
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.slab_files import with_slabs

SIGMA5 = BoundaryConfig(element="Cu", lattice="fcc", sigma=5, axis=(0, 0, 1), plane=(2, 1, 0))
CAMPAIGN = """
name: copper
engine: ase
calculator: emt
boundary: {element: Cu, slabs: {lower: lower.vasp, upper: upper.vasp}}
search: {num_tries: 1}
sampling: {num_candidates: 1}
"""


def test_a_boundary_of_slab_files_is_that_of_directions(tmp_path: Path):
    engine = find_calculator(CalculatorConfig(name="emt"), ["Cu"], None, tmp_path)
    bulk = measure_bulk(engine, "Cu", "fcc")
    named = Bicrystal.build(SIGMA5, bulk.a0)
    height = 20 * named.plane_spacing
    cell = np.diag([0.0, 0.0, height])
    cell[:2, :2] = named.cell
    for side in ("lower", "upper"):
        sites = named.lattice_positions(side, (0.0, 0.0, 0.0), 0.0, height)
        slab = Atoms(f"Cu{len(sites)}", sites, cell=cell, pbc=(True, True, False))
        write(tmp_path / f"{side}.vasp", slab)
    config = with_slabs(parse_campaign(CAMPAIGN, "copper.yaml"), tmp_path, "copper.yaml")
    filed = Bicrystal.build(config.boundary, 1.0)
    crystal = measure_crystal(engine, filed)
    assert crystal.cohesive_ev == pytest.approx(bulk.cohesive_ev, abs=1e-6)
    # In whole planes of this surface.
    assert bulk.cutoff - filed.plane_spacing < crystal.cutoff < bulk.cutoff + filed.plane_spacing
    energies = []
    with Child(engine, 120.0) as child:
        for bicrystal, own in ((named, bulk), (filed, crystal)):
            frame = Frame.build(bicrystal, (20.5, 20.5), 55.0)
            atoms = frame.join((0.0, 0.0, 0.3))
            relaxed = relax_boundary(child, atoms, bicrystal, own, RelaxationConfig(screen=False))
            energies.append(relaxed.gb_energy_j_m2)
    # The files have ten digits after the point or more, and depths differ by less than a plane.
    assert energies[1] == pytest.approx(energies[0], abs=1e-3)
