"""Candidates belong to their index: neither the number of ranks nor an interruption changes a bit
of them.
"""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.campaign.directory import write_config, write_model
from gcd_hpc.config.learning import AtomicConfig, EnergyModelConfig, NetworkConfig
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.errors import ConfigError, StoreError
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.boundary import load_boundary_system, prepare
from gcd_hpc.learning.candidates import objection
from gcd_hpc.learning.energy_network import LEVELS
from gcd_hpc.learning.energy_training import train_energy_model
from gcd_hpc.learning.image_match import log_fit
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.samples import best
from gcd_hpc.stages.energy_job import rows_of
from gcd_hpc.stages.record import find_record
from gcd_hpc.stages.sample import kept_sampler, sample_task
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.projection import Pixels, noisy, projected, write_image
from gcd_hpc.structures.slab_files import read_campaign
from tests.stages.conftest import CAMPAIGNS, sample_with, train_with

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]


def candidates_of(run_dir):
    return [
        row for chunk in range(3) for row in read_part(RunDirectory(run_dir).sampled_part(1, chunk))
    ]


@pytest.fixture(scope="module")
def sampled_run(trained_run, tmp_path_factory):
    """The trained run whose candidates three ranks have made."""
    run_dir = shutil.copytree(trained_run, tmp_path_factory.mktemp("sampled") / "run")
    sample_with(3, run_dir)
    return run_dir


def test_candidates_do_not_depend_on_the_number_of_ranks(trained_run, sampled_run, tmp_path):
    one = shutil.copytree(trained_run, tmp_path / "one")
    sample_with(1, one)
    pairs = list(zip(candidates_of(one), candidates_of(sampled_run), strict=True))
    assert len(pairs) == 6
    for first, second in pairs:
        assert (first.id, first.status, first.target_n_fraction) == (
            second.id,
            second.status,
            second.target_n_fraction,
        )
        assert np.array_equal(first.unrelaxed_positions, second.unrelaxed_positions)
        assert np.array_equal(first.registry, second.registry)


@pytest.mark.slow
def test_samples_of_the_built_in_model_do_not_depend_on_the_number_of_ranks(tmp_path):
    """As a campaign of `model: builtin` samples it in round 0."""
    changes = ["search.num_tries=0", "sampling.num_candidates=8", "sampling.chunk_size=2"]
    changes += ["sampling.batch_size=2", "sampling.num_steps=3"]
    config = read_campaign(CAMPAIGNS / "quick.yaml", changes)
    assert config.model == "builtin"
    made = {}
    for num_ranks in (1, 4):
        run = RunDirectory(tmp_path / f"ranks-{num_ranks}")
        prepare(run.path, config, CAMPAIGNS)
        write_config(run, config)
        write_model(run, config, CAMPAIGNS)
        sample_with(num_ranks, run.path, 0)
        made[num_ranks] = [row for part in run.sampled_parts(0) for row in read_part(part)]
    assert [row.index for row in made[4]] == list(range(8))
    for first, second in zip(made[1], made[4], strict=True):
        assert (first.id, first.status, first.reason) == (second.id, second.status, second.reason)
        assert np.array_equal(first.unrelaxed_positions, second.unrelaxed_positions)
        assert np.array_equal(first.registry, second.registry)
    assert any(row.status == "sampled" for row in made[1])


def test_a_task_makes_the_candidates_of_the_mpi_stage_and_a_whole_chunk_of_them(trained_copy):
    by_ranks, by_tasks = (
        trained_copy("ranks", "sampling.num_candidates=5"),
        trained_copy("tasks", "sampling.num_candidates=5"),
    )
    sample_with(1, by_ranks)
    reports = [sample_task(str(by_tasks), 1, chunk) for chunk in range(3)]
    expected, found = candidates_of(by_ranks), candidates_of(by_tasks)
    assert [row.index for row in expected] == list(range(5))
    assert [row.index for row in found] == list(range(6))
    assert sum(report.num for report in reports) == 6
    for first, second in zip(expected, found, strict=False):
        assert (first.id, first.status, first.model_sha256) == (
            second.id,
            second.status,
            second.model_sha256,
        )
        assert np.array_equal(first.unrelaxed_positions, second.unrelaxed_positions)
        assert np.isnan(first.score_gb_energy_j_m2)
    assert any(np.isfinite(row.score_gb_energy_j_m2) for row in found)


