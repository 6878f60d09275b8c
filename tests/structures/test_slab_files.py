"""Boundaries named by the files of two slabs."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import surface
from ase.io import read, write
from ase.spacegroup import crystal

from gcd_hpc.config.boundary import BoundaryConfig, SlabCrystal, SlabFiles
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.errors import ConfigError, OrientationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import Neighbors
from gcd_hpc.structures.slab_files import with_slabs
from tests.structures.boundaries import ALL, SI_TWIST, W_TWIST
from tests.structures.test_hexagonal import ALL as HEXAGONAL
from tests.structures.test_oblique import twist

GRIP = Path(__file__).parent.parent / "data" / "grip_ti"


def campaign(element, folder=GRIP, lower="POSCAR_LOWER", upper="POSCAR_UPPER", **more):
    boundary = BoundaryConfig(element=element, slabs=SlabFiles(lower=lower, upper=upper), **more)
    config = CampaignConfig.model_construct(name="a", boundary=boundary)
    return with_slabs(config, folder, "a.yaml")


def slab(boundary, side, height=20.0, turn=0.0):
    """A file's content: a slab of one grain, moved, with a cell of its own height."""
    positions = boundary.lattice_positions(side, (0.3, 0.2, 0.1), 0.0, height)
    cell = np.zeros((3, 3))
    cell[:2, :2] = boundary.cell
    cell[2, 2] = height + 12.0
    atoms = Atoms([boundary.elements[0]] * len(positions), positions, cell=cell, pbc=True)
    atoms.rotate(turn, "z", rotate_cell=True)
    return atoms


def written(folder, boundary, turn=0.0):
    for side in ("lower", "upper"):
        write(folder / f"{side}.extxyz", slab(boundary, side, turn=turn))
    return campaign(boundary.elements[0], folder, "lower.extxyz", "upper.extxyz")


def test_grips_slab_files_name_the_boundary_that_four_indices_name():
    found = Bicrystal.build(campaign("Ti").boundary, 1.0)
    expected = HEXAGONAL["GRIP's tilt"]
    assert np.array(found.cell) == pytest.approx(np.array(expected.cell), abs=1e-6)
    assert found.atoms_per_plane == expected.atoms_per_plane == 2
    assert found.plane_spacing == pytest.approx(expected.plane_spacing, abs=1e-6)
    assert found.lower.crystal.name == "P6_3/mmc"
    assert found.nearest_neighbor == pytest.approx(expected.nearest_neighbor, abs=1e-6)
    assert (found.sigma, found.character) == (expected.sigma, expected.character)
    assert found.misorientation_deg == pytest.approx(expected.misorientation_deg, abs=1e-4)


CASES = {
    **{name: ALL[name] for name in ("W Sigma5(310)[001] tilt", "Ni Sigma3(111) twist")},
    "W twist": W_TWIST,
    "Si twist": SI_TWIST,
    "oblique": twist("fcc", 7, "smallest"),
    "hcp pyramidal": HEXAGONAL["pyramidal"],
    "hcp oblique": HEXAGONAL["twist in the smallest cell"],
}


@pytest.mark.parametrize("turn", [0.0, 33.0])
@pytest.mark.parametrize("name", CASES)
def test_slabs_written_to_files_name_the_boundary_that_they_were_cut_from(name, turn, tmp_path):
    boundary = CASES[name]
    found = Bicrystal.build(written(tmp_path, boundary, turn).boundary, 1.0)
    # A file may hold a multiple of the crystal's periods; then the smaller common cell is taken.
    ratio = boundary.area / found.area
    assert ratio == pytest.approx(round(ratio))
    assert boundary.atoms_per_plane == round(ratio) * found.atoms_per_plane
    assert found.plane_spacing == pytest.approx(boundary.plane_spacing, abs=1e-5)
    assert found.atomic_volume == pytest.approx(boundary.atomic_volume, rel=1e-5)
    assert found.misorientation_deg == pytest.approx(boundary.misorientation_deg, abs=1e-3)
    assert found.sigma == boundary.sigma
    offsets = [
        np.sort(np.array(one.layer_offsets) % one.plane_spacing)
        for one in (found.upper, boundary.upper)
    ]
    gaps = np.diff(offsets[0]) - np.diff(offsets[1])
    spacing = found.plane_spacing
    assert all(min(abs(gap), abs(abs(gap) - spacing)) < 1e-4 for gap in gaps)


