"""Boundaries named by slab files against the same ones by directions: LAMMPS and EMT, one element
and compounds."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from pydantic import ValidationError

from gcd_hpc.config.campaign import BoundaryConfig, RelaxationConfig
from gcd_hpc.config.loader import parse_campaign
from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.calculators import find_calculator
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.engines.slab_bulk import measure_crystal
from gcd_hpc.errors import ConfigError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import surplus
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.slab_files import with_slabs
from tests.engines.conftest import eam_alloy

CAMPAIGN = """
name: crystal
engine: ase
calculator: emt
boundary:
  elements: [{elements}]
  slabs: {{lower: lower.vasp, upper: upper.vasp}}
search: {{num_tries: 1}}
sampling: {{num_candidates: 1}}
"""


def named_boundary(elements: tuple[str, ...], lattice: str) -> BoundaryConfig:
    own = {"element": elements[0]} if len(elements) == 1 else {"elements": elements}
    return BoundaryConfig(**own, lattice=lattice, sigma=5, axis=(0, 0, 1), plane=(2, 1, 0))


def filed_boundary(folder: Path, named: Bicrystal, drop: int = 0) -> BoundaryConfig:
    """The boundary from slab files of both grains.

    Args:
        drop: number of lowest atoms that the file of the upper grain leaves out.
    """
    height = 20 * named.plane_spacing
    cell = np.diag([0.0, 0.0, height])
    cell[:2, :2] = named.cell
    for side, begin in (("lower", 0), ("upper", drop)):
        sites, numbers = named.lattice_sites(side, (0.0, 0.0, 0.0), 0.0, height)
        slab = Atoms(numbers[begin:], sites[begin:], cell=cell, pbc=(True, True, False))
        write(folder / f"{side}.vasp", slab, sort=True)
    text = CAMPAIGN.format(elements=", ".join(named.elements))
    if len(named.elements) == 1:
        text = text.replace("elements: [Cu]", "element: Cu")
    return with_slabs(parse_campaign(text, "crystal.yaml"), folder, "crystal.yaml").boundary


def emt(*elements: str) -> Engine:
    return find_calculator(CalculatorConfig(name="emt"), elements, None, Path())


@pytest.mark.parametrize(
    ("elements", "lattice", "engine"),
    [
        pytest.param(("Cu",), "fcc", emt, id="Cu-EMT", marks=pytest.mark.slow),
        pytest.param(("Cu", "Au"), "l12", emt, id="Cu3Au-EMT", marks=pytest.mark.slow),
        pytest.param(
            ("Ni", "Al"),
            "b2",
            lambda *elements: eam_alloy("NiAlH_jea.eam.alloy", *elements),
            id="NiAl-LAMMPS",
            marks=pytest.mark.lammps,
        ),
    ],
)
def test_a_boundary_of_slab_files_is_that_of_directions(elements, lattice, engine, tmp_path: Path):
    potential = engine(*elements)
    bulk = measure_bulk(potential, elements, lattice)
    named = Bicrystal.build(named_boundary(elements, lattice), bulk.a0)
    filed = Bicrystal.build(filed_boundary(tmp_path, named), 1.0)
    crystal = measure_crystal(potential, filed, tmp_path / "bulk.json")
    assert measure_crystal(potential, filed, tmp_path / "bulk.json") == crystal
    assert crystal.cohesive_ev == pytest.approx(bulk.cohesive_ev, abs=1e-6)
    assert (crystal.chemistry is None) == (bulk.chemistry is None) == (len(elements) == 1)
    if bulk.chemistry is not None and crystal.chemistry is not None:
        for name in ("numbers", "site_ev", "mu_ev", "rich_ev", "poor_ev"):
            expected = getattr(bulk.chemistry, name)
            assert getattr(crystal.chemistry, name) == pytest.approx(expected, abs=1e-5)
    # EMT's is found in whole planes of this surface, LAMMPS' is the potential's.
    assert abs(crystal.cutoff - bulk.cutoff) < filed.plane_spacing
    energies = []
    with Child(potential, 120.0) as child:
        for bicrystal, own in ((named, bulk), (filed, crystal)):
            frame = Frame.build(bicrystal, (25.0, 25.0), 64.0)
            atoms = frame.join((0.0, 0.0, 0.3))
            # An atom less, so that chemical potentials count.
            middle = np.abs(atoms.positions[:, 2] - frame.centre)
            first = atoms.symbols == elements[0]
            del atoms[int(np.argmin(np.where(first, middle, np.inf)))]
            left_over = surplus(bicrystal, atoms.numbers, bicrystal.numbers)
            assert left_over == {"fcc": "", "l12": "Au+1", "b2": "Al+1"}[lattice]
            relaxed = relax_boundary(child, atoms, bicrystal, own, RelaxationConfig(screen=False))
            energies.append(relaxed.gb_energy_j_m2)
    # Cuts lie at different depths, between layers that no surface changes.
    assert energies[1] == pytest.approx(energies[0], abs=3e-4)
    assert energies[0] > 0.1


def test_an_upper_file_may_begin_with_the_other_element(tmp_path: Path):
    """Its lowest atom begins a lattice plane, and each atom keeps its element."""
    named = Bicrystal.build(named_boundary(("Ni", "Al"), "b2"), 2.88)
    config = filed_boundary(tmp_path, named, drop=1)
    assert config.slabs is not None and config.slabs.crystal is not None
    assert config.slabs.crystal.upper_origin == 1
    filed = Bicrystal.build(config, 1.0)
    assert filed.lower.crystal.numbers == (28, 13)
    assert filed.upper.crystal.numbers == (13, 28)
    height = 6 * filed.plane_spacing
    for side in ("lower", "upper"):
        sites, numbers = filed.lattice_sites(side, (0.0, 0.0, 0.0), 0.0, height)
        _, kinds = named.lattice_sites(side, (0.0, 0.0, 0.0), 0.0, height)
        assert (numbers == 28).sum() == (numbers == 13).sum() == (kinds == 28).sum()
        # Nearest neighbours are of the other element.
        gaps = np.linalg.norm(sites[:, None] - sites, axis=2)
        pairs = np.argwhere((gaps > 0.1) & (gaps < filed.nearest_neighbor + 0.05))
        assert len(pairs) and (numbers[pairs[:, 0]] != numbers[pairs[:, 1]]).all()


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        ("Ni, Cu", r"boundary.slabs.lower: .*holds Al, but boundary.elements are Ni, Cu"),
        ("Ni, Al, Cu", r"boundary.elements: must be two beside slabs, which hold both, got Ni, Al"),
    ],
)
def test_elements_that_slab_files_do_not_hold_are_refused(elements, problem, tmp_path: Path):
    named = Bicrystal.build(named_boundary(("Ni", "Al"), "b2"), 2.88)
    filed_boundary(tmp_path, named)
    text = CAMPAIGN.format(elements=elements)
    with pytest.raises(ConfigError, match=problem):
        with_slabs(parse_campaign(text, "crystal.yaml"), tmp_path, "crystal.yaml")


def test_a_compound_s_slab_files_that_hold_one_element_are_refused(tmp_path: Path):
    named = Bicrystal.build(named_boundary(("Cu",), "fcc"), 3.6)
    filed_boundary(tmp_path, named)
    text = CAMPAIGN.format(elements="Cu, Au")
    with pytest.raises(ConfigError, match=r"holds no Au, but boundary.elements are Cu, Au"):
        with_slabs(parse_campaign(text, "crystal.yaml"), tmp_path, "crystal.yaml")


@pytest.mark.parametrize("kinds", [(), (0, 0), (0, 2), (0, 1, 1)])
def test_a_record_of_slab_files_whose_elements_do_not_fit_is_refused(kinds, tmp_path: Path):
    named = Bicrystal.build(named_boundary(("Ni", "Al"), "b2"), 2.88)
    content = filed_boundary(tmp_path, named).model_dump()
    content["slabs"]["crystal"]["kinds"] = kinds
    with pytest.raises(ValidationError, match="must be one of 0 to 1 for each atom of the basis"):
        BoundaryConfig(**content)