def test_a_chunk_on_disk_tells_what_its_task_returned(trained_copy):
    run_dir = trained_copy("run")
    first = sample_task(str(run_dir), 1, 0)
    record = find_record(run_dir, Task("sample", 1, 0), 3)
    assert record is not None
    assert record.result == first
    assert len(first.queue) == 2
    scores = {
        row.index: row.score_gb_energy_j_m2
        for row in read_part(RunDirectory(run_dir).sampled_part(1, 0))
    }
    listed = [score for batch in first.queue for _, score in batch]
    assert sorted(listed) == pytest.approx(
        sorted(score for score in scores.values() if np.isfinite(score)), abs=1e-4
    )


def test_a_worker_keeps_the_model_of_one_round_only(trained_copy):
    run_dir = trained_copy("run")
    kept_sampler.cache_clear()
    sample_task(str(run_dir), 1, 0)
    sample_task(str(run_dir), 1, 1)
    assert (kept_sampler.cache_info().misses, kept_sampler.cache_info().hits) == (1, 1)
    assert kept_sampler.cache_info().maxsize == 1


def test_sampling_again_makes_only_the_missing_chunks_and_makes_them_the_same(
    sampled_run, tmp_path
):
    run_dir = shutil.copytree(sampled_run, tmp_path / "run")
    before = candidates_of(run_dir)
    times = [RunDirectory(run_dir).sampled_part(1, chunk).stat().st_mtime_ns for chunk in (0, 2)]
    RunDirectory(run_dir).sampled_part(1, 1).unlink()
    sample_with(1, run_dir)
    assert [
        RunDirectory(run_dir).sampled_part(1, chunk).stat().st_mtime_ns for chunk in (0, 2)
    ] == times
    for old, new in zip(before, candidates_of(run_dir), strict=True):
        assert np.array_equal(old.unrelaxed_positions, new.unrelaxed_positions)


def test_a_sampler_gives_any_candidates_as_the_campaign_makes_them(trained_copy):
    run_dir = trained_copy("run", "sampling.chunk_size=3", "sampling.num_candidates=5")
    sample_with(2, run_dir)
    files = RunDirectory(run_dir)
    expected = [row for chunk in (0, 1) for row in read_part(files.sampled_part(1, chunk))]
    sampler = Sampler.load(run_dir)
    assert [sampler.batch_of(index) for index in (1, 2, 4)] == [range(2), range(2, 3), range(3, 5)]
    for row in sampler.sample([4, 0, 2]):
        other = expected[row.index]
        assert (row.id, row.status, row.round, row.version) == (other.id, other.status, 1, 1)
        assert np.array_equal(row.unrelaxed_positions, other.unrelaxed_positions)


def test_a_run_without_a_model_is_named_when_it_is_sampled(searched_run):
    with pytest.raises(StoreError, match=r"has no trained model yet"):
        Sampler.load(searched_run)


def test_all_fractions_are_asked_for_in_turn_below_the_known_energies(trained_run):
    sampler = Sampler.load(trained_run, 1, "cpu")
    targets = [sampler.target(index) for index in range(20)]
    assert [fraction for _, fraction in targets] == [
        pytest.approx(index % 10 / 10) for index in range(20)
    ]
    assert all(energy < min(sampler.lowest.values()) + 3.0 for energy, _ in targets)
    margin = sampler.system.config.sampling.energy_margin_j_m2
    for energy, fraction in targets:
        known = sampler.lowest.get(round(fraction * 10))
        if known is not None:
            assert energy == pytest.approx(known - margin)