def test_both_grains_of_slab_files_are_joined_in_a_box_like_those_of_a_name():
    found = Bicrystal.build(campaign("Ti").boundary, 1.0)
    expected = HEXAGONAL["GRIP's tilt"]
    frames = [Frame.build(one, (20.0, 20.0), 60.0) for one in (found, expected)]
    atoms = [frame.join((0.0, 0.0, 0.0)) for frame in frames]
    assert len(atoms[0]) == len(atoms[1])
    for low, high in ((0.0, 20.0), (40.0, 60.0)):
        heights = [np.sort(one.positions[:, 2]) for one in atoms]
        inner = [one[(one > low) & (one < high)] for one in heights]
        assert np.diff(inner[0]) == pytest.approx(np.diff(inner[1]), abs=1e-5)


def test_a_run_keeps_the_crystal_of_its_slab_files_in_its_copy_of_the_campaign(tmp_path):
    boundary = campaign("Ti").boundary
    again = BoundaryConfig.model_validate_json(boundary.model_dump_json(), strict=True)
    assert again == boundary
    assert Bicrystal.build(again, 1.0) == Bicrystal.build(boundary, 1.0)
    with pytest.raises(OrientationError, match="the files have not been read"):
        Bicrystal.build(
            boundary.model_copy(
                update={"slabs": boundary.slabs.model_copy(update={"crystal": None})}
            ),
            1.0,
        )


def shaken(atoms):
    moved = atoms.copy()
    moved.positions += np.random.default_rng(0).normal(0.0, 0.5, moved.positions.shape)
    return moved


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda atoms: None, r"lower.extxyz: cannot be read: no such file"),
        (lambda atoms: "no structure", r"lower.extxyz: cannot be read: not a format of ASE"),
        (shaken, "holds no crystal: no three translations"),
        (lambda atoms: atoms[atoms.positions[:, 2] < 5.0], "at least 8 Å are needed"),
        (lambda atoms: Atoms(atoms.symbols, atoms.positions), "has no cell of three vectors"),
        (
            lambda atoms: Atoms(["Cu"] * len(atoms), atoms.positions, cell=atoms.cell),
            "holds Cu, but boundary.element is W",
        ),
        (
            lambda atoms: Atoms(
                atoms.symbols, atoms.positions * 1.02, cell=atoms.cell.array * 1.02
            ),
            "hold different crystals",
        ),
    ],
)
def test_slab_files_that_hold_no_grains_are_refused_in_one_sentence(make, problem, tmp_path):
    write(tmp_path / "upper.extxyz", slab(W_TWIST, "upper"))
    content = make(slab(W_TWIST, "lower"))
    if isinstance(content, str):
        (tmp_path / "lower.extxyz").write_text(content)
    elif content is not None:
        write(tmp_path / "lower.extxyz", content)
    with pytest.raises(ConfigError, match=problem) as caught:
        campaign("W", tmp_path, "lower.extxyz", "upper.extxyz")
    assert str(caught.value).startswith("a.yaml: boundary.slabs")
    assert "\n" not in str(caught.value)


def test_slabs_whose_cells_do_not_fit_are_refused_with_the_strain(tmp_path):
    tilt = ALL["Cu Sigma5(210)[001] tilt"]
    write(tmp_path / "lower.extxyz", slab(tilt, "lower"))
    write(tmp_path / "upper.extxyz", slab(W_TWIST, "upper"))
    one, other = twist("fcc", 3, "smallest"), twist("fcc", 5, "rectangle", (0, 0, 1))
    for side, boundary in (("lower", one), ("upper", other)):
        write(tmp_path / f"{side}.extxyz", slab(boundary, side))
    config = campaign("Cu", tmp_path, "lower.extxyz", "upper.extxyz")
    with pytest.raises(OrientationError, match=r"boundary.max_strain: "):
        Bicrystal.build(config.boundary, 1.0)


