"""ASE calculators as engines, with EMT, which comes with ASE."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.units import kB

from gcd_hpc.config.campaign import BoundaryConfig, RelaxationConfig, SearchConfig
from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.box import box_around, cell_of
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.calculators import AseCalculator, find_calculator
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Anneal, RelaxJob
from gcd_hpc.engines.relaxation import PRESETS, Slab, relax_boundary
from gcd_hpc.errors import LaunchError, PotentialError, SimulationError
from gcd_hpc.search.tries import search_start
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image

SIGMA5 = BoundaryConfig(element="Cu", lattice="fcc", sigma=5, axis=(0, 0, 1), plane=(2, 1, 0))
OPAQUE = '''
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

class Total(Calculator):
    """EMT without energies of single atoms."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=None, system_changes=None):
        image = atoms.copy()
        image.calc = EMT()
        self.atoms = atoms.copy()
        self.results = {"energy": image.get_potential_energy() + SHIFT * len(atoms)}
        self.results["forces"] = image.get_forces()

SHIFT = 0.0
'''


@pytest.fixture(scope="module")
def emt() -> AseCalculator:
    return find_calculator(CalculatorConfig(name="emt"), ["Cu"], "fcc", Path())


@pytest.fixture(scope="module")
def emt_bulk(emt: AseCalculator) -> Bulk:
    return measure_bulk(emt, "Cu", "fcc")


@pytest.fixture(scope="module")
def emt_child(emt: AseCalculator) -> Iterator[Child]:
    with Child(emt, 120.0) as process:
        yield process


@pytest.fixture(scope="module")
def copper(emt_bulk: Bulk) -> Bicrystal:
    return Bicrystal.build(SIGMA5, emt_bulk.a0)


@pytest.fixture(scope="module")
def slab(copper: Bicrystal) -> Atoms:
    frame = Frame.build(copper, (20.5, 20.5), 48.0)
    atoms, _, _ = search_start(frame, SearchConfig(num_tries=1), np.random.default_rng(1))
    return atoms


@pytest.fixture(scope="module")
def copper_job(slab: Atoms, copper: Bicrystal, emt_bulk: Bulk) -> RelaxJob:
    own = Slab.of(slab, copper, emt_bulk, RelaxationConfig())
    return own.job(PRESETS["paper"], own.positions, None)


def own_module(folder: Path, text: str) -> CalculatorConfig:
    (folder / "opaque.py").write_text(text)
    return CalculatorConfig(name="opaque:Total")


def test_energies_and_forces_are_those_of_the_calculator(emt_child: Child, slab: Atoms):
    box = box_around(slab.positions, slab.cell.lengths()[:2])
    found = emt_child.evaluate(slab.positions, box)
    same = Atoms(slab.symbols, slab.positions, cell=cell_of(box), pbc=(True, True, False))
    same.calc = EMT()
    # EMT's energies are relative to the crystal, ours to free atoms; forces are the same.
    zero = emt_child.potential.zeros_ev[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found.energies, same.get_potential_energies() - zero, atol=1e-10)
    np.testing.assert_allclose(found.forces, same.get_forces(), atol=1e-10)


def test_atoms_outside_a_periodic_box_are_folded_into_it(emt_child: Child):
    box = np.array([np.zeros(3), np.full(3, 7.2)])
    sites = np.array([[0.0, 0.0, -0.1], [2.0, 2.0, 7.3], [4.0, 4.0, 3.0]])
    found = emt_child.evaluate(sites, box, periodic_z=True)
    same = emt_child.evaluate(sites % 7.2, box, periodic_z=True)
    np.testing.assert_allclose(found.energies, same.energies, atol=1e-10)
    with pytest.raises(SimulationError, match="an atom has left the box along z"):
        emt_child.evaluate(sites, box)


def test_the_crystal_of_emt_has_the_lattice_constant_and_energy_that_its_author_states(
    emt_bulk: Bulk,
):
    # Cu in ase.calculators.emt: cohesive energy 3.51 eV and Wigner-Seitz radius 2.67 bohr, which
    # the neighbours beyond the first shell change by 0.01 eV and 0.03 Å.
    radius = 2.67 * 0.529177
    assert emt_bulk.cohesive_ev == pytest.approx(-3.51, abs=0.01)
    assert emt_bulk.a0 == pytest.approx(radius * (16 * np.pi / 3) ** (1 / 3), abs=0.03)


def test_the_reach_of_a_surface_is_within_the_range_of_the_calculator(emt_bulk: Bulk):
    # Its list of neighbours ends at 5.9 Å. Third neighbours, 4.4 Å away, act still.
    assert 4.4 < emt_bulk.cutoff < 5.9


def test_the_bottom_stays_and_the_top_moves_as_one_body(emt_child: Child, copper_job: RelaxJob):
    result = emt_child.relax(copper_job)
    moved = result.positions - copper_job.positions
    # Positions pass through a box with another origin, so that the last bit may differ.
    np.testing.assert_allclose(moved[copper_job.fixed], 0.0, atol=1e-12)
    top = moved[copper_job.rigid]
    lengths = copper_job.box[1, :2] - copper_job.box[0, :2]
    top[:, :2] -= lengths * np.rint((top - top[0])[:, :2] / lengths)
    np.testing.assert_allclose(top, np.broadcast_to(top[0], top.shape), atol=1e-10)
    assert np.abs(top[0]).max() > 0.01
    assert result.stop_reason == "force tolerance"
    assert np.abs(result.forces[~copper_job.rigid]).max() <= 0.05
    before = emt_child.evaluate(copper_job.positions, copper_job.box)
    assert result.energies.sum() < before.energies.sum()


@pytest.mark.slow
def test_upright_atoms_move_along_the_normal_only(emt_child: Child, copper_job: RelaxJob):
    everything = np.ones(len(copper_job.positions), dtype=bool)
    result = emt_child.relax(dataclasses.replace(copper_job, upright=everything))
    moved = result.positions - copper_job.positions
    # Positions pass through a box with another origin, so that the last bit may differ.
    np.testing.assert_allclose(minimum_image(moved, cell_of(copper_job.box))[:, :2], 0, atol=1e-12)
    top = moved[copper_job.rigid, 2]
    np.testing.assert_allclose(top, top[0], atol=1e-10)
    assert abs(top[0]) > 0.01


@pytest.mark.parametrize("anneal", [None, Anneal(800.0, 20, 0.002, seed=3)])
def test_relaxing_again_gives_the_same_bits(anneal, emt_child: Child, copper_job: RelaxJob):
    job = dataclasses.replace(copper_job, anneal=anneal)
    first, again = emt_child.relax(job), emt_child.relax(job)
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.energies, again.energies)


def test_annealing_moves_the_mobile_atoms_and_no_held_ones(emt_child: Child, copper_job: RelaxJob):
    loose = dataclasses.replace(copper_job.minimizer, max_force=100.0)
    hot = Anneal(800.0, 20, 0.002, seed=3)
    result = emt_child.relax(dataclasses.replace(copper_job, minimizer=loose, anneal=hot))
    moved = np.abs(result.positions - copper_job.positions).max(axis=1)
    assert moved[copper_job.fixed].max() < 1e-12
    assert (moved[~(copper_job.fixed | copper_job.rigid)] > 1e-3).all()


@pytest.mark.slow
def test_atoms_follow_the_temperature_to_which_they_are_cooled(
    emt_child: Child, copper_job: RelaxJob
):
    """By equipartition, from the energy between the last step and the relaxed structure's.

    Half of the energy is kinetic, and so atoms lag behind a falling temperature by the damping
    time, 50 steps.
    """
    start = emt_child.relax(copper_job).positions
    stopped = dataclasses.replace(copper_job.minimizer, max_force=100.0)
    cold = dataclasses.replace(copper_job, positions=start, minimizer=stopped)
    energies = [
        emt_child.relax(dataclasses.replace(cold, anneal=anneal)).energies.sum()
        for anneal in (None, Anneal(200.0, 400, 0.005, 3), Anneal(200.0, 400, 0.005, 3, 0.2))
    ]
    num_mobile = int((~(copper_job.fixed | copper_job.rigid)).sum())
    lag_k = 50 * (200.0 - 40.0) / 400
    thermal_ev = 1.5 * num_mobile * kB * np.array([200.0, 40.0 + lag_k])
    np.testing.assert_allclose(np.subtract(energies[1:], energies[0]), thermal_ev, rtol=0.25)


@pytest.mark.slow
def test_the_boundary_energy_is_the_same_with_and_without_energies_of_single_atoms(
    slab: Atoms, copper: Bicrystal, emt: AseCalculator, emt_bulk: Bulk, tmp_path
):
    total = find_calculator(own_module(tmp_path, OPAQUE), ["Cu"], "fcc", tmp_path)
    assert emt.has_energies
    assert not total.has_energies
    results = []
    for engine in (emt, total):
        with Child(engine, 120.0) as child:
            results.append(
                relax_boundary(child, slab, copper, emt_bulk, RelaxationConfig(preset="paper"))
            )
    atoms, surfaces = results
    assert (atoms.energies_from, surfaces.energies_from) == ("atoms", "surfaces")
    np.testing.assert_allclose(atoms.positions, surfaces.positions, atol=1e-8)
    # The held layers lie a little outside the range of a surface: 0.2 mJ/m^2 were found.
    assert atoms.gb_energy_j_m2 == pytest.approx(surfaces.gb_energy_j_m2, abs=2e-3)
    # Shares add up to the slab's energy, and lie where the boundary's atoms are.
    assert surfaces.energies.sum() == pytest.approx(atoms.energies.sum(), abs=1e-6)
    disturbed = np.argsort(atoms.energies[np.abs(slab.positions[:, 2] - 24) < 10])[-4:]
    shared = np.argsort(surfaces.energies[np.abs(slab.positions[:, 2] - 24) < 10])[-8:]
    assert set(disturbed) & set(shared)


def test_a_strained_boundary_is_refused_without_energies_of_single_atoms(
    emt: AseCalculator, copper: Bicrystal
):
    from gcd_hpc.engines.surfaces import check_surfaces

    strained = dataclasses.replace(copper.upper, strain=(0.01, 0.0, 0.0))
    opaque = dataclasses.replace(emt, has_energies=False)
    with pytest.raises(PotentialError, match="no energies of single atoms, which a strained"):
        check_surfaces(opaque, dataclasses.replace(copper, upper=strained))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "no_such_module:Calculator",
            r"no_such_module:Calculator cannot be loaded: there is no Python module no_such_module;"
            r" name a callable as module:callable, whose module is installed or lies beside",
        ),
        ("ase.calculators.emt:Emt", r"the module ase.calculators.emt has no callable Emt"),
        ("ase.calculators.emt:parameters", r"has no callable parameters"),
        ("collections:OrderedDict", r"makes a OrderedDict, which is no ASE calculator"),
        ("mace", r"there is no Python module mace; install it with pip install mace-torch$"),
        ("orb", r"there is no Python module orb_models; install it with pip install orb-models$"),
    ],
)
def test_a_calculator_that_cannot_be_loaded_is_named_with_its_cure(name, sentence):
    with pytest.raises(LaunchError, match=sentence):
        find_calculator(CalculatorConfig(name=name), ["Cu"], "fcc", Path())


def test_an_element_that_a_calculator_lacks_is_named():
    with pytest.raises(PotentialError, match=r"emt cannot compute W: .*No EMT-potential for W"):
        find_calculator(CalculatorConfig(name="emt"), ["W"], "bcc", Path())


@pytest.mark.slow
def test_a_changed_calculator_is_refused(tmp_path):
    before = find_calculator(own_module(tmp_path, OPAQUE), ["Cu"], "fcc", tmp_path)
    after = find_calculator(
        own_module(tmp_path, OPAQUE.replace("SHIFT = 0.0", "SHIFT = -9.0")), ["Cu"], "fcc", tmp_path
    )
    assert before.sha256 != after.sha256
    with (
        Child(before, 60.0) as child,
        pytest.raises(PotentialError, match=r"its version was .* go back to the old one"),
    ):
        child.evaluate(np.zeros((1, 3)), np.array([np.zeros(3), np.full(3, 20.0)]))


def test_an_error_of_the_calculator_fails_the_candidate_alone(tmp_path, slab: Atoms):
    text = OPAQUE.replace("image = atoms.copy()", "image = atoms.copy(); 1 / (len(atoms) < 50)")
    engine = find_calculator(own_module(tmp_path, text), ["Cu"], "fcc", tmp_path)
    box = box_around(slab.positions, slab.cell.lengths()[:2])
    with Child(engine, 60.0) as child:
        with pytest.raises(SimulationError, match="refused the structure: ZeroDivisionError"):
            child.evaluate(slab.positions, box)
        assert np.isfinite(child.evaluate(slab.positions[:10], box).energies).all()