def test_a_damaged_model_file_is_named_and_nothing_is_sampled(trained_run, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(trained_run, run_dir)
    content = bytearray(RunDirectory(run_dir).model_file(1).read_bytes())
    content[len(content) // 2] ^= 0xFF
    RunDirectory(run_dir).model_file(1).write_bytes(content)
    line = [sys.executable, "-m", "gcd_hpc.stages.sample", str(run_dir), "1"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "model.safetensors: damaged model file" in done.stderr
    assert not RunDirectory(run_dir).sampled_part(1, 0).parent.exists()


def test_registries_come_from_the_training_set_for_their_share_of_the_candidates(searched_run):
    system = load_boundary_system(str(searched_run))
    sampling = system.config.sampling.model_copy(
        update={"bootstrap_share": 0.5, "registry_jitter": 0.0}
    )
    system = replace(system, config=system.config.model_copy(update={"sampling": sampling}))
    registries = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 0.7]])
    known = {
        "n_fraction": np.array([0.2, 0.4]),
        "gb_energy_j_m2": np.array([2.3, 2.5]),
        "registry_relaxed": registries,
    }
    sampler = Sampler(system, None, 1, known, None, torch.device("cpu"))
    drawn = np.array(
        [sampler.draw_registry(0.4, np.random.default_rng(index)) for index in range(400)]
    )
    copied = np.isclose(drawn[:, 2], 0.7)
    assert 150 < copied.sum() < 250
    # Of the lattice points that stand for one registry any may be taken; all join the grains alike.
    assert np.allclose(drawn[copied], drawn[copied][0])
    nearest = np.array(
        [sampler.draw_registry(0.9, np.random.default_rng(index)) for index in range(400)]
    )
    assert np.allclose(np.isclose(nearest[:, 2], 0.5), copied), (
        "[n] = 0.9 is nearer to 0.2 than to 0.4, for 1 is 0"
    )
    others = drawn[~copied] / [*np.diag(system.bicrystal.cell), system.bicrystal.plane_spacing]
    assert np.all((others >= 0) & (others < 1))
    assert np.allclose(others.mean(axis=0), 0.5, atol=0.1)


def test_structures_that_are_not_worth_relaxing_are_refused_with_the_reason(searched_run):
    system = load_boundary_system(str(searched_run))
    assert objection(system, 335, 2.0) == ""
    assert "closest pair 0.50 Å" in objection(system, 335, 0.5)
    assert "expected 340 less up to two planes" in objection(system, 300, 2.0)


@pytest.mark.slow
def test_the_papers_options_train_and_sample(run_copy):
    """Every choice of campaigns/w_sigma5_paper.yaml, in small."""
    run_dir = run_copy(
        "run",
        "network.patch=1",
        "voxels.scale=0.02",
        "diffusion.prediction=epsilon",
        "diffusion.schedule=linear",
        "diffusion.conditional=false",
        "decoder.kind=learned",
        "decoder.num_steps=5",
        "decoder.num_features=8",
        "training.learning_rate_schedule=plateau",
        "training.num_steps=2",
        "sampling.solver=dpm-solver-3",
        "sampling.num_candidates=2",
        "sampling.num_steps=2",
    )
    train_with(1, run_dir)
    sample_with(1, run_dir)
    rows = read_part(RunDirectory(run_dir).sampled_part(1, 0))
    assert len(rows) == 2
    assert all(np.isnan(row.target_energy_j_m2) and np.isnan(row.target_n_fraction) for row in rows)


@pytest.mark.slow
def test_repaint_trains_without_the_known_layers_and_is_given_them_when_it_samples(run_copy):
    options = [
        "diffusion.inpainting=repaint",
        "sampling.resamples=2",
        "training.num_steps=2",
        "sampling.num_candidates=4",
    ]
    run_dir = run_copy("run", *options)
    train_with(1, run_dir)
    sampler, shown = Sampler.load(run_dir, 1, "cpu"), []
    system = sampler.system
    sampler.model.network.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    drafts = [sampler.draft(index) for index in range(2)]
    arrays = sampler.generate(drafts)
    perfect = torch.stack([item.canvas.perfect() for item in drafts])
    mask = known_mask(system.config.voxels.shape, system.config.voxels.known)
    torch.testing.assert_close(arrays[..., mask], perfect[..., mask], rtol=0, atol=1e-6)
    assert len(shown) == 3 * 2  # steps times resamples
    assert all(not x[:, 1:].any() and x[:, 0].all() for x in shown)
    assert torch.equal(sampler.generate(drafts), arrays)


def test_repainted_candidates_do_not_depend_on_their_batch_and_palette_does_not_resample(
    trained_copy,
):
    def arrays_of(run_dir, indices):
        sampler = Sampler.load(run_dir, 1, "cpu")
        return sampler.generate([sampler.draft(index) for index in indices])

    palette, again = trained_copy("palette"), trained_copy("again", "sampling.resamples=9")
    assert torch.equal(arrays_of(again, [0, 1]), arrays_of(palette, [0, 1]))
    repainted = trained_copy("repainted", "diffusion.inpainting=repaint")
    together = arrays_of(repainted, [0, 1])
    assert not torch.allclose(together, arrays_of(palette, [0, 1]))
    # Another batch size rounds sums otherwise.
    torch.testing.assert_close(arrays_of(repainted, [1])[0], together[1], rtol=0, atol=1e-3)