def tin():
    """White tin: tetragonal, two atoms for each lattice point (ASE's database, 292 K)."""
    return crystal("Sn", [(0, 0, 0)], spacegroup=141, cellpar=[5.8318, 5.8318, 3.1818, 90, 90, 90])


def gallium():
    """Alpha gallium: orthorhombic, four atoms for each lattice point."""
    cell = [4.5197, 7.6633, 4.526, 90, 90, 90]
    return crystal("Ga", [(0, 0.1539, 0.0808)], spacegroup=64, cellpar=cell)


def selenium():
    """Grey selenium: trigonal and chiral, three atoms for each lattice point."""
    cell = [4.3662, 4.3662, 4.9536, 90, 90, 120]
    return crystal("Se", [(0.2254, 0, 1 / 3)], spacegroup=152, cellpar=cell)


@pytest.mark.parametrize("make", [tin, gallium, selenium])
@pytest.mark.parametrize("planes", [((1, 0, 0),) * 2, ((0, 0, 1),) * 2, ((2, 1, 1),) * 2])
def test_grains_of_any_crystal_are_those_of_the_files(make, planes, tmp_path):
    for side, plane in zip(("lower", "upper"), planes, strict=True):
        layers = surface(make(), plane, 8, vacuum=4.0)
        layers.rattle(1e-5, seed=1)
        write(tmp_path / f"{side}.extxyz", layers)
    element = make().get_chemical_symbols()[0]
    config = campaign(element, tmp_path, "lower.extxyz", "upper.extxyz")
    boundary = Bicrystal.build(config.boundary, 1.0)
    for side in ("lower", "upper"):
        atoms = read(tmp_path / f"{side}.extxyz")
        heights = atoms.positions[:, 2]
        origin = atoms.positions[heights.argmin()]
        sites = boundary.lattice_positions(side, origin, origin[2] - 3, heights.max() + 3)
        distances, _ = Neighbors(sites, boundary.cell).nearest(boundary.wrap(atoms.positions))
        assert distances.max() < 1e-3
        inside = (sites[:, 2] > origin[2] - 1e-3) & (sites[:, 2] < heights.max() + 1e-3)
        repeats = abs(np.linalg.det(atoms.cell.array[:2, :2])) / boundary.area
        assert inside.sum() * round(repeats) == len(atoms)
    assert boundary.misorientation_deg == pytest.approx(0.0, abs=1e-3)


def sheared(max_strain):
    """Simple cubic grains whose oblique cells fit with strain along y and shear only."""
    found = SlabCrystal(
        space_group="Pm-3m",
        primitive=((3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0)),
        basis=((0, 0, 0),),
        upper_origin=0,
        lower=((5, 0, 0), (1, 5, 0)),
        upper=((4, 3, 0), (-2, 5, 0)),
        sha256=("", ""),
    )
    slabs = SlabFiles(lower="", upper="", crystal=found)
    return Bicrystal.build(BoundaryConfig(element="Po", slabs=slabs, max_strain=max_strain), 1.0)


def test_oblique_cells_that_lean_differently_fit_with_a_shear_that_is_stated():
    boundary = sheared(0.1)
    xx, yy, xy = boundary.strain
    assert (xx, yy) == pytest.approx((0.0, 15.0 / 15.6 - 1))
    assert xy == pytest.approx((3.0 - 4.2) / 15.6)
    positions = boundary.lattice_positions("upper", (0, 0, 0), 0.0, 6.0)
    assert len(positions) == 2 * boundary.upper.atoms_per_plane == 2 * 26
    # Without the strain, atoms and their images in the common cell are sites of the turned lattice.
    edges = np.zeros((2, 3))
    edges[:, :2] = boundary.cell
    around = np.concatenate([positions, positions + edges[0], positions + edges[1]])
    stretch = np.array([[1 + xx, 0.0, 0.0], [xy, 1 + yy, 0.0], [0.0, 0.0, 1.0]])
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    sites = around @ np.linalg.inv(stretch) @ turn.T / 3.0
    assert np.abs(sites - np.rint(sites)).max() < 1e-9


def test_a_shear_beyond_max_strain_is_refused_with_its_size():
    with pytest.raises(OrientationError, match=r"lean differently, and a shear of 7.69e-02"):
        sheared(0.05)
