"""The model as a move: what lies outside of its window is the parent's, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.config.guidance import CountGuidance
from gcd_hpc.errors import ConfigError
from gcd_hpc.learning.painter import Painter
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.search.windows import Window
from gcd_hpc.seeds import generator
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.sites import Sites

pytestmark = pytest.mark.lammps
TARGET = (2.5, 3)


@pytest.fixture(scope="module")
def painter(trained_run):
    """Painter of a hardly trained model, with the default number of known layers."""
    painter = Painter.of(Sampler.load(trained_run, 1, "cpu"))
    return replace(painter, system=replace(painter.system, num_known=18))


@pytest.fixture(scope="module")
def parents(trained_run):
    """Relaxed positions of the training set, lowest boundary energy first."""
    rows = read_part(RunDirectory(trained_run).training_set(1))
    return [row.positions for row in sorted(rows, key=lambda row: row.gb_energy_j_m2)]


def window_about(painter, positions, radius=4.0):
    """Window about the atom nearest to the middle of the boundary."""
    nearest = np.argmin(abs(positions[:, 2] - painter.system.frame.centre))
    return Window(positions[nearest], radius, 6.0)


def paint(painter, positions, window, start=None, index=0):
    sites = Sites(positions, np.full(len(positions), 74))
    return painter.paint(sites, window, start, TARGET, generator(0, 0, index))


@pytest.mark.parametrize("start", [None, 0.5])
def test_atoms_outside_of_the_window_come_back_bit_for_bit(painter, parents, start):
    for index, positions in enumerate(parents[:3]):
        window = window_about(painter, positions)
        painted = paint(painter, positions, window, start, index)
        kept = positions[~window.mask(positions, painter.system.frame.cell)]
        assert np.array_equal(painted.sites.positions[: len(kept)], kept)
        # What is new lies in the window, or at most one voxel beyond it.
        fresh = painted.sites.positions[len(kept) :]
        wider = Window(window.centre, window.radius + 0.84, window.depth + 0.84)
        assert wider.mask(fresh, painter.system.frame.cell).all()


def test_known_voxels_are_those_of_the_parent_and_come_back_exactly(painter, parents):
    arrays = []

    def decoder(array, grid):
        arrays.append((array, grid))
        return Sites(np.empty((0, 3)), np.empty(0, dtype=int))

    plain = replace(painter, decoder=decoder)
    inputs = []
    handle = painter.model.network.register_forward_pre_hook(
        lambda _, given: inputs.append(given[0])
    )
    paint(plain, parents[0], window_about(painter, parents[0]))
    handle.remove()
    (array, _), scale = arrays[0], painter.model.card.units.scale
    mask = inputs[0][0, 2].bool()
    assert 0 < int((~mask).sum()) < mask.numel() / 2
    for given in inputs:
        assert torch.equal(given[0, 0][mask], inputs[0][0, 1][mask])
    assert torch.equal(array[0][mask], inputs[0][0, 1][mask] * scale)


def test_a_window_without_a_voxel_changes_nothing(painter, parents):
    window = Window(parents[0][0], 0.0, 0.0)
    painted = paint(painter, parents[0], window)
    assert np.array_equal(painted.sites.positions, parents[0])
    assert painted.net_voxels == 0


def test_without_a_window_all_between_the_known_layers_is_generated(painter, parents):
    painted = paint(painter, parents[0], None)
    grid, known = painter.system.grid, painter.system.num_known
    low = (known + 2) * grid.spacing[2]
    high = (grid.shape[2] - known - 2) * grid.spacing[2]
    rows = {row.tobytes() for row in painted.sites.positions}
    z = parents[0][:, 2]
    assert all(row.tobytes() in rows for row in parents[0][(z < low - 2.6) | (z > high + 2.6)])
    assert not any(row.tobytes() in rows for row in parents[0][(z > low) & (z < high)])


def test_the_same_call_gives_the_same_bits_and_each_stream_its_own(painter, parents):
    window = window_about(painter, parents[0])
    first, again, other = (paint(painter, parents[0], window, None, index) for index in (0, 0, 1))
    assert np.array_equal(first.sites.positions, again.sites.positions)
    assert not np.array_equal(first.sites.positions, other.sites.positions)


def test_moves_are_guided_too_and_keep_what_lies_outside_of_the_window(painter, parents):
    config = painter.system.config.model_copy(
        update={"guidance": (CountGuidance(property="n_fraction"),)}
    )
    guided = replace(painter, system=replace(painter.system, config=config))
    window = window_about(painter, parents[0])
    first, second = (paint(guided, parents[0], window).sites.positions for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, paint(painter, parents[0], window).sites.positions)
    kept = parents[0][~window.mask(parents[0], painter.system.frame.cell)]
    assert np.array_equal(first[: len(kept)], kept)


def test_the_cost_counts_evaluations_and_voxels(painter, parents):
    window, voxels = window_about(painter, parents[0]), painter.system.grid.num_voxels
    steps = painter.system.config.sampling.num_steps
    assert paint(painter, parents[0], window).net_voxels == steps * voxels
    # From lambda = 4 on, the last tenth of the way from -5 to 5 remains: one step.
    assert paint(painter, parents[0], window, 4.0).net_voxels == voxels


def test_a_larger_cell_is_painted_with_voxels_of_the_same_size(painter, parents):
    larger = painter.replicated(2, 2)
    assert larger.system.grid.spacing == pytest.approx(painter.system.grid.spacing)
    x, y = np.diag(painter.system.bicrystal.cell)
    tiled = np.concatenate([parents[0] + [i * x, j * y, 0.0] for i in (0, 1) for j in (0, 1)])
    window = window_about(larger, tiled)
    painted = paint(larger, tiled, window)
    lengths = np.diag(larger.system.frame.cell)
    kept = tiled[~window.mask(tiled, lengths)]
    assert np.array_equal(painted.sites.positions[: len(kept)], kept)
    steps = painter.system.config.sampling.num_steps
    assert painted.net_voxels == steps * 4 * painter.system.grid.num_voxels


def test_a_model_that_never_saw_known_voxels_cannot_paint(trained_copy):
    sampler = Sampler.load(trained_copy("run", "diffusion.inpainting=repaint"), 1, "cpu")
    with pytest.raises(ConfigError, match="must be palette"):
        Painter.of(sampler)
