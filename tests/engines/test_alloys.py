"""Boundary energies of compounds and dilute alloys, against total energies and substitutions."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from gcd_hpc.config.campaign import BoundaryConfig, RelaxationConfig, Triad
from gcd_hpc.engines.bulk import Bulk, BulkRecord, measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import composition_energies, surplus
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.frame import Frame
from tests.engines.conftest import eam_alloy

pytestmark = pytest.mark.lammps

ELEMENTS = ("Ni", "Al")
NI, AL = 28, 13
CONFIG = RelaxationConfig(screen=False)


@pytest.fixture(scope="module")
def nial() -> Potential:
    return eam_alloy("NiAlH_jea.eam.alloy", *ELEMENTS)


@pytest.fixture(scope="module")
def bulk(nial: Potential) -> Bulk:
    return measure_bulk(nial, ELEMENTS, "b2")


@pytest.fixture(scope="module")
def frame(bulk: Bulk) -> Frame:
    boundary = BoundaryConfig(
        elements=ELEMENTS, lattice="b2", sigma=5, axis=(0, 0, 1), plane=(2, 1, 0), replicas=(2, 1)
    )
    return Frame.build(Bicrystal.build(boundary, bulk.a0), (25.0, 25.0), 70.0)


@pytest.fixture(scope="module")
def child(nial: Potential):
    with LammpsChild(nial, 60.0) as child:
        yield child


def relaxed(child: LammpsChild, atoms: Atoms, frame: Frame, bulk: Bulk) -> Relaxed:
    return relax_boundary(child, atoms, frame.bicrystal, bulk, CONFIG)


def middle_atom(atoms: Atoms, frame: Frame, number: int) -> int:
    """The atom of an element that is nearest to the boundary."""
    distances = np.where(atoms.numbers == number, np.abs(atoms.positions[:, 2] - frame.centre), 99)
    return int(np.argmin(distances))


def test_chemical_potentials_add_up_and_end_at_the_pure_elements(nial: Potential, bulk: Bulk):
    chemistry = bulk.chemistry
    assert chemistry is not None
    for mu in (chemistry.site_ev, chemistry.mu_ev, chemistry.rich_ev, chemistry.poor_ev):
        assert sum(mu) == pytest.approx(2 * bulk.cohesive_ev, abs=1e-10)
    pure = eam_alloy("NiAlH_jea.eam.alloy", "Ni")
    assert chemistry.rich_ev[0] == pytest.approx(measure_bulk(pure, "Ni", "fcc").cohesive_ev)
    # Energy of formation of NiAl by this potential; a compound forms only if it is negative.
    assert chemistry.poor_ev[0] < chemistry.mu_ev[0] < chemistry.rich_ev[0]


def test_a_given_chemical_potential_fixes_the_other_one(nial: Potential, bulk: Bulk):
    given = measure_bulk(nial, ELEMENTS, "b2", bulk.a0, mu={"Al": -3.5})
    assert given.chemistry is not None
    assert given.chemistry.mu_ev == pytest.approx((2 * bulk.cohesive_ev + 3.5, -3.5))


def test_a_measured_compound_is_read_back_as_it_was(nial: Potential, bulk: Bulk, tmp_path: Path):
    record = BulkRecord(nial.sha256, "Ni Al", "b2", None, bulk)
    record.write(tmp_path / "bulk.json")
    assert BulkRecord.read(tmp_path / "bulk.json") == record


def test_a_boundary_between_equal_grains_of_a_compound_costs_nothing(
    child: LammpsChild, bulk: Bulk
):
    triad = Triad(x=(1, 0, 0), y=(0, 1, 0), z=(0, 0, 1))
    boundary = BoundaryConfig(
        elements=ELEMENTS, lattice="b2", lower=triad, upper=triad, replicas=(2, 2)
    )
    crystal = Frame.build(Bicrystal.build(boundary, bulk.a0), (25.0, 25.0), 70.0)
    result = relaxed(child, crystal.join((0.0, 0.0, 0.0)), crystal, bulk)
    assert result.gb_energy_j_m2 == pytest.approx(0.0, abs=1e-6)


def test_energy_changes_by_the_total_energy_and_the_chemical_potentials_of_the_atoms_exchanged(
    child: LammpsChild, frame: Frame, bulk: Bulk
):
    """The slab's total energy counts its surfaces too, which a change at the boundary leaves."""
    perfect = frame.join((0.0, 0.0, 0.3))
    assert bulk.chemistry is not None
    mu_ni, mu_al = bulk.chemistry.mu_ev
    changed, place = perfect.copy(), middle_atom(perfect, frame, NI)
    changed.numbers[place] = AL
    exchanged_ev = mu_al - mu_ni
    before, after = (relaxed(child, one, frame, bulk) for one in (perfect, changed))
    gained_ev = float(after.energies.sum() - before.energies.sum()) - exchanged_ev
    difference = after.gb_energy_j_m2 - before.gb_energy_j_m2
    # Atoms at the surfaces move by the minimiser's tolerance.
    assert difference == pytest.approx(gained_ev / frame.bicrystal.area * J_PER_M2, abs=2e-4)
    assert surplus(frame.bicrystal, changed.numbers, (NI, AL)) == "Al+2"
    own, rich, poor = after.composition_energies_j_m2
    assert own == pytest.approx((rich + poor) / 2), "the default is the middle of both limits"
    assert before.composition_energies_j_m2 == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_whole_planes_at_the_ends_change_neither_surplus_nor_energy_of_the_composition(
    frame: Frame, bulk: Bulk
):
    longer = Frame.build(frame.bicrystal, (31.0, 28.0), 80.0)
    for one in (frame, longer):
        atoms = one.join((0.0, 0.0, 0.3))
        del atoms[middle_atom(atoms, one, NI)]
        assert surplus(frame.bicrystal, atoms.numbers, (NI, AL)) == "Al+1"
        found = composition_energies(bulk.chemistry, frame.bicrystal, atoms.numbers)
        if one is frame:
            expected = found
    assert found == pytest.approx(expected)


