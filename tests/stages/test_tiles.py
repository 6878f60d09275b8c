"""The structures of a smaller cell as the first tries of a search in a larger one."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.config.loader import dump
from gcd_hpc.errors import ConfigError
from gcd_hpc.learning.boundary import BoundarySystem, prepare
from gcd_hpc.learning.tiles import TILE, keep_tiles, tiles_of
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.stages.conftest import CAMPAIGNS, small_config

pytestmark = pytest.mark.lammps
LARGER = (
    "boundary.replicas=[2, 1]",
    "boundary.slab_heights=[27.5, 30]",
    "voxels={shape: auto}",
    "search.tiles_per_n=1",
)
"""The cell twice as large, between slabs of other heights."""


def larger(tmp_path: Path, tiles_of: Path, *overrides: str) -> tuple[BoundarySystem, RunDirectory]:
    """A prepared run in the larger cell, without its tiles."""
    config = small_config(*LARGER, f"search.tiles_of=['{tiles_of}']", *overrides)
    run = RunDirectory(tmp_path / "larger")
    run.path.mkdir()
    run.config.write_text(dump(config))
    return prepare(run.path, config, CAMPAIGNS), run


def test_the_lowest_structures_of_a_small_cell_begin_the_search_in_a_larger_one(
    searched_run, tmp_path
):
    """Each keeps its energy within 1 mJ/m^2, or relaxes to a lower one, and its [n]."""
    small = open_run(searched_run).best_per_n()
    system, run = larger(tmp_path, searched_run)
    keep_tiles(system, run, tmp_path)
    search_chunk(str(run.path), 0)
    worker_child(str(run.path)).close()
    rows = read_part(run.search_part(0))
    tiles = [row for row in rows if row.move == TILE]
    assert len(rows) == 12
    assert [row.id for row in rows] == [f"search-{index:06d}" for index in range(12)]
    assert len(tiles) == len(tiles_of(system, run.path)) >= len(small) - 1
    parents = {f"{searched_run}:{one.id}": one for one in small}
    for row in tiles:
        parent = parents[row.parents]
        assert row.status == "ok"
        assert row.gb_energy_j_m2 <= parent.gb_energy_j_m2 + 1e-3
        assert row.n_fraction == pytest.approx(parent.n_fraction, abs=1e-9)
    assert not any(row.parents for row in rows if row.move != TILE)


def test_the_tiles_of_a_run_are_taken_once_and_then_read_from_the_run_alone(searched_run, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(searched_run, source)
    system, run = larger(tmp_path, source)
    keep_tiles(system, run, tmp_path)
    before = run.tiles.read_bytes()
    shutil.rmtree(source)
    keep_tiles(system, run, tmp_path)
    assert run.tiles.read_bytes() == before
    assert all(np.isfinite(row.unrelaxed_positions).all() for row in tiles_of(system, run.path))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["search.tiles_of=[nowhere]"], "there is no run or file nowhere"),
        (["boundary.upper={x: [2, 1, 0], y: [-1, 2, 0], z: [0, 0, 1]}",
          "boundary.lower={x: [2, -1, 0], y: [1, 2, 0], z: [0, 0, 1]}"], "of another boundary"),
        (["search.num_tries=2"], "must be at least the number of structures"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_tiled_are_refused_with_the_key(
    searched_run, tmp_path, overrides, told
):
    system, run = larger(tmp_path, searched_run, *overrides)
    with pytest.raises(ConfigError, match=told):
        keep_tiles(system, run, tmp_path)
    assert not run.tiles.exists()
