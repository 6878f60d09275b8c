"""The crystal under the potential: found to the last digit that matters, measured once."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.errors import PotentialError

pytestmark = pytest.mark.lammps


def test_tungsten_has_the_known_lattice_constant_energy_and_cutoff(bulk: Bulk):
    assert bulk.a0 == pytest.approx(3.164849, abs=1e-6)
    assert bulk.cohesive_ev == pytest.approx(-8.759994, abs=1e-6)
    assert bulk.cutoff == pytest.approx(7.8925)


def test_a_given_lattice_constant_is_kept(potential: Potential, bulk: Bulk):
    strained = measure_bulk(potential, "W", "bcc", a0=3.2)
    assert strained.a0 == 3.2
    assert strained.cohesive_ev > bulk.cohesive_ev + 1e-3


def test_the_second_measurement_is_read_from_the_cache(
    potential: Potential, bulk: Bulk, tmp_path: Path
):
    cache = tmp_path / "run" / "bulk.json"
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk
    started = time.perf_counter()
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk
    assert time.perf_counter() - started < 0.1, "no LAMMPS starts as quickly as that"
    assert [file.name for file in cache.parent.iterdir()] == ["bulk.json"]


def test_a_damaged_cache_is_measured_anew(potential: Potential, bulk: Bulk, tmp_path: Path):
    (tmp_path / "bulk.json").write_text('{"half": ')
    assert measure_bulk(potential, "W", "bcc", cache=tmp_path / "bulk.json") == bulk


def test_what_lammps_says_about_a_bad_potential_is_passed_on(potential: Potential):
    with pytest.raises(PotentialError, match="Unrecognized pair style 'eam/aloy'"):
        measure_bulk(replace(potential, pair_style="eam/aloy"), "W", "bcc")


def test_a_crystal_that_the_potential_does_not_hold_together_is_an_error(potential: Potential):
    repulsive = replace(potential, pair_style="born 6.0", pair_coeff="* * 1.0 0.5 2.0 0.0 0.0")
    with pytest.raises(PotentialError, match="no stable bcc crystal"):
        measure_bulk(repulsive, "W", "bcc")