def test_a_low_energy_is_asked_for_where_none_of_the_boundary_is_known(trained_run):
    sampler = Sampler.load(trained_run, 1, "cpu")
    unknown = replace(sampler, known={name: values[:0] for name, values in sampler.known.items()})
    energy, fraction = unknown.target(3)
    assert np.isnan(energy)
    assert fraction == 0.3
    condition = unknown._condition([unknown.draft(index) for index in range(2)])
    assert condition is not None
    assert condition[:, 0].tolist() == [-2.0, -2.0]
    assert np.isfinite(condition.numpy()).all()


def test_guided_candidates_state_what_was_asked_and_do_not_depend_on_the_call(trained_copy):
    guided = trained_copy("guided", "guidance=[{property: n_fraction, target: 0.4}]")
    sampler = Sampler.load(guided, 1, "cpu")
    rows = sampler.sample(range(2))
    assert [row.target_n_fraction for row in rows] == [0.4, 0.4]
    again = sampler.sample([1])[0]
    assert np.array_equal(again.unrelaxed_positions, rows[1].unrelaxed_positions)
    drafts = [sampler.draft(index) for index in range(2)]
    # Without strength the term is left out, and every bit is that of a campaign without the term.
    idle = trained_copy("idle", "guidance=[{property: n_fraction, target: 0.4, strength: 0}]")
    without = replace(sampler, system=Sampler.load(trained_copy("plain"), 1, "cpu").system)
    expected = without.generate(drafts)
    assert torch.equal(Sampler.load(idle, 1, "cpu").generate(drafts), expected)
    assert not torch.equal(sampler.generate(drafts), expected)


def test_candidates_guided_to_low_energies_have_lower_estimates_and_repeat(trained_copy):
    settings = EnergyModelConfig(
        network=NetworkConfig(width=4, num_levels=2, num_blocks=1, context=4),
        num_steps=20,
        batch_size=2,
        atoms=AtomicConfig(width=4, num_steps=2),
    )
    guidance = "guidance=[{property: gb_energy, target: {below_known: 1.0}, strength: 5}]"
    run = trained_copy("guided", "energy_model=energy.safetensors", guidance)
    model = train_energy_model([rows_of(run, "run")], settings, seed=0)
    model.save(RunDirectory(run).energy_model)
    sampler = Sampler.load(run, 1, "cpu")
    drafts = [sampler.draft(index) for index in range(2)]
    guided = sampler.generate(drafts)
    assert torch.equal(sampler.generate(drafts), guided)
    plain = replace(sampler, system=Sampler.load(trained_copy("plain"), 1, "cpu").system)
    system, scale = sampler.system, model.card.scale
    known, level = known_mask(system.grid.shape, system.num_known), torch.full((2,), LEVELS[-1])
    energies = [
        model(arrays / scale, level, known, system.num_known)[0]
        for arrays in (guided, plain.generate(drafts))
    ]
    assert (energies[0] < energies[1]).all()
    # A campaign without known structures has no limit to ask for.
    nothing = {name: values[:0] for name, values in sampler.known.items()}
    unknown = replace(sampler, known=nothing)
    assert not unknown._likelihoods(drafts, guided, known)


def write_image_of_grains(system, path):
    """Noisy image of two perfect grains, seen along x."""
    frame = system.frame
    pixels = Pixels((100, 41), 0.25, 0.0, frame.centre + 12.0)
    lengths = np.diag(np.asarray(system.bicrystal.cell))
    atoms = frame.join(np.array([1.0, 2.0, 0.8])).positions
    image = projected(atoms, lengths, "x", pixels, 0.8)
    write_image(path, noisy(image, 0.1, np.random.default_rng(0)))


