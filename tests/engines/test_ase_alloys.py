"""Compounds with an ASE calculator: EMT as engine against total energies of EMT by hand."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_numbers, chemical_symbols

from gcd_hpc.config.campaign import BoundaryConfig, RelaxationConfig
from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.box import box_around, cell_of
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.calculators import AseCalculator, find_calculator
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.lattices import conventional_cell

COMPOUNDS = {"l12": ("Cu", "Au"), "b2": ("Pd", "Al")}
MU = {
    "l12": {},
    # PdAl has a higher energy than its elements in EMT.
    "b2": {"Al": -3.3},
}
NEAR = {"Cu": 3.59, "Au": 4.055, "Pd": 3.88, "Al": 3.995}
"""Lattice constants of fcc in EMT to within 0.1 %, Å."""
SHARES = {"l12": (3, 1), "b2": (1, 1)}


class Compound:
    """A compound in EMT, as the engine has it."""

    def __init__(self, lattice: str) -> None:
        self.lattice = lattice
        self.elements = COMPOUNDS[lattice]
        self.engine: AseCalculator = find_calculator(
            CalculatorConfig(name="emt"), self.elements, lattice, Path()
        )
        self.bulk: Bulk = measure_bulk(self.engine, self.elements, lattice, mu=MU[lattice])
        assert self.bulk.chemistry is not None
        self.mu_ev: Mapping[str, float] = dict(
            zip(self.elements, self.bulk.chemistry.mu_ev, strict=True)
        )
        boundary = BoundaryConfig(
            elements=self.elements, lattice=lattice, sigma=5, axis=(0, 0, 1), plane=(2, 1, 0)
        )
        self.bicrystal = Bicrystal.build(boundary, self.bulk.a0)
        self.frame = Frame.build(self.bicrystal, (24.0, 24.0), 62.0)


@pytest.fixture(scope="module", params=[pytest.param("b2", marks=pytest.mark.slow), "l12"])
def compound(request: pytest.FixtureRequest) -> Compound:
    return Compound(request.param)


@pytest.fixture(scope="module")
def child(compound: Compound) -> Iterator[Child]:
    with Child(compound.engine, 120.0) as process:
        yield process


def by_hand(atoms: Atoms) -> float:
    """Total energy relative to free atoms, by EMT without this package, eV."""
    copy = atoms.copy()
    copy.calc = EMT()
    return float(copy.get_potential_energy()) - sum(free_atom(one) for one in atoms.symbols)


def free_atom(element: str) -> float:
    atom = Atoms(element, cell=[20.0] * 3, pbc=True)
    atom.calc = EMT()
    return float(atom.get_potential_energy())


def lowest(make, near: float) -> float:
    """Lowest energy per atom of a crystal by its lattice constant, from a parabola, eV."""
    trial = near * np.array([0.999, 1.0, 1.001])
    cells = [make(a) for a in trial]
    fit = np.polynomial.Polynomial.fit(trial, [by_hand(one) / len(one) for one in cells], 2)
    (best,) = fit.deriv().roots()
    return float(fit(best))


def in_box(positions: np.ndarray, symbols: list[str], cell: np.ndarray) -> Atoms:
    box = box_around(positions, cell)
    return Atoms(symbols, positions - box[0], cell=cell_of(box), pbc=(True, True, False))


def test_the_crystal_has_the_energies_of_emt_by_hand(compound: Compound):
    bulk_, chemistry = compound.bulk, compound.bulk.chemistry
    assert chemistry is not None
    crystal = conventional_cell(compound.lattice, compound.elements, bulk_.a0)
    assert bulk_.cohesive_ev == pytest.approx(by_hand(crystal) / len(crystal), abs=1e-9)
    best = lowest(
        lambda a: conventional_cell(compound.lattice, compound.elements, a), near=bulk_.a0
    )
    assert bulk_.cohesive_ev == pytest.approx(best, abs=1e-6)
    large = crystal.repeat(2)
    large.calc = EMT()
    each = large.get_potential_energies()
    for element, site_ev in zip(compound.elements, chemistry.site_ev, strict=True):
        own = each[large.symbols == element] - free_atom(element)
        np.testing.assert_allclose(own, site_ev, atol=1e-9)


def test_chemical_potentials_add_up_to_the_energy_of_a_formula_unit(compound: Compound):
    chemistry = compound.bulk.chemistry
    assert chemistry is not None
    shares = np.array(SHARES[compound.lattice])
    formula_ev = compound.bulk.cohesive_ev * shares.sum()
    for mu in (chemistry.site_ev, chemistry.mu_ev, chemistry.rich_ev, chemistry.poor_ev):
        assert float(shares @ np.array(mu)) == pytest.approx(formula_ev, abs=1e-9)
    for element, energy in MU[compound.lattice].items():
        assert compound.mu_ev[element] == energy


def test_the_limits_of_chemical_potentials_are_the_pure_elements_of_emt_by_hand(
    compound: Compound,
):
    chemistry = compound.bulk.chemistry
    assert chemistry is not None
    first, second = (
        lowest(lambda a, one=element: bulk(one, "fcc", a=a), NEAR[element])
        for element in compound.elements
    )
    # The lowest of several crystals, and fcc is not always the lowest of EMT: 5 meV at most.
    assert first - 5e-3 < chemistry.rich_ev[0] < first + 1e-6
    assert second - 5e-3 < chemistry.poor_ev[1] < second + 1e-6


def test_the_reach_of_a_compound_s_surface_is_within_the_range_of_the_calculator(
    compound: Compound,
):
    # Although the energies of its elements differ from their mean everywhere.
    assert 4.0 < compound.bulk.cutoff < 7.0


@pytest.mark.parametrize("compound", ["l12"], indirect=True)
@pytest.mark.parametrize("change", ["antisite", pytest.param("vacancy", marks=pytest.mark.slow)])
def test_the_boundary_energy_is_that_of_total_energies_by_hand(
    change: str, compound: Compound, child: Child
):
    """Only L1_2 is tried: in EMT, NiPt of the CsCl structure is soft to a strain, which fills the
    slabs, and atoms of PdAl there reach energies that no crystal has.

    A slab of the lower grain alone has the same two surfaces as the bicrystal, so that they
    cancel: E_gb A = E - E_grain - sum over the elements of mu (N - N_grain).
    """
    first, second = compound.elements
    atoms = compound.frame.join((0.0, 0.0, 0.4))
    heights = np.abs(atoms.positions[:, 2] - compound.frame.centre)
    place = int(np.argmin(np.where(atoms.symbols == first, heights, np.inf)))
    if change == "antisite":
        atoms.numbers[place] = atomic_numbers[second]
    if change == "vacancy":
        del atoms[place]
    config = RelaxationConfig(preset="tight", screen=False)
    result = relax_boundary(child, atoms, compound.bicrystal, compound.bulk, config)
    assert result.energies_from == "atoms"
    cell = np.array(compound.bicrystal.cell)
    relaxed = in_box(result.positions, list(atoms.symbols), cell)
    spacing = compound.bicrystal.plane_spacing
    sites, numbers = compound.bicrystal.lattice_sites(
        "lower", (0.0, 0.0, 0.0), 0.0, np.ceil(40.0 / spacing) * spacing
    )
    grain = in_box(sites, [chemical_symbols[one] for one in numbers], cell)
    excess_ev = by_hand(relaxed) - by_hand(grain)
    for element in compound.elements:
        num = int((relaxed.symbols == element).sum()) - int((grain.symbols == element).sum())
        excess_ev -= num * compound.mu_ev[element]
    expected = excess_ev / compound.bicrystal.area * J_PER_M2
    # Atoms next to a surface feel what moves below them: up to 0.5 mJ/m^2 in slabs of 21 Å.
    assert result.gb_energy_j_m2 == pytest.approx(expected, abs=3e-4)
    assert 0.1 < result.gb_energy_j_m2 < 4.0
