"""Boundaries in their smallest cells, which are rhombs: published and cross-checked energies."""

from collections.abc import Iterator

import numpy as np
import pytest

from gcd_hpc.config.campaign import (
    BoundaryConfig,
    RelaxationConfig,
    SearchConfig,
)
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.local import Origin
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.relaxation import Slab, relax_boundary
from gcd_hpc.search.tries import search_start
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import Neighbors
from tests.engines.conftest import eam_alloy

pytestmark = pytest.mark.lammps
CONFIG = RelaxationConfig()


@pytest.fixture(scope="module")
def copper() -> Potential:
    return eam_alloy("Cu_mishin1.eam.alloy", "Cu")


@pytest.fixture(scope="module")
def copper_bulk(copper: Potential) -> Bulk:
    return measure_bulk(copper, "Cu", "fcc")


@pytest.fixture(scope="module")
def copper_child(copper: Potential) -> Iterator[LammpsChild]:
    with LammpsChild(copper, 60.0) as process:
        yield process


def twist(sigma: int, bulk: Bulk, replicas: tuple[int, int] = (1, 1)) -> Frame:
    """Frame of a twist on {111} in its smallest cell."""
    config = BoundaryConfig(
        element="Cu",
        lattice="fcc",
        sigma=sigma,
        axis=(1, 1, 1),
        twist=True,
        cell="smallest",
        replicas=replicas,
    )
    return Frame.build(Bicrystal.build(config, bulk.a0), (27.0, 27.0), 66.0)


def test_the_coherent_twin_has_its_published_energy_in_a_cell_of_one_atom_a_plane(
    copper_child: LammpsChild, copper_bulk: Bulk
):
    """22 mJ/m^2 with this potential: Mishin et al., Phys. Rev. B 63 (2001) 224106.

    Registries differ by which site of the next plane is taken: one of three is the twin.
    """
    frame = twist(3, copper_bulk)
    assert frame.bicrystal.atoms_per_plane == 1
    (ax, _), (bx, by) = frame.bicrystal.cell
    energies = []
    for third in range(3):
        shift = np.array([ax + bx, by, 0.0]) * third / 3
        atoms = frame.join(shift)
        relaxed = relax_boundary(copper_child, atoms, frame.bicrystal, copper_bulk, CONFIG)
        energies.append(relaxed.gb_energy_j_m2)
    assert 0.022 <= min(energies) <= 0.023


def test_a_boundary_has_the_same_energy_in_its_rhomb_and_in_the_rectangle_of_two(
    copper_child: LammpsChild, copper_bulk: Bulk
):
    """Within 1e-6 J/m^2, relaxed to the same tight forces."""
    frame = twist(7, copper_bulk)
    atoms = frame.join((0.3, 0.4, 0.2))
    one = relax_boundary(copper_child, atoms, frame.bicrystal, copper_bulk, CONFIG)
    # The relaxed structure in the rectangle whose second edge is 2 b - a.
    both = atoms.copy()
    both.positions = one.positions
    both += both
    both.positions[len(atoms) :] += atoms.cell[1]
    both.set_cell(np.diag(atoms.cell.array) * [1, 2, 1])
    two = relax_boundary(copper_child, both, frame.bicrystal, copper_bulk, CONFIG)
    assert two.gb_energy_j_m2 == pytest.approx(one.gb_energy_j_m2, abs=1e-6)
    assert two.n_index == 0
    again = atoms.copy()
    again.positions = one.positions
    same = relax_boundary(copper_child, again, frame.bicrystal, copper_bulk, CONFIG)
    assert same.excess_volume == pytest.approx(two.excess_volume, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_try_of_the_search_ends_as_a_boundary(
    copper_child: LammpsChild, copper_bulk: Bulk, seed: int
):
    frame = twist(7, copper_bulk)
    search = SearchConfig(num_tries=1)
    atoms, registry, _ = search_start(frame, search, np.random.default_rng(seed))
    relaxed = relax_boundary(copper_child, atoms, frame.bicrystal, copper_bulk, CONFIG)
    assert 0.2 < relaxed.gb_energy_j_m2 < 2.0
    assert relaxed.n_index == len(atoms) % 7
    # The upper grain is where its registry after relaxation says, to the decay of the strains.
    after = frame.reduced(registry + relaxed.shift)
    sites = frame.upper(after, frame.centre + 12.0)
    sites = sites[sites[:, 2] < frame.centre + 18.0]
    neighbors = Neighbors(relaxed.positions, frame.bicrystal.cell)
    assert neighbors.nearest(sites)[0].max() < 0.1


def test_a_local_change_gets_the_energies_of_the_whole_slab(
    copper_child: LammpsChild, copper_bulk: Bulk
):
    """In 4 x 4 rhombs, at the corner of the cell: exact to rounding."""
    small, frame = twist(7, copper_bulk), twist(7, copper_bulk, (4, 4))
    atoms = small.join((0.3, 0.4, 0.2))
    relaxed = relax_boundary(copper_child, atoms, small.bicrystal, copper_bulk, CONFIG)
    atoms.positions = relaxed.positions
    large = atoms.repeat((4, 4, 1))
    large.set_cell(frame.cell)
    origin = Origin(large.positions.copy(), np.tile(relaxed.energies, 16))
    heights = np.abs(large.positions[:, 2] - small.centre)
    corner = int(np.argmin(np.hypot(*large.positions[:, :2].T) + heights))
    del large[corner]
    ours = relax_boundary(
        copper_child,
        large,
        frame.bicrystal,
        copper_bulk,
        CONFIG,
        finish=lambda number, energy: False,
        origin=origin,
    )
    assert ours.preset == "local"
    slab = Slab.of(large, frame.bicrystal, copper_bulk, CONFIG)
    exact = copper_child.evaluate(ours.positions, slab.box)
    np.testing.assert_allclose(ours.energies, exact.energies, atol=1e-6)
