"""Relaxation of a local change: exact energies, untouched surroundings, and the cost that follows
the change instead of the cell.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from gcd_hpc.config.campaign import BoundaryConfig, PotentialConfig, RelaxationConfig
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Anneal, RelaxResult
from gcd_hpc.engines.local import MARGIN, Origin
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.engines.relaxation import Slab, relax_boundary
from gcd_hpc.errors import SimulationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image
from tests.engines.conftest import SIGMA5_LOWER, SIGMA5_UPPER
from tests.reference import GROUND_STATE, phase

pytestmark = pytest.mark.lammps


def as_origin(
    child: LammpsChild, atoms: Atoms, bicrystal: Bicrystal, bulk: Bulk, config: RelaxationConfig
) -> Origin:
    """A slab as the origin of local changes, with the energies of exactly these positions."""
    slab = Slab.of(atoms, bicrystal, bulk, config)
    return Origin(slab.positions, child.evaluate(slab.positions, slab.box).energies)


@pytest.fixture(scope="module")
def bicrystal(frame: Frame) -> Bicrystal:
    return frame.bicrystal


@pytest.fixture(scope="module")
def tiled(child: LammpsChild, bicrystal: Bicrystal, bulk: Bulk) -> tuple[Atoms, Origin]:
    """The ground state in 4x4 cells, 1,600 Å^2, with the energies of its atoms."""
    atoms = phase(GROUND_STATE)
    relaxed = relax_boundary(child, atoms, bicrystal, bulk, RelaxationConfig())
    atoms.positions = relaxed.positions
    large = atoms.repeat((4, 4, 1))
    return large, Origin(large.positions.copy(), np.tile(relaxed.energies, 16))


def middle_atom(atoms: Atoms) -> int:
    """An atom of the boundary at the corner of the cell, so that its surroundings are periodic."""
    offsets = minimum_image(atoms.positions, atoms.cell.lengths()[:2])
    offsets[:, 2] -= atoms.positions[:, 2].mean()
    return int(np.argmin(np.linalg.norm(offsets, axis=1)))


def without_one(atoms: Atoms) -> Atoms:
    changed = atoms.copy()
    del changed[middle_atom(atoms)]
    return changed


def with_one_more(atoms: Atoms) -> Atoms:
    changed = atoms.copy()
    changed.append("W")
    changed.positions[-1] = atoms.positions[middle_atom(atoms)] + [0.9, 0.9, 0.9]
    return changed


def shaken(atoms: Atoms) -> Atoms:
    changed = atoms.copy()
    offsets = minimum_image(
        atoms.positions - atoms.positions[middle_atom(atoms)], atoms.cell.lengths()[:2]
    )
    near = np.linalg.norm(offsets, axis=1) < 3.0
    changed.positions[near] += np.random.default_rng(0).normal(0.0, 0.2, (int(near.sum()), 3))
    return changed


CHANGES = [without_one, with_one_more, shaken]


def assert_exact(child: LammpsChild, atoms: Atoms, relaxed, bicrystal, bulk) -> None:
    """The energies are those of one evaluation of the whole slab at the same positions."""
    slab = Slab.of(atoms, bicrystal, bulk, RelaxationConfig())
    whole = child.evaluate(relaxed.positions, slab.box)
    # Sums over neighbours in another order: some 1e-14 of 10 eV.
    np.testing.assert_allclose(relaxed.energies, whole.energies, atol=1e-9)
    result = RelaxResult(relaxed.positions, whole.energies, whole.forces, "", 0, 0, 0.0, 0.0)
    assert relaxed.gb_energy_j_m2 == pytest.approx(slab.energy(result), abs=1e-6)


@pytest.mark.parametrize("change", CHANGES)
def test_energies_after_a_local_relaxation_are_those_of_the_whole_slab(
    change: Callable[[Atoms], Atoms], child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = change(tiled[0]), tiled[1]
    config = RelaxationConfig()
    for quick in (False, True):
        relaxed = relax_boundary(
            child, atoms, bicrystal, bulk, config, finish=False, origin=origin, quick=quick
        )
        assert relaxed.preset == "local"
        assert np.isnan(relaxed.screen_gb_energy_j_m2)
        assert_exact(child, atoms, relaxed, bicrystal, bulk)


def test_a_local_relaxation_takes_the_strain_out_of_the_change_and_moves_nothing_else(
    child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = without_one(tiled[0]), tiled[1]
    config = RelaxationConfig()
    relaxed = relax_boundary(child, atoms, bicrystal, bulk, config, finish=False, origin=origin)
    vacancy = tiled[0].positions[middle_atom(tiled[0])]
    lengths = atoms.cell.lengths()[:2]
    distances = np.linalg.norm(minimum_image(atoms.positions - vacancy, lengths), axis=1)
    before = Slab.of(atoms, bicrystal, bulk, config).positions
    far = distances > MARGIN + 1e-9
    np.testing.assert_array_equal(relaxed.positions[far], before[far])
    assert (relaxed.positions[~far] != before[~far]).any(axis=1).sum() > 4
    # A vacancy of this boundary costs some eV. Its surroundings give back all but a part of one,
    # and the minimiser, which finds other minima too, may even end below the global one.
    finished = relax_boundary(child, atoms, bicrystal, bulk, config)
    left_ev = (relaxed.gb_energy_j_m2 - finished.gb_energy_j_m2) * lengths.prod() / 16.02
    assert -0.1 < left_ev < 1.0


def test_an_annealed_change_has_exact_energies_even_if_atoms_moved_far(
    child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = shaken(tiled[0]), tiled[1]
    config = RelaxationConfig()
    anneal = Anneal(3000.0, 200, 0.002, 5)
    relaxed = relax_boundary(
        child, atoms, bicrystal, bulk, config, finish=False, anneal=anneal, origin=origin
    )
    start = Slab.of(atoms, bicrystal, bulk, config).positions
    moved = minimum_image(relaxed.positions - start, atoms.cell.lengths()[:2])
    assert np.linalg.norm(moved, axis=1).max() > 0.5
    assert_exact(child, atoms, relaxed, bicrystal, bulk)


@pytest.mark.parametrize("depth", [4.0, 12.0])
def test_a_layer_of_any_depth_is_annealed_between_held_grains_and_has_exact_energies(
    depth: float, child: LammpsChild, bicrystal: Bicrystal, bulk: Bulk
):
    config = RelaxationConfig()
    atoms = phase(GROUND_STATE)
    known = relax_boundary(child, atoms, bicrystal, bulk, config)
    atoms.positions = known.positions
    heights = atoms.positions[:, 2]
    layer = heights.mean() - depth, heights.mean() + depth
    inside = (heights >= layer[0]) & (heights <= layer[1])
    annealed = relax_boundary(
        *(child, atoms, bicrystal, bulk, config),
        finish=False,
        anneal=Anneal(3000.0, 200, 0.002, 5),
        origin=Origin(known.positions, known.energies, layer=layer),
    )
    assert annealed.preset == "local"
    np.testing.assert_array_equal(annealed.positions[~inside], known.positions[~inside])
    assert (annealed.positions[inside] != known.positions[inside]).any(axis=1).all()
    assert_exact(child, atoms, annealed, bicrystal, bulk)


def test_a_change_of_the_whole_boundary_is_screened_as_if_nothing_were_known(
    child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = tiled[0].copy(), tiled[1]
    upper = atoms.positions[:, 2] > atoms.positions[:, 2].mean()
    atoms.positions[upper, 0] += 0.5
    config = RelaxationConfig()
    known, unknown = (
        relax_boundary(child, atoms, bicrystal, bulk, config, finish=False, origin=one)
        for one in (origin, None)
    )
    assert known.preset == unknown.preset == "screen"
    np.testing.assert_array_equal(known.positions, unknown.positions)


def test_a_change_is_finished_globally_if_its_local_energy_is_worth_it(
    child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = without_one(tiled[0]), tiled[1]
    config = RelaxationConfig()
    asked = []

    def always(n_index: int, energy: float) -> bool:
        asked.append(energy)
        return True

    local = relax_boundary(child, atoms, bicrystal, bulk, config, finish=False, origin=origin)
    whole = relax_boundary(child, atoms, bicrystal, bulk, config, finish=always, origin=origin)
    assert asked == [local.gb_energy_j_m2, whole.screen_gb_energy_j_m2]
    assert whole.preset == "tight"
    assert whole.gb_energy_j_m2 <= local.gb_energy_j_m2
    assert whole.atom_evaluations > local.atom_evaluations
    assert local.atom_evaluations < 0.4 * local.evaluations * len(atoms)


def test_an_atom_inserted_into_another_is_refused_before_lammps_sees_it(
    child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = with_one_more(tiled[0]), tiled[1]
    atoms.positions[-1] = tiled[0].positions[middle_atom(tiled[0])] + [0.1, 0.0, 0.0]
    with pytest.raises(SimulationError, match="atoms overlap"):
        relax_boundary(child, atoms, bicrystal, bulk, RelaxationConfig(), origin=origin)


def test_the_origin_of_a_change_can_be_evaluated_anew(
    child: LammpsChild, tiled, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, origin = tiled
    again = as_origin(child, atoms, bicrystal, bulk, RelaxationConfig())
    np.testing.assert_allclose(again.energies, origin.energies, atol=1e-9)


@pytest.mark.parametrize("finish", [False, True])
def test_a_quick_relaxation_ends_in_the_same_minimum_with_energies_of_the_whole_potential(
    finish: bool, child: LammpsChild, bicrystal: Bicrystal, bulk: Bulk
):
    atoms, config = shaken(phase(GROUND_STATE)), RelaxationConfig()
    slow, quick = (
        relax_boundary(child, atoms, bicrystal, bulk, config, finish, quick=one)
        for one in (False, True)
    )
    assert child.quick is not child
    assert slow.preset == quick.preset == ("tight" if finish else "screen")
    assert_exact(child, atoms, quick, bicrystal, bulk)
    # The screen stops anywhere within its tolerance, 0.02 eV of this slab; the preset in a minimum.
    tolerance = 1e-5 if finish else 5e-3
    assert quick.gb_energy_j_m2 == pytest.approx(slow.gb_energy_j_m2, abs=tolerance)


def test_energies_are_those_of_the_whole_slab_with_a_potential_that_has_angles():
    """A third atom changes the share of a bond's energy that an atom up to two cutoffs away has."""
    config = PotentialConfig(
        pair_style="tersoff/mod", pair_coeff="* * {file} Si", file="Si.tersoff.mod"
    )
    potential = find_potential(config, "Si", Path())
    silicon = measure_bulk(potential, "Si", "diamond")
    boundary = BoundaryConfig(
        element="Si", lattice="diamond", lower=SIGMA5_LOWER, upper=SIGMA5_UPPER, replicas=(2, 2)
    )
    bicrystal = Bicrystal.build(boundary, silicon.a0)
    atoms = Frame.build(bicrystal, (27.0, 27.0), 75.0).join((0.3, 0.2, 0.9))
    relaxation = RelaxationConfig()
    with LammpsChild(potential, 60.0) as child:
        origin = as_origin(child, atoms, bicrystal, silicon, relaxation)
        changed = without_one(atoms)
        relaxed = relax_boundary(
            child, changed, bicrystal, silicon, relaxation, finish=False, origin=origin
        )
        assert relaxed.preset == "local"
        assert_exact(child, changed, relaxed, bicrystal, silicon)
