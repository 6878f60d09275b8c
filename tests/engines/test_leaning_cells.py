"""LAMMPS in in-plane cells that lean: the energies and forces of the rectangle that holds two."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import fcc111

from gcd_hpc.engines.box import box_around, cell_of
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Part, RelaxJob
from gcd_hpc.engines.relaxation import PRESETS
from gcd_hpc.structures.periodic import minimum_image

pytestmark = pytest.mark.lammps


@pytest.fixture(scope="module")
def rhomb() -> tuple[np.ndarray, np.ndarray]:
    """Rattled {111} layers in a rhomb of 3 x 3 atoms, and its vectors (2, 2), Å."""
    slab = fcc111("W", (3, 3, 10), a=3.9, vacuum=10.0)
    slab.rattle(0.05, seed=1)
    return slab.positions, slab.cell[:2, :2]


def doubled(positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same structure in a rectangle of two rhombs, whose second edge is 2 b - a."""
    both = np.concatenate([positions, positions + np.append(cell[1], 0.0)])
    return both, np.diag(np.diag(cell) * [1, 2])


def job_of(positions: np.ndarray, cell: np.ndarray) -> RelaxJob:
    heights = positions[:, 2]
    fixed, rigid = heights < heights.min() + 5.0, heights > heights.max() - 5.0
    return RelaxJob(positions, box_around(positions, cell), fixed, rigid, PRESETS["tight"])


def test_energies_and_forces_are_those_of_the_rectangle_of_two(child: LammpsChild, rhomb):
    positions, cell = rhomb
    ours = child.evaluate(positions, box_around(positions, cell))
    both, rectangle = doubled(positions, cell)
    theirs = child.evaluate(both, box_around(both, rectangle))
    # Sums over neighbours in another order: some 1e-14 of 10 eV.
    np.testing.assert_allclose(np.tile(ours.energies, 2), theirs.energies, atol=1e-10)
    np.testing.assert_allclose(np.tile(ours.forces, (2, 1)), theirs.forces, atol=1e-10)


def test_the_same_structure_may_lean_either_way(child: LammpsChild, rhomb):
    """Another choice of the second edge is another box of the same lattice."""
    positions, cell = rhomb
    other = np.array([cell[0], cell[1] - cell[0]])
    one = child.evaluate(positions, box_around(positions, cell))
    two = child.evaluate(positions, box_around(positions, other))
    np.testing.assert_allclose(one.energies, two.energies, atol=1e-10)


def test_a_relaxed_rhomb_has_the_energy_of_the_relaxed_rectangle(child: LammpsChild, rhomb):
    positions, cell = rhomb
    ours = child.relax(job_of(positions, cell))
    theirs = child.relax(job_of(*doubled(positions, cell)))
    # The minimisers stop at slightly different places: 1e-6 J/m^2 of 60 Å^2 are 4e-6 eV.
    assert ours.energies.sum() == pytest.approx(theirs.energies.sum() / 2, abs=1e-5)


def test_a_child_that_changes_between_boxes_gives_bitwise_what_a_new_one_gives(
    child: LammpsChild, mortal_child: LammpsChild, rhomb
):
    positions, cell = rhomb
    upright = job_of(*doubled(positions, cell))
    jobs = [job_of(positions, cell), job_of(positions, np.array([cell[0], cell[1] - cell[0]]))]
    for job in (jobs[0], upright, jobs[1], upright, jobs[0]):
        used = child.relax(job)
        mortal_child.close()
        new = mortal_child.relax(job)
        np.testing.assert_array_equal(used.positions, new.positions)
        np.testing.assert_array_equal(used.energies, new.energies)


def test_a_part_of_a_leaning_box_is_relaxed_alone(child: LammpsChild, rhomb):
    """Atoms beside the part stay where they are, to the rounding of LAMMPS' fractions."""
    positions, cell = rhomb
    job = job_of(positions, cell)
    near = np.abs(positions[:, 2] - positions[:, 2].mean()) < 3.0
    none = np.zeros(len(positions), dtype=bool)
    part = Part(near, np.ones(len(positions), dtype=bool))
    result = child.relax(replace(job, fixed=none, rigid=none, part=part))
    moved = np.linalg.norm(minimum_image(result.positions - positions, cell), axis=1)
    assert moved[~near].max() < 1e-12
    assert moved[near].min() > 0


def test_a_box_has_the_vectors_of_its_cell(rhomb):
    positions, cell = rhomb
    vectors = cell_of(box_around(positions, cell))
    np.testing.assert_array_equal(vectors[:2, :2], cell)
    # Free space of 10 Å at both ends.
    assert vectors[2] == pytest.approx([0.0, 0.0, np.ptp(positions[:, 2]) + 20.0])