def test_a_run_keeps_the_image_that_its_candidates_are_guided_to(trained_copy, tmp_path):
    term = "{property: image, target: {file: a.npy, axis: x, pixel_a: 0.25, blur_a: 0.8}}"
    run_dir = trained_copy("imaged", f"guidance=[{{property: n_fraction}}, {term}]")
    system = load_boundary_system(str(run_dir))
    write_image_of_grains(system, tmp_path / "a.npy")
    prepare(run_dir, system.config, tmp_path)
    (tmp_path / "a.npy").unlink()
    prepare(run_dir, system.config, tmp_path)
    sampler = Sampler.load(run_dir, 1, "cpu")
    assert sampler.image is not None
    # The perfect grains have a whole number of planes; noise and the ends leave half an atom.
    assert sampler.image.num_atoms % 10 == pytest.approx(0, abs=1.5) or (
        sampler.image.num_atoms % 10 == pytest.approx(10, abs=1.5)
    )
    rows = sampler.sample(range(2))
    allowed = {sampler.image.n_index(index) / 10 for index in range(2)}
    assert {row.target_n_fraction for row in rows} == allowed
    for row in rows:
        assert row.registry[2] == pytest.approx(0.8, abs=0.05)
    again = Sampler.load(run_dir, 1, "cpu").sample([1])[0]
    assert np.array_equal(again.unrelaxed_positions, rows[1].unrelaxed_positions)


def test_of_several_samples_a_candidate_is_the_one_that_fits_its_n_and_the_image_best(
    trained_copy, tmp_path
):
    def sampler_of(name, best_of, restarts):
        target = "{file: a.npy, axis: x, pixel_a: 0.25, blur_a: 0.8}"
        keys = f"best_of: {best_of}, restarts: {restarts}, target: {target}"
        term = f"{{property: image, {keys}}}"
        run_dir = trained_copy(name, f"guidance=[{{property: n_fraction}}, {term}]")
        system = load_boundary_system(str(run_dir))
        write_image_of_grains(system, tmp_path / "a.npy")
        prepare(run_dir, system.config, tmp_path)
        return Sampler.load(run_dir, 1, "cpu")

    sampler = sampler_of("best", 3, 0)
    drafts = [[sampler.draft(index, attempt) for index in range(2)] for attempt in range(3)]
    samples = [sampler._sampled(some) for some in drafts]
    for number, row in enumerate(sampler.sample(range(2))):
        rivals = [some[number] for some in samples]
        assert np.array_equal(row.unrelaxed_positions, best(rivals).unrelaxed_positions)
        assert len({tuple(one.row.registry) for one in rivals}) == 3
    # The first sample is that of a campaign that takes the first.
    (first, _) = sampler_of("first", 1, 0).sample(range(2))
    assert np.array_equal(first.unrelaxed_positions, samples[0][0].row.unrelaxed_positions)
    # A sample that is generated again keeps its registry; the candidate is as good at least.
    again = sampler_of("again", 3, 1)
    for number, row in enumerate(again.sample(range(2))):
        rivals = [some[number].row for some in samples]
        assert any(np.array_equal(row.registry, one.registry) for one in rivals)
        assert merit(again, row) >= merit(again, best([some[number] for some in samples]))


def merit(sampler, row):
    is_as_asked = abs(row.n_fraction - row.target_n_fraction) < 1e-6
    return row.status == "sampled", is_as_asked, log_fit(sampler.image, row.unrelaxed_positions)


def test_a_restart_keeps_the_known_layers_and_begins_from_the_sample(trained_run):
    sampler = Sampler.load(trained_run, 1, "cpu")
    drafts = [sampler.draft(index) for index in range(2)]
    arrays = sampler.generate(drafts)
    starts = [
        one.again(array.numpy(), sampler.draft(one.index, 1))
        for one, array in zip(drafts, arrays, strict=True)
    ]
    again = sampler.generate(starts)
    config = sampler.system.config.voxels
    mask = known_mask(config.shape, config.known)
    assert torch.equal(again[..., mask], arrays[..., mask])
    fresh = sampler.generate([sampler.draft(index, 1) for index in range(2)])
    assert not torch.equal(again, fresh)
    # Half of the noise remains of a sample, none of it of pure noise.
    assert (again - arrays).std() < (fresh - arrays).std()


def test_a_run_does_not_begin_without_its_image(trained_copy, tmp_path):
    term = "{property: image, target: {file: no.npy, axis: x, pixel_a: 0.25, blur_a: 0.8}}"
    run_dir = trained_copy("missing", f"guidance=[{term}]")
    config = load_campaign(RunDirectory(run_dir).config)
    with pytest.raises(ConfigError, match=r"guidance\[0\].target.file: there is no file .*no.npy"):
        prepare(run_dir, config, tmp_path)
    # So that the copy can be closed like the others.
    RunDirectory(run_dir).config.write_text(dump(config.model_copy(update={"guidance": ()})))
