"""An energy model is trained from finished runs by one command, and shown by another."""

import json

import pytest
from typer.testing import CliRunner

from gcd_hpc import cli
from gcd_hpc.learning.energy_network import EnergyModel
from gcd_hpc.stages.energy_job import rows_of

pytestmark = pytest.mark.lammps


def test_a_model_of_all_relaxed_rows_of_a_run_is_written_and_shown(small_search, tmp_path):
    run, out = small_search / "run", tmp_path / "energy.safetensors"
    command = ["model", "energy", str(run), "--out", str(out), "--num-steps", "2", "--width", "4"]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    card = EnergyModel.load(out).card
    rows = rows_of(run, "run").structures
    assert {row.status for row in rows} == {"ok"}
    assert (card.num_rows, card.config.num_steps) == (len(rows), 2)
    shown = CliRunner().invoke(cli.app, ["model", "show", str(out), "--json"])
    record = json.loads(shown.stdout)
    assert record["kind"] == "energy"
    assert record["num_rows"] == len(rows)
    assert record["cpu_s"] > 0
    shown = " ".join(CliRunner().invoke(cli.app, ["model", "show", str(out)]).stdout.split())
    assert "learned from" in shown
    assert "ranks by atoms width" in shown and "guides by voxels width" in shown
    # A file that exists is never overwritten.
    again = CliRunner().invoke(cli.app, command)
    assert again.exit_code != 0