def test_a_nickel_atom_in_copper_has_the_energy_of_its_substitution_by_hand():
    potential = eam_alloy("CuNi.eam.alloy", "Cu", "Ni")
    bulk = measure_bulk(potential, ("Cu", "Ni"), "fcc")
    boundary = BoundaryConfig(
        elements=("Cu", "Ni"),
        lattice="fcc",
        sigma=5,
        axis=(0, 0, 1),
        plane=(2, 1, 0),
        replicas=(2, 1),
    )
    frame = Frame.build(Bicrystal.build(boundary, bulk.a0), (27.0, 27.0), 72.0)
    clean = frame.join((0.0, 0.0, 0.3))
    assert bulk.chemistry is not None
    mu_cu, mu_ni = bulk.chemistry.mu_ev
    with LammpsChild(potential, 60.0) as child:
        before = relaxed(child, clean, frame, bulk)
        start = replace_positions(clean, before)
        heights = np.abs(start.positions[:, 2] - frame.centre)
        for place in np.argsort(heights, kind="stable")[:4:2]:
            changed = start.copy()
            changed.numbers[place] = NI
            after = relaxed(child, changed, frame, bulk)
            total_ev = float(after.energies.sum() - before.energies.sum()) - (mu_ni - mu_cu)
            difference = after.gb_energy_j_m2 - before.gb_energy_j_m2
            assert difference == pytest.approx(total_ev / frame.bicrystal.area * J_PER_M2, abs=2e-4)
        # In the crystal a nickel atom costs nothing: that is the zero of its chemical potential.
        inner = int(np.argmin(np.abs(heights - 11.0)))
        changed = start.copy()
        changed.numbers[inner] = NI
        after = relaxed(child, changed, frame, bulk)
        segregated = (after.gb_energy_j_m2 - before.gb_energy_j_m2) * frame.bicrystal.area
        assert segregated / J_PER_M2 == pytest.approx(0.0, abs=0.02)


def replace_positions(atoms: Atoms, result: Relaxed) -> Atoms:
    moved = atoms.copy()
    moved.positions = result.positions
    return moved
