"""A grain that is strained to fit: what it costs is not the boundary's."""

from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.config.campaign import BoundaryConfig, RelaxationConfig, Triad
from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.engines.strained import measure_response
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from tests.engines.conftest import eam_alloy

pytestmark = pytest.mark.lammps


@pytest.fixture(scope="module")
def copper() -> tuple[Potential, Bulk]:
    potential = eam_alloy("Cu_mishin1.eam.alloy", "Cu")
    return potential, measure_bulk(potential, "Cu", "fcc")


def boundary(upper: Triad) -> BoundaryConfig:
    """Below (001), cells with 2 % of strain at most."""
    lower = Triad(x=(1, 0, 0), y=(0, 1, 0), z=(0, 0, 1))
    return BoundaryConfig(element="Cu", lattice="fcc", lower=lower, upper=upper, max_strain=0.02)


ORIENTATIONS = {
    "along (110), a mirror plane": Triad(x=(0, 0, 1), y=(1, -1, 0), z=(1, 1, 0)),
    "along (320), which shears": Triad(x=(0, 0, 1), y=(2, -3, 0), z=(3, 2, 0)),
}


def relaxed_at(height: float, name: str, copper: tuple[Potential, Bulk], tmp_path: Path) -> Relaxed:
    potential, bulk = copper
    config = RelaxationConfig(screen=False)
    unrelaxed = Bicrystal.build(boundary(ORIENTATIONS[name]), bulk.a0)
    assert any(unrelaxed.strain)
    outer = outer_layers(config.outer_thickness, bulk.cutoff)
    response = measure_response(potential, unrelaxed, bulk, outer, tmp_path / "strained.json")
    bicrystal = unrelaxed.relaxed(response)
    frame = Frame.build(bicrystal, (27.0, height), height + 60.0)
    atoms = frame.join((0.4, 0.3, 0.2))
    with LammpsChild(potential, 60.0) as child:
        return relax_boundary(child, atoms, bicrystal, bulk, config)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if "shears" in name else ())
        for name in ORIENTATIONS
    ],
)
def test_energy_and_volume_do_not_depend_on_the_height_of_the_strained_grain(
    name: str, copper: tuple[Potential, Bulk], tmp_path: Path
):
    """Counted from the unstrained crystal, 50 Å more cost about 50 mJ/m^2 and 0.35 Å."""
    low, high = (relaxed_at(height, name, copper, tmp_path) for height in (27.0, 77.0))
    assert low.gb_energy_j_m2 > 0.3
    assert high.gb_energy_j_m2 == pytest.approx(low.gb_energy_j_m2, abs=1e-3)
    assert high.excess_volume == pytest.approx(low.excess_volume, abs=5e-3)
    assert high.strain_energy_j_m2 > low.strain_energy_j_m2 + 0.005, "stated apart"


def test_the_response_to_a_strain_is_that_of_elasticity(
    copper: tuple[Potential, Bulk], tmp_path: Path
):
    """Of Mishin's copper, C11 = 169.9, C12 = 122.6, C44 = 76.2 GPa, turned into (110): the strain
    lies along [1-10], the normal is [110]. Third-order elasticity is a few per cent at 1 %.
    """
    potential, bulk = copper
    bicrystal = Bicrystal.build(boundary(ORIENTATIONS["along (110), a mirror plane"]), bulk.a0)
    response = measure_response(potential, bicrystal, bulk, 8.0, tmp_path / "a.json")
    strain = bicrystal.strain[1]
    half, shear = (169.9 + 122.6) / 2, 76.2
    along, across = half + shear, half - shear
    assert bicrystal.strain[0] == 0.0
    assert response.normal == pytest.approx(-strain * across / along, rel=0.1)
    assert (response.shear_x, response.shear_y) == pytest.approx((0.0, 0.0), abs=1e-5)
    stiffness_ev = (along - across**2 / along) / 160.2177  # GPa to eV/Å^3
    energy = 0.5 * stiffness_ev * strain**2 * bicrystal.atomic_volume
    assert response.energy_ev == pytest.approx(energy, rel=0.1)


def test_the_response_is_measured_once_and_an_edited_answer_is_not_believed(
    copper: tuple[Potential, Bulk], tmp_path: Path
):
    potential, bulk = copper
    bicrystal = Bicrystal.build(boundary(ORIENTATIONS["along (110), a mirror plane"]), bulk.a0)
    cache = tmp_path / "strained.json"
    first = measure_response(potential, bicrystal, bulk, 8.0, cache)
    written = cache.stat().st_mtime_ns
    assert measure_response(potential, bicrystal, bulk, 8.0, cache) == first
    assert cache.stat().st_mtime_ns == written
    cache.write_text(cache.read_text().replace('energy_ev": ', 'energy_ev": 1'))
    again = measure_response(potential, bicrystal, bulk, 8.0, cache)
    np.testing.assert_allclose(again.energy_ev, first.energy_ev, rtol=1e-9)
