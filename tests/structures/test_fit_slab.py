import numpy as np
import pytest
from ase import Atoms

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.energetics import excess_volume, n_fraction
from gcd_hpc.structures.fit_slab import FittedSlab, fit_slab
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image, with_tilt
from tests.structures.boundaries import ALL, OBLIQUE, PERFECT, W_TWIST

HELD = 8.0
SAME_LENGTH = 1e-9  # rounding of sums of lengths, Å


def slab(boundary=W_TWIST, shift=(1.0, 2.0, 0.5), height=22.0) -> Atoms:
    return Frame.build(boundary, (height, height), 2 * height + 12.0).join(shift)


def volume(fitted: FittedSlab, boundary=W_TWIST) -> float:
    return excess_volume(fitted.atoms.positions, boundary)


@pytest.mark.parametrize("name", [name for name in ALL if name != "perfect"])
def test_a_slab_of_the_boundary_stays_as_it_is(name):
    boundary = ALL[name]
    atoms = slab(boundary)
    fitted = fit_slab(atoms, boundary, HELD)
    assert (fitted.num_removed, fitted.largest_shift) == (0, pytest.approx(0.0, abs=SAME_LENGTH))
    gaps = minimum_image(fitted.atoms.positions - atoms.positions, boundary.cell)
    assert np.abs(gaps).max() < SAME_LENGTH


@pytest.mark.parametrize("second", [(0, 1), (-1, 1), (1, 1), (2, 1)])
@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("mirror", [1, -1])
def test_a_slab_in_another_description_of_its_rhomb_is_the_same_boundary(second, turn, mirror):
    """Another lattice vector along x, another second edge, or the slab seen in a mirror."""
    boundary = OBLIQUE["Cu Sigma7(111) rhomb"]
    atoms = slab(boundary)
    atoms.rotate(60.0 * turn, "z")  # turns of 60 degrees map the lattice of the cell onto itself
    atoms.positions[:, 0] *= mirror
    cell = np.array(boundary.cell)
    atoms.set_cell(with_tilt(np.diag(slab(boundary).cell), (np.array(second) @ cell)[0]))
    fitted = fit_slab(atoms, boundary, HELD)
    assert fitted.num_removed == 0
    assert fitted.largest_shift < 1e-6
    assert np.allclose(fitted.atoms.cell[:2, :2], boundary.cell, atol=SAME_LENGTH)
    assert volume(fitted, boundary) == pytest.approx(0.5, abs=1e-6)


def test_a_reversed_rhomb_is_turned_back():
    boundary = OBLIQUE["Cu Sigma7(111) rhomb"]
    atoms = slab(boundary)
    atoms.positions[:, 2] = atoms.cell[2, 2] - atoms.positions[:, 2]
    assert volume(fit_slab(atoms, boundary, HELD), boundary) == pytest.approx(0.5, abs=1e-6)


def test_a_rhomb_is_no_repeat_of_a_rectangle_and_the_message_names_its_angle():
    with pytest.raises(
        StructureError,
        match=r"its in-plane edges, 6\.7630 x 6\.7630 Å at 60\.00 degrees, are no whole repeats of"
        r" the campaign's cell, 10\.0081 x 10\.0081 Å",
    ):
        fit_slab(slab(OBLIQUE["Cu Sigma7(111) rhomb"]), W_TWIST, HELD)


def test_a_crystal_without_the_boundary_is_refused_with_what_was_found():
    atoms = slab(PERFECT, (0.0, 0.0, 0.0))
    with pytest.raises(
        StructureError,
        match=r"the lower end must be the lattice of the lower grain and the upper end that of the"
        r" upper grain, every atom of the outer 8\.0 Å within 0\.69 Å of its site, but it has the"
        " lower grain at the lower end and the lower grain at the upper end",
    ):
        fit_slab(atoms, W_TWIST, HELD)


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("name", [name for name in ALL if name != "perfect"])
def test_one_grain_alone_is_no_slab_of_any_boundary(name, side):
    """Also of twins, whose grains share every third plane, and over 6 Å only."""
    boundary = ALL[name]
    positions = boundary.lattice_positions(side, (0.0, 0.0, 5.0), 5.0, 60.0)
    atoms = Atoms(
        [boundary.elements[0]] * len(positions),
        positions,
        cell=Frame.build(boundary, (22.0, 22.0), 70.0).cell,
        pbc=True,
    )
    with pytest.raises(
        StructureError, match=f"it has the {side} grain at the lower end and the {side}"
    ):
        fit_slab(atoms, boundary, 6.0)


def test_a_slab_of_no_crystal_is_refused():
    atoms = slab()
    atoms.positions += np.random.default_rng(0).normal(0.0, 1.0, atoms.positions.shape)
    with pytest.raises(
        StructureError, match="it has neither grain at the lower end and neither grain"
    ):
        fit_slab(atoms, W_TWIST, HELD)


