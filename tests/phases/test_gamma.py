"""Gamma surfaces: what symmetry and periodicity demand of them, and where their minimum lies."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gcd_hpc.cli.application import app
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import StoreError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.phases import gamma
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.phases.gamma import (
    KIND,
    GammaSurface,
    gamma_surface,
    read_surface,
    relaxed_at,
    surfaces_of,
)
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord
from gcd_hpc.phases.registries import places_of
from gcd_hpc.phases.shifts import Halves, halves_of, perfect_cut
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import in_plane, minimum_image
from tests.phases.copper import GROUND_STATE_J_M2, copper_run
from tests.structures.boundaries import ALL

pytestmark = pytest.mark.lammps
SAME_J_M2 = 2e-4
"""Energies of equal structures that the minimiser reaches from different starts differ by less."""


@pytest.fixture(scope="session")
def searched(tmp_path_factory) -> Path:
    return copper_run(tmp_path_factory)


@pytest.fixture
def run(searched, tmp_path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "run"))


@pytest.fixture(scope="module")
def system(searched) -> PhaseSystem:
    return PhaseSystem.of_run(searched)


@pytest.fixture(scope="module")
def child(system):
    with Child(system.potential, 12.0) as process:
        yield process


@pytest.fixture(scope="module")
def cut(system) -> Halves:
    return perfect_cut(system.frame)


@pytest.fixture(scope="module")
def phases(searched) -> list[Phase]:
    return find_phases(open_run(searched))


@pytest.fixture(scope="module")
def surface(searched, tmp_path_factory) -> GammaSurface:
    copy = shutil.copytree(searched, tmp_path_factory.mktemp("surface") / "run")
    return gamma_surface(Path(copy), grid=(16, 8))


def energy(child: Child, system: PhaseSystem, halves: Halves, shift: np.ndarray) -> float:
    return relaxed_at(child, system, halves, shift, "normal").gb_energy_j_m2


ROOT = Path(__file__).parents[2]
OTHERS = {
    "bcc twist, smallest cell at 45 degrees": "benchmarks/boundaries/w_sigma5_1x1.yaml",
    "fcc twist, leaning cell": "campaigns/cu_sigma7_twist.yaml",
    "compound": "campaigns/nial_sigma5.yaml",
    "hcp": "campaigns/ti_2130.yaml",
    "diamond": "benchmarks/boundaries/si_sigma5_1x1.yaml",
}


@pytest.mark.parametrize("name", OTHERS)
def test_surfaces_of_all_crystals_repeat_and_have_the_symmetry_of_the_boundary(name):
    path = ROOT / OTHERS[name]
    config = load_campaign(path, ["boundary.replicas=[1,1]"])
    built = BoundarySystem.build(config, path.parent)
    system = PhaseSystem(
        *(config, built.potential, built.bulk, built.bicrystal, built.frame, built.outer)
    )
    halves, shift = perfect_cut(system.frame), np.array([0.7, 0.4])
    lower, upper = system.bicrystal.lower, system.bicrystal.upper
    with Child(system.potential, 60.0) as child:
        first = relaxed_at(child, system, halves, shift, "normal")
        for edge in halves.period:
            moved = energy(child, system, halves, shift + edge)
            assert moved == pytest.approx(first.gb_energy_j_m2, abs=SAME_J_M2)
        for image in images(system, halves, shift):
            same = energy(child, system, halves, image)
            assert same == pytest.approx(first.gb_energy_j_m2, abs=SAME_J_M2)
    # Registries of phases are placed by this height of grains that touch.
    touching = first.excess_volume_a - (upper.mean_offset - lower.mean_offset)
    assert first.lift_a == pytest.approx(touching, abs=1e-9)


def images(system: PhaseSystem, cut: Halves, shift: np.ndarray) -> Iterator[np.ndarray]:
    """Shifts of the same energy by each symmetry of the boundary.

    An operation that swaps the grains reverses their shift, measured from plane to plane.
    """
    lower, upper = cut.lower.positions, cut.upper.positions
    apart = (upper[upper[:, 2].argmin()] - lower[lower[:, 2].argmax()])[:2]
    for one in system.bicrystal.symmetry_operations:
        yield one[2, 2] * one[:2, :2] @ (apart + shift) - apart


@pytest.mark.parametrize("edge", [0, 1])
def test_a_shift_by_an_edge_of_the_cell_changes_nothing(edge, child, system, cut):
    shift = np.array([0.7, 0.4])
    moved = energy(child, system, cut, shift + cut.period[edge])
    assert moved == pytest.approx(energy(child, system, cut, shift), abs=SAME_J_M2)


def test_half_an_edge_is_no_period(child, system, cut):
    """Otherwise every structure would be relaxed twice."""
    shift = np.array([0.7, 0.4])
    first = energy(child, system, cut, shift)
    for half in (cut.period[0] / 2, cut.period[1] / 2, cut.period.sum(axis=0) / 2):
        assert abs(energy(child, system, cut, shift + half) - first) > 0.01


@pytest.mark.parametrize("shift", [(0.7, 0.4), (2.4, 1.5), (4.1, 3.0)])
def test_the_surface_has_the_symmetry_of_the_boundary(shift, child, system, cut):
    first = energy(child, system, cut, np.array(shift))
    assert {one[2, 2] for one in system.bicrystal.symmetry_operations} == {1.0, -1.0}
    for image in images(system, cut, np.array(shift)):
        assert energy(child, system, cut, image) == pytest.approx(first, abs=SAME_J_M2)


@pytest.mark.slow
def test_the_minimum_lies_where_the_search_finds_the_ground_state(
    surface, phases, system, child, cut
):
    """Relaxed along the normal, it lies within a step of the grid of the ground state's registry,
    and relaxed freely from there, it is the ground state.
    """
    ground, *_ = places_of(phases, surface, system.bicrystal)
    assert ground.gb_energy_j_m2 == pytest.approx(GROUND_STATE_J_M2, abs=SAME_J_M2)
    lowest = surface.shifts[surface.lowest]
    gaps = (ground.shifts - lowest) @ np.linalg.inv(surface.cell)
    steps = np.abs((gaps - np.rint(gaps)) * surface.energies_j_m2.shape)
    assert steps.max(axis=1).min() < 1.0
    atoms, _ = cut.shifted(lowest, 2.0)
    relaxed = relax_boundary(
        *(child, atoms, system.bicrystal, system.bulk, system.config.relaxation)
    )
    assert relaxed.gb_energy_j_m2 == pytest.approx(ground.gb_energy_j_m2, abs=SAME_J_M2)


def test_at_its_registry_the_ground_state_comes_of_the_perfect_cut(
    surface, phases, system, child, cut
):
    """At each of its equal shifts, where all atoms relax but the grains keep their shift."""
    ground, *_ = places_of(phases, surface, system.bicrystal)
    assert len(ground.shifts) == 2, "the boundary is wider than the cut, so that two cuts meet it"
    for shift in ground.shifts:
        point = relaxed_at(child, system, cut, shift, "all")
        assert point.gb_energy_j_m2 == pytest.approx(ground.gb_energy_j_m2, abs=SAME_J_M2)


def test_a_relaxation_along_the_normal_is_never_below_a_free_one(system, child, cut):
    for shift in ([0.0, 0.0], [1.0, 1.0], [2.0, 0.5]):
        normal, free = (
            relaxed_at(child, system, cut, np.array(shift), freedom).gb_energy_j_m2
            for freedom in ("normal", "all")
        )
        assert free < normal + SAME_J_M2


def test_a_structure_that_is_no_phase_any_more_has_no_places(surface, phases, system):
    other = replace(surface, phase="0-1", candidate="search-999999")
    assert places_of(phases, other, system.bicrystal) == []


def test_the_lift_is_the_excess_volume_of_grains_in_whole_planes(surface):
    np.testing.assert_allclose(surface.lifts_a, surface.excess_volumes_a, atol=1e-9)


def test_a_phase_lies_in_a_minimum_of_its_own_surface(phases, system, child):
    ground, second = (one for one in phases if one.name in ("0-1", "0-2"))
    for phase in (ground, second):
        halves = halves_of(phase.representative, system.frame)
        at_rest = energy(child, system, halves, np.zeros(2))
        assert at_rest == pytest.approx(phase.gb_energy_j_m2, abs=SAME_J_M2)
        for step in ([0.3, 0.0], [-0.3, 0.0], [0.0, 0.3]):
            assert energy(child, system, halves, np.array(step)) > at_rest


@pytest.mark.parametrize("name", ["W twist", "Si twist", "Cu Sigma7(111) rhomb", "strained"])
def test_atoms_too_close_are_lifted_until_the_clearance_is_left(name):
    halves = perfect_cut(Frame.build(ALL[name], (20.0, 20.0), 50.0))
    num_lower, lifts = len(halves.lower.positions), []
    for shift in ([0.0, 0.0], [0.4, 0.9], [1.3, 0.2]):
        atoms, lift = halves.shifted(shift, 2.4)
        low, high = atoms.positions[:num_lower], atoms.positions[num_lower:]
        apart = minimum_image(high[:, None] - low, in_plane(halves.cell))
        closest = np.linalg.norm(apart, axis=2).min()
        assert closest == pytest.approx(2.4) if lift else closest >= 2.4
        lifts.append(lift)
    assert max(lifts) > 0


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers(run, searched, tmp_path):
    other = Path(shutil.copytree(searched, tmp_path / "other"))
    one, two = gamma_surface(run, grid=(3, 4)), gamma_surface(other, grid=(3, 4), workers=2)
    for name in ("energies_j_m2", "lifts_a", "excess_volumes_a", "cell"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_killed_computation_continues_with_the_points_that_are_missing(run, monkeypatch):
    asked: list[tuple[float, ...]] = []
    limit = 3

    def counted(child, system, halves, shift, freedom):
        if len(asked) == limit:
            raise KeyboardInterrupt
        asked.append(tuple(shift))
        return relaxed_at(child, system, halves, shift, freedom)

    monkeypatch.setattr(gamma, "relaxed_at", counted)
    with pytest.raises(KeyboardInterrupt):
        gamma_surface(run, grid=(3, 2))
    assert surfaces_of(run) == []
    limit = 6
    surface = gamma_surface(run, grid=(3, 2))
    assert len(set(asked)) == 6, "each point once"
    assert np.isfinite(surface.energies_j_m2).all()
    assert not list(RunDirectory(run).phases.glob("gamma/*.unfinished"))
    gamma_surface(run, grid=(3, 2))
    assert len(asked) == 6, "what was computed is read"


def test_an_older_record_does_not_stand_beside_the_arrays_of_another_grid(run, monkeypatch):
    gamma_surface(run, grid=(2, 2))

    def fail(record, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(MeasuredRecord, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            gamma_surface(run, grid=(3, 2))
    with pytest.raises(StoreError, match="there is no such surface"):
        read_surface(run)
    assert gamma_surface(run, grid=(3, 2)).energies_j_m2.shape == (3, 2)


def test_a_surface_is_read_as_it_was_computed(run):
    computed, read = gamma_surface(run, grid=(2, 2)), read_surface(run)
    np.testing.assert_array_equal(computed.energies_j_m2, read.energies_j_m2)
    record = json.loads(RunDirectory(run).measured(KIND, "cut").read_text())
    assert record["settings"]["grid"] == [2, 2]
    assert record["results"]["lowest_j_m2"] == read.energies_j_m2.min()
    with pytest.raises(StoreError, match=r"gcd-hpc gamma .* --phase 1of5-1 makes it"):
        read_surface(run, "1/5-1")


def test_a_shift_that_leads_to_no_boundary_is_a_failure_of_that_shift_alone(run, monkeypatch):
    monkeypatch.setattr("gcd_hpc.structures.energetics.MAX_EXCESS_VOLUME", 0.2)
    surface = gamma_surface(run, grid=(4, 2))
    assert len(surface.failures) == np.isnan(surface.energies_j_m2).sum() > 0
    assert np.isfinite(surface.energies_j_m2).any()
    assert all("excess volume" in one for one in surface.failures.values())
    monkeypatch.setattr("gcd_hpc.structures.energetics.MAX_EXCESS_VOLUME", -0.5)
    with pytest.raises(StoreError, match="no shift of cut leads to a boundary of the crystal"):
        gamma_surface(run, grid=(2, 1))


def test_the_command_writes_data_and_a_map_with_the_phases_on_it(run):
    words = ["gamma", str(run), "--grid", "4x2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "phase 0-1: 0.9048 J/m^2" in done.output
    folder = RunDirectory(run).measured(KIND, "cut").parent
    assert {one.name for one in folder.iterdir()} == {"cut.json", "cut.h5", "cut.png"}
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert np.shape(found["energies_j_m2"]) == (4, 2)
    assert found["phases"][0]["phase"] == "0-1"
    wrong = CliRunner().invoke(app, ["gamma", str(run), "--grid", "4"])
    assert "--grid must be two numbers such as 16x16, got 4" in str(wrong.exception)
