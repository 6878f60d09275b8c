"""Training and sampling on a GPU: the numbers of the CPU up to rounding, and the same ones again.

Small networks take most of their time for starting kernels, so little is learned here.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.config.loader import dump
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.decoding import load_decoder, prepare_decoder
from gcd_hpc.learning.painter import Painter
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import BoundaryTraining, Process, measured_units, training_batches
from gcd_hpc.networks.checkpoint import load
from gcd_hpc.search.windows import Window
from gcd_hpc.seeds import generator
from gcd_hpc.stages import train as training
from gcd_hpc.stages.promote import canaries_of
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.sites import Sites
from gcd_hpc.voxels.encoder import encode
from tests.stages.conftest import TRAINED, interrupted_at, sample_with, small_config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.lammps,
    # Newer Pythons warn of every fork of a process with threads.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
PLAIN = ["training.compile=false", "training.precision=float32"]


def begun(run_dir, device, num_steps):
    """A training of the first model, at its first step."""
    system = load_boundary_system(str(run_dir))
    structures = read_part(RunDirectory(run_dir).training_set(1))
    source = TrainingSource(system, structures, "run")
    fit, held = training_batches([source], measured_units([source]), 1)
    return BoundaryTraining(fit, held, Process(device), num_steps)


@pytest.fixture(scope="module")
def gpu_run(searched_run, tmp_path_factory):
    """A run whose first model was trained on the GPU. Do not write to it: copy it."""
    run_dir = tmp_path_factory.mktemp("gpu") / "run"
    shutil.copytree(searched_run, run_dir)
    RunDirectory(run_dir).config.write_text(dump(small_config(*TRAINED, *PLAIN)))
    training.train(run_dir, 1, Process(GPU))
    return run_dir


def test_steps_in_float32_have_the_losses_and_weights_of_the_cpu(run_copy):
    run_dir = run_copy("run", *PLAIN, "training.batch_size=4", "training.mosaics=0.3")
    on_cpu, on_gpu = begun(run_dir, CPU, 12), begun(run_dir, GPU, 12)
    expected, found = list(on_cpu.trainer.steps(12)), list(on_gpu.trainer.steps(12))
    # The first loss differs by the order of sums; AdamW's first steps have the size of the rate
    # whatever the gradient, so that rounding near zero grows.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    on_cpu.validate()
    on_gpu.validate()
    assert on_gpu.validation_loss == pytest.approx(on_cpu.validation_loss, rel=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("is_compiled", [False, True])
# torch's compiler warns of settings that it would like better.
@pytest.mark.filterwarnings("default")
def test_the_loss_falls_in_every_number_format_compiled_or_not(
    run_copy, monkeypatch, precision, is_compiled
):
    run_dir = run_copy(
        "run",
        f"training.precision={precision}",
        f"training.compile={'true' if is_compiled else 'false'}",
        "training.batch_size=8",
        "training.learning_rate=5e-3",
    )
    # Of three threads that torch may use, two are processes that draw batches ahead.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    state = begun(run_dir, GPU, 150)
    losses = np.array(list(state.trainer.steps(150)))
    # On the CPU: 1.1 at first and 0.7 at the end; the mean of 30 steps scatters by 0.03.
    assert losses[:10].mean() > 0.95
    assert losses[-30:].mean() < 0.85


def test_training_on_a_gpu_that_was_stopped_ends_with_the_same_model_bit_for_bit(
    gpu_run, searched_run, tmp_path, monkeypatch
):
    broken = tmp_path / "broken"
    shutil.copytree(searched_run, broken)
    RunDirectory(broken).config.write_text(dump(small_config(*TRAINED, *PLAIN)))

    with interrupted_at(14, monkeypatch):
        training.train(broken, 1, Process(GPU))
    training.train(broken, 1, Process(GPU))
    expected, found = (load(RunDirectory(run).model_file(1))[0] for run in (gpu_run, broken))
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_a_model_trained_on_a_gpu_samples_the_same_structures_on_a_cpu(gpu_run):
    on_cpu, on_gpu = (Sampler.load(gpu_run, 1, device) for device in (CPU, GPU))
    drafts = [on_cpu.draft(index) for index in range(4)]
    expected, found = on_cpu.generate(drafts), on_gpu.generate(drafts)
    voxels = on_cpu.system.config.voxels
    mask = known_mask(voxels.shape, voxels.known)
    known = torch.stack([item.canvas.perfect() for item in drafts])
    # Known voxels go through a division by the scale and back.
    torch.testing.assert_close(found[..., mask], known[..., mask], rtol=1e-6, atol=1e-7)
    # Three solver steps amplify the rounding of float32, about 1e-6, little.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    for one, other in zip(on_cpu.sample(range(4)), on_gpu.sample(range(4)), strict=True):
        assert (one.status, one.num_atoms) == (other.status, other.num_atoms)
        np.testing.assert_allclose(
            other.unrelaxed_positions, one.unrelaxed_positions, rtol=0, atol=1e-2
        )


@pytest.mark.mpi
def test_candidates_of_ranks_that_share_a_gpu_are_those_of_one_rank(gpu_run, tmp_path):
    rows = []
    for num in (1, 3):
        run_dir = tmp_path / f"ranks-{num}"
        shutil.copytree(gpu_run, run_dir)
        sample_with(num, run_dir)
        parts = [RunDirectory(run_dir).sampled_part(1, chunk) for chunk in range(3)]
        rows.append([row for part in parts for row in read_part(part)])
    assert len(rows[0]) == 6
    for one, other in zip(*rows, strict=True):
        assert (one.id, one.status) == (other.id, other.status)
        assert np.array_equal(one.unrelaxed_positions, other.unrelaxed_positions)


def test_sampler_and_painter_take_the_gpu_and_keep_what_is_known(gpu_run):
    painter = Painter.of(Sampler.load(gpu_run))
    assert painter.device.type == "cuda"
    assert {one.device.type for one in painter.model.network.parameters()} == {"cuda"}
    # With the known layers of TRAINED, the grid would end inside of the window.
    system = replace(painter.system, num_known=18)
    painter = replace(painter, system=system)
    positions = read_part(RunDirectory(gpu_run).training_set(1))[0].positions
    middle = np.argmin(abs(positions[:, 2] - system.frame.centre))
    window = Window(positions[middle], 4.0, 6.0)
    sites = Sites(positions, np.full(len(positions), 74))
    for start in (None, -1.0):
        first, again = (
            painter.paint(sites, window, start, (2.5, 3), generator(0, 0, 1)).sites.positions
            for _ in range(2)
        )
        kept = positions[~window.mask(positions, system.frame.cell)]
        assert np.array_equal(first[: len(kept)], kept)
        assert np.array_equal(first, again)


def test_canaries_of_a_gpu_are_relaxed(gpu_run):
    canaries = canaries_of(gpu_run, 1, GPU)
    worker_child(str(gpu_run)).close()
    assert canaries.num == 4
    assert canaries.median < 10


def test_repaint_and_the_solver_of_third_order_sample_on_a_gpu(run_copy):
    run_dir = run_copy(
        "run", *PLAIN, "diffusion.inpainting=repaint", "sampling.solver=dpm-solver-3"
    )
    training.train(run_dir, 1, Process(GPU))
    on_cpu, on_gpu = (Sampler.load(run_dir, 1, device) for device in (CPU, GPU))
    drafts = [on_cpu.draft(index) for index in range(2)]
    # Each of three steps is taken five times, which amplifies rounding more than palette does.
    torch.testing.assert_close(on_gpu.generate(drafts), on_cpu.generate(drafts), rtol=0, atol=1e-2)


def test_a_decoder_learned_on_a_gpu_decodes_the_voxels_of_a_structure(run_copy):
    run_dir = run_copy("run", "decoder.kind=learned", "decoder.num_steps=600")
    system = load_boundary_system(str(run_dir))
    structures = read_part(RunDirectory(run_dir).training_set(1))
    prepare_decoder(run_dir, system, structures, GPU)
    row = structures[0]
    # Half a grid's height of vacuum lies below and above: the slab is lifted from the open end.
    array = encode(row.positions, system.grid)[None]
    for device in (CPU, GPU):
        decoded = load_decoder(run_dir, system, device)(array, system.grid)
        assert len(decoded.positions) == row.num_atoms