def test_in_plane_lengths_that_are_no_whole_repeats_are_refused():
    atoms = slab()
    atoms.set_cell(atoms.cell * [[1.1], [1.0], [1.0]], scale_atoms=True)
    with pytest.raises(
        StructureError,
        match=r"11\.0089 x 10.* whole repeats of the campaign's cell, 10\.0081 x 10\.0081 Å",
    ):
        fit_slab(atoms, W_TWIST, HELD)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("signs", [(1, 1, -1), (-1, 1, 1), (-1, -1, 1), (1, -1, -1)])
@pytest.mark.parametrize("name", ["W twist", "Cu Sigma5(210)[001] tilt", "Si twist"])
def test_a_slab_may_be_turned_over_and_mirrored(name, order, signs):
    boundary = ALL[name]
    atoms = slab(boundary)
    lengths = atoms.cell.lengths()[list(order)]
    turned = Atoms(atoms.symbols, atoms.positions[:, order] * signs % lengths, cell=lengths)
    fitted = fit_slab(turned, boundary, HELD)
    assert volume(fitted, boundary) == pytest.approx(0.5, abs=1e-6)
    assert fitted.largest_shift < 1e-6


def test_replicas_and_shifted_origins_are_fitted():
    atoms = slab()
    atoms.positions += [0.3, -4.0, 1.0]
    fitted = fit_slab(atoms.repeat((2, 1, 1)), W_TWIST, HELD)
    assert fitted.atoms.cell.lengths()[:2] == pytest.approx([2 * 10.0081313, 10.0081313])
    assert volume(fitted, W_TWIST.replicated(2, 1)) == pytest.approx(0.5)


def test_relaxed_surfaces_are_put_back_on_the_lattice():
    """Planes near a free surface move together and apart; the boundary's excess volume is what it
    was.
    """
    atoms = slab()
    z = atoms.positions[:, 2]
    for depth, step in ((z - z.min(), 1.0), (z.max() - z, -1.0)):
        layer = np.rint(depth / W_TWIST.plane_spacing)
        z += step * 0.3 * (-0.3) ** layer
    fitted = fit_slab(atoms, W_TWIST, HELD)
    assert fitted.largest_shift == pytest.approx(0.3, abs=0.05)
    assert volume(fitted) == pytest.approx(0.5, abs=0.005)


def test_vibrating_atoms_are_put_back_on_the_lattice():
    """The median over the outer atoms tells the lattice to 0.08 Å / sqrt(50), its error some."""
    atoms = slab()
    atoms.positions += np.random.default_rng(1).normal(0.0, 0.08, atoms.positions.shape)
    assert volume(fit_slab(atoms, W_TWIST, HELD)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("end", ["lower", "upper"])
@pytest.mark.parametrize("defect", ["missing", "extra", "beside"])
def test_planes_that_are_not_complete_are_taken_off(end, defect):
    """An atom missing in the second plane, one more on the surface, one beside its site."""
    atoms = slab(height=30.0)
    z = atoms.positions[:, 2]
    depths = z - z.min() if end == "lower" else z.max() - z
    second = int(np.argmin(np.abs(depths - W_TWIST.plane_spacing)))
    if defect == "missing":
        del atoms[second]
        expected = 19
    elif defect == "extra":
        outermost = atoms.positions[np.argmin(depths)]
        outward = np.array([0.0, 0.0, -2.0 if end == "lower" else 2.0])
        atoms += Atoms("W", [outermost + outward])
        expected = 1
    else:
        atoms.positions[second, 0] += 1.2
        expected = 20
    fitted = fit_slab(atoms, W_TWIST, HELD)
    assert fitted.num_removed == expected
    assert n_fraction(len(fitted.atoms), W_TWIST.atoms_per_plane) == 0
    assert volume(fitted) == pytest.approx(0.5, abs=1e-6)


def test_a_slightly_strained_cell_becomes_the_campaigns():
    """Lattice constants of other programs are rounded: 0.05 % of strain over a slab of 44 Å would
    be 0.04 Å of excess volume.
    """
    atoms = slab()
    atoms.set_cell(atoms.cell * 1.0005, scale_atoms=True)
    fitted = fit_slab(atoms, W_TWIST, HELD)
    assert fitted.atoms.cell.lengths()[:2] == pytest.approx(np.diag(W_TWIST.cell), abs=SAME_LENGTH)
    held = fitted.atoms.positions[fitted.atoms.positions[:, 2] < 12.0, 2]
    steps = np.diff(np.unique(held.round(6)))
    assert steps[:4] == pytest.approx(W_TWIST.plane_spacing, abs=1e-5)
