"""The best structures of a run, relaxed with a second engine."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcd_hpc.cli import app
from gcd_hpc.errors import ConfigError, PotentialError
from gcd_hpc.store.run import open_run

SAME = """
potential:
  pair_style: eam/alloy
  pair_coeff: "* * {file} W"
  file: W_zhou.eam.alloy
relaxation:
  preset: tight
"""


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "rescored" not in path.parts
    }


def rescored(run: Path, engine: Path | str, *more: str):
    return CliRunner().invoke(app, ["rescore", str(run), "--engine", str(engine), *more])


@pytest.mark.lammps
def test_the_same_potential_as_second_engine_gives_the_same_energies_and_leaves_the_run_alone(
    small_search, tmp_path
):
    second = tmp_path / "second.yaml"
    second.write_text(SAME)
    run = small_search / "run"
    before = hashes(run)
    result = rescored(run, second, "--top", "1", "--per-n", "--json")
    assert result.exit_code == 0, result.output
    records = json.loads(result.output)
    known = open_run(run).best_per_n()
    assert [one["id"] for one in records] == [one.id for one in known]
    for one in records:
        # Relaxed again from the end of a relaxation to the same tolerances, and summed over slabs
        # whose ends were put on the lattice.
        assert one["rescored_gb_energy_j_m2"] == pytest.approx(one["gb_energy_j_m2"], abs=2e-3)
        assert one["rescored_rank"] == 1
    assert hashes(run) == before
    (file,) = (run / "rescored").glob("*.h5")
    assert file.with_suffix(".png").stat().st_size > 10_000
    # The file is read like any other results, and its faults are found.
    rows = open_run(file)
    assert sorted(one.id for one in rows) == sorted(one["id"] for one in records)
    assert {one.energies_from for one in rows} == {"atoms"}
    verified = CliRunner().invoke(app, ["verify", str(file)])
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize(
    ("engine", "error", "sentence"),
    [
        ("emtt", ConfigError, "--engine emtt: calculator.name: must be one of emt, chgnet,"),
        ("emt", PotentialError, "the calculator emt cannot compute W"),
    ],
)
def test_an_engine_that_cannot_be_used_is_refused_before_anything_is_written(
    engine, error, sentence, small_search
):
    run = small_search / "run"
    before = {*run.rglob("*")}
    result = rescored(run, engine)
    assert isinstance(result.exception, error)
    assert str(result.exception).startswith(sentence)
    assert {*run.rglob("*")} == before


def test_a_key_that_belongs_to_no_engine_is_refused(small_search, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("engine: ase\ncalculator: emt\nseed: 3\n")
    result = rescored(small_search / "run", other)
    assert isinstance(result.exception, ConfigError)
    assert "seed: must be one of engine, potential, calculator, relaxation" in str(result.exception)
