"""A search whose upper grain is strained to fit: what its files say follows from what they hold."""

from pathlib import Path

import pytest

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import dump
from gcd_hpc.learning.boundary import load_boundary_system, prepare
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.store.findings import Report
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.verify import verify_file

pytestmark = pytest.mark.lammps
CONFIG = {
    "name": "strained",
    "boundary": {
        "element": "Cu",
        "lattice": "fcc",
        "lower": {"x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1]},
        "upper": {"x": [0, 0, 1], "y": [1, -1, 0], "z": [1, 1, 0]},
        "max_strain": 0.02,
        "slab_heights": [27.0, 27.0],
    },
    "potential": {
        "pair_style": "eam/alloy",
        "pair_coeff": "* * {file} Cu",
        "file": "Cu_mishin1.eam.alloy",
    },
    "voxels": {"shape": [4, 20, 72]},
    "search": {"num_tries": 2, "chunk_size": 2, "md": {"probability": 0.0}},
    "sampling": {"num_candidates": 4},
}


def test_a_strained_search_states_its_strain_apart_and_passes_verification(tmp_path: Path):
    config, run = CampaignConfig.model_validate(CONFIG), RunDirectory(tmp_path)
    run.config.write_text(dump(config))
    prepare(tmp_path, config, tmp_path)
    search_chunk(str(tmp_path), 0)
    worker_child(str(tmp_path)).close()
    rows = read_part(run.search_part(0))
    assert [row.status for row in rows] == ["ok", "ok"]
    for row in rows:
        # 0.74 meV an atom of the strained grain, 27 Å less one cutoff of 5.5 Å high.
        assert row.strain_energy_j_m2 == pytest.approx(0.020, abs=0.003)
        assert row.strain_volume_a == pytest.approx(0.187, abs=0.02)
        assert 0.5 < row.gb_energy_j_m2 < 2.0
    report = Report()
    verify_file(run.search_part(0), report)
    assert [str(one) for outcome in report.outcomes.values() for one in outcome.findings] == []


def test_the_response_to_the_strain_is_kept_in_the_run(tmp_path: Path):
    config, run = CampaignConfig.model_validate(CONFIG), RunDirectory(tmp_path)
    run.config.write_text(dump(config))
    system = prepare(tmp_path, config, tmp_path)
    assert run.strained.is_file()
    again = load_boundary_system(str(tmp_path))
    assert again.bicrystal.upper.response == system.bicrystal.upper.response
    assert system.bicrystal.upper.response.energy_ev > 0
