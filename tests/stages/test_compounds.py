"""A model of a compound: search, training, sampling and in-painting keep the elements of atoms."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.batches import FIT
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.learning.painter import Painter
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.training import Process, training_batches
from gcd_hpc.search.windows import Window
from gcd_hpc.seeds import generator
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.select import select
from gcd_hpc.stages.train import train
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.sites import Sites
from tests.sharing import made_once
from tests.stages.conftest import CAMPAIGNS

pytestmark = pytest.mark.lammps
SMALL = [
    "search.num_tries=8",
    "search.chunk_size=8",
    "search.md.probability=0",
    "network.width=8",
    "network.num_blocks=1",
    "training.num_steps=4",
    "training.checkpoint_every=4",
    "training.batch_size=2",
    "training.mosaics=0.5",
    "training.precision=float32",
    "sampling.num_candidates=2",
    "sampling.chunk_size=2",
    "sampling.batch_size=2",
    "sampling.num_steps=3",
    "selection.energy_window_j_m2=3",
]


@pytest.fixture(scope="module")
def compound_run(tmp_path_factory) -> Path:
    """A run of NiAl with a hardly trained model. Do not write to it: copy it."""

    def make(run_dir: Path) -> None:
        config = load_campaign(CAMPAIGNS / "nial_sigma5.yaml", SMALL)
        RunDirectory(run_dir).config.write_text(dump(config))
        prepare(run_dir, config, CAMPAIGNS)
        search_chunk(str(run_dir), 0)
        worker_child(str(run_dir)).close()
        select(str(run_dir), 1)
        train(run_dir, 1, Process(torch.device("cpu")))

    return made_once(tmp_path_factory, "compound", make)


@pytest.fixture(scope="module")
def sampler(compound_run) -> Sampler:
    return Sampler.load(compound_run, 1, "cpu")


def test_samples_hold_as_many_atoms_of_each_element_as_their_structures(compound_run, sampler):
    rows = read_part(RunDirectory(compound_run).training_set(1))
    batches, _ = training_batches(sampler.system, rows, 1)
    counts = {tuple(np.bincount(row.numbers, minlength=29)[[13, 28]]) for row in rows}
    for step in range(6):
        clean = batches.batch(FIT, step, range(2), 2).clean * batches.scale
        sums = np.rint(clean.sum(dim=(2, 3, 4)).numpy()).astype(int)  # (B, C)
        is_single = clean.shape[2:] == sampler.system.grid.shape
        for pair in sums:
            assert tuple(pair) in counts or not is_single
        # Sums of float32 voxels are whole to rounding, in mosaics too.
        assert np.abs(clean.sum(dim=(2, 3, 4)).numpy() - sums).max() < 1e-2


def test_candidates_have_the_elements_of_the_grains_beyond_the_seams(sampler):
    frame = sampler.system.frame
    for row in sampler.sample(range(2)):
        assert len(row.numbers) == row.num_atoms
        assert set(row.numbers) <= {13, 28}
        ends = frame.lower_sites(frame.bottom + 8.0)
        order = np.argsort(row.unrelaxed_positions[:, 2], kind="stable")[: len(ends.positions)]
        found = Sites(row.unrelaxed_positions[order], row.numbers[order])
        gaps = frame.bicrystal.wrap(found.positions)[:, None] - ends.positions
        nearest = np.linalg.norm(gaps, axis=2).argmin(axis=1)
        assert np.array_equal(found.numbers, ends.numbers[nearest])


def test_known_layers_of_both_elements_are_those_of_the_grains(sampler):
    drafts = [sampler.draft(index) for index in range(2)]
    arrays, num = sampler.generate(drafts), sampler.system.num_known
    for array, draft in zip(arrays, drafts, strict=True):
        perfect = draft.canvas.perfect()
        for part in (slice(None, num), slice(-num, None)):
            # Known voxels go through a division by the scale and back.
            torch.testing.assert_close(array[..., part], perfect[..., part], rtol=1e-6, atol=1e-7)


def test_atoms_outside_of_a_window_keep_places_and_elements_bit_for_bit(compound_run, sampler):
    painter = Painter.of(sampler)
    row = read_part(RunDirectory(compound_run).training_set(1))[0]
    middle = np.argmin(abs(row.positions[:, 2] - sampler.system.frame.centre))
    window = Window(row.positions[middle], 3.0, 4.0)
    sites = Sites(row.positions, row.numbers)
    painted = painter.paint(sites, window, 0.5, (1.0, 0), generator(0, 0, 0)).sites
    kept = sites.of(~window.mask(row.positions, sampler.system.frame.cell))
    assert np.array_equal(painted.positions[: len(kept.positions)], kept.positions)
    assert np.array_equal(painted.numbers[: len(kept.positions)], kept.numbers)
