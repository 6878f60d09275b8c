"""The crystal under the potential: found to the last digit that matters, measured once."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines.bulk import Bulk, BulkRecord, measure_bulk
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.errors import PotentialError, RunDirectoryError

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
    potential: Potential, bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "run" / "bulk.json"
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk
    monkeypatch.setattr("gcd_hpc.engines.bulk.Child", None)  # a second start would fail
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk
    assert [file.name for file in cache.parent.iterdir()] == ["bulk.json"]
    assert cache.stat().st_mode & 0o777 == 0o666 & ~_umask(), "colleagues may read it"


def _umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("-8.75", "-8.76"),
        lambda text: text.replace('"W"', '"V"'),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: '{"sha256": "x"}',
        lambda text: "[" * 100_000,
    ],
)
def test_an_edited_or_damaged_cache_is_refused(
    change: Callable[[str], str], potential: Potential, bulk: Bulk, tmp_path: Path
):
    cache = tmp_path / "bulk.json"
    BulkRecord(potential.sha256, "W", "bcc", None, bulk).write(cache)
    cache.write_text(change(cache.read_text()))
    with pytest.raises(
        RunDirectoryError, match="edited or damaged; remove it and the same command"
    ):
        measure_bulk(potential, "W", "bcc", cache=cache)
    cache.unlink()
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk


def test_a_cache_of_another_potential_or_of_an_older_version_is_measured_anew(
    potential: Potential, bulk: Bulk, tmp_path: Path
):
    cache = tmp_path / "bulk.json"
    BulkRecord("0" * 64, "W", "bcc", None, replace(bulk, a0=1.0)).write(cache)
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk
    old = {f"{potential.sha256} W bcc measured": asdict(replace(bulk, a0=1.0))}
    cache.write_text(json.dumps(old))
    assert measure_bulk(potential, "W", "bcc", cache=cache) == bulk


def test_what_lammps_says_about_a_bad_potential_is_passed_on(potential: Potential):
    with pytest.raises(PotentialError, match="Unrecognized pair style 'eam/aloy'"):
        measure_bulk(replace(potential, pair_style="eam/aloy"), "W", "bcc")


def test_a_crystal_that_the_potential_does_not_hold_together_is_an_error(potential: Potential):
    repulsive = replace(potential, pair_style="born 6.0", pair_coeff=("* * 1.0 0.5 2.0 0.0 0.0",))
    with pytest.raises(PotentialError, match="no stable bcc crystal"):
        measure_bulk(repulsive, "W", "bcc")


def _found(element: str, pair_style: str, *pair_coeff: str, commands: tuple[str, ...] = ()):
    config = PotentialConfig(pair_style=pair_style, pair_coeff=pair_coeff, commands=commands)
    return find_potential(config, element, Path())


@pytest.mark.parametrize(
    ("element", "number", "name", "a0"),
    # Thompson et al. (2015) give 3.316 Å, Wood and Thompson (2017) 3.1803 Å.
    [("Ta", 73, "Ta06A", 3.316), ("W", 74, "W_2940_2017_2", 3.1803)],
)
def test_a_potential_of_two_pair_coeff_commands_has_its_published_lattice_constant(
    element: str, number: int, name: str, a0: float
):
    potential = _found(
        element,
        "hybrid/overlay zbl 4.0 4.8 snap",
        f"1 1 zbl {number} {number}",
        f"* * snap {name}.snapcoeff {name}.snapparam {element}",
    )
    assert measure_bulk(potential, element, "bcc").a0 == pytest.approx(a0, abs=5e-4)


@pytest.mark.parametrize("cutoff", [4.8, 5.8, 6.5])
def test_the_lattice_constant_is_that_of_zero_pressure_though_the_energy_has_steps(cutoff: float):
    """The pair potential ends abruptly; the sums over its shells are done here once more."""
    potential = _found("Cu", f"morse {cutoff}", "* * 0.3429 1.3588 2.866")
    found = measure_bulk(potential, "Cu", "fcc")
    distances = np.linalg.norm(_fcc_neighbours(), axis=1)

    def energy(a: float) -> float:
        r = distances[distances * a < cutoff] * a
        rise = np.exp(-1.3588 * (r - 2.866))
        return float(0.5 * 0.3429 * np.sum(rise**2 - 2 * rise))

    assert found.cohesive_ev == pytest.approx(energy(found.a0), abs=1e-9)
    near = found.a0 + np.array([-1e-3, 0.0, 1e-3])
    assert np.argmin([energy(a) for a in near]) == 1


def _fcc_neighbours() -> np.ndarray:
    cells = np.indices((9, 9, 9)).reshape(3, -1).T - 4  # (729, 3)
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = (cells[:, None] + sites).reshape(-1, 3)
    return positions[np.linalg.norm(positions, axis=1) > 0]


@pytest.mark.parametrize(
    ("element", "style", "line"),
    [
        ("Cu", "morse 5.2", "* * 0.3429 1.3588 2.866"),
        ("Cu", "morse 4.4", "* * 0.3429 1.3588 2.866"),
        ("Ar", "lj/cut 7.4", "* * 0.0104 3.4"),
    ],
)
def test_a_crystal_whose_energy_is_lowest_at_a_step_is_refused(element: str, style: str, line: str):
    with pytest.raises(PotentialError, match="the potential ends abruptly; use a potential that"):
        measure_bulk(_found(element, style, line), element, "fcc")


def test_further_commands_reach_lammps():
    """Shifted to zero at its end, the same potential has a crystal without pressure."""
    shifted = _found("Ar", "lj/cut 6.2", "* * 0.0104 3.4", commands=("pair_modify shift yes",))
    assert measure_bulk(shifted, "Ar", "fcc").a0 == pytest.approx(5.3498, abs=1e-3)


def test_messages_of_any_bytes_are_passed_on(tmp_path: Path):
    (tmp_path / "binary.pot").write_bytes(b"\n\xff\xfe\x00\xbc\x1b[31m 1 2 3\n" * 9)
    config = PotentialConfig(pair_style="eam", pair_coeff="* * binary.pot")
    with pytest.raises(PotentialError, match=r"binary\.pot") as refused:
        measure_bulk(find_potential(config, "Cu", tmp_path), "Cu", "fcc")
    assert str(refused.value).isprintable()


def test_hcp_titanium_relaxes_to_the_constants_that_grip_published():
    config = PotentialConfig(
        pair_style="meam/spline", pair_coeff="* * {file} Ti", file="Ti.meam.spline"
    )
    potential = find_potential(config, ("Ti",), Path())
    found = measure_bulk(potential, "Ti", "hcp")
    # Published to four decimals.
    assert (found.a0, found.c0) == pytest.approx((2.9305, 4.6783), abs=5e-5)
    assert found.cohesive_ev == pytest.approx(-4.8312, abs=5e-5)
    given = measure_bulk(potential, "Ti", "hcp", found.a0)
    assert given.c0 == pytest.approx(found.c0, abs=1e-5)
