"""Layer groups of the published phases of the W Sigma5 twist boundary, and of a perfect cut."""

import numpy as np
import pytest

from gcd_hpc.structures.fingerprint import slab_weights
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.layer_groups import layer_group
from tests.reference import ATOM_ENERGY, GROUND_STATE, METASTABLE, phase
from tests.structures.boundaries import W_TWIST

BULK_EV = -8.759994


def group_of(atoms, cell=None, **more):
    weights = slab_weights(atoms.positions, atoms.arrays[ATOM_ENERGY], BULK_EV, 10.0)
    return layer_group(
        atoms.positions, atoms.cell if cell is None else cell, atoms.numbers, weights, **more
    )


@pytest.mark.parametrize("tolerance_a", [0.01, 0.05, 0.2])
def test_the_layer_group_of_a_phase_does_not_depend_on_the_tolerance(tolerance_a):
    assert group_of(phase(GROUND_STATE), tolerance_a=tolerance_a) == "1 p1"
    assert group_of(phase(METASTABLE), tolerance_a=tolerance_a) == "10 c211"


def test_a_repeated_structure_has_the_same_layer_group():
    assert group_of(phase(METASTABLE).repeat((1, 2, 1))) == "10 c211"


def test_a_perfect_cut_at_a_coincidence_has_all_symmetries_of_the_boundary():
    """The point group 422 has eight operations, as many as the bicrystal."""
    frame = Frame.build(W_TWIST, (27.0, 27.0), 60.0)
    atoms = frame.join((0.0, 0.0, 0.0))
    weights = np.exp(-((atoms.positions[:, 2] - atoms.positions[:, 2].mean()) ** 2) / 4)
    found = layer_group(atoms.positions, atoms.cell, atoms.numbers, weights)
    assert found == "54 p42_12"
    assert len(W_TWIST.symmetry_operations) == 8
