"""The stages of a material's campaign, each on a prepared run, without the driver."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from ase.neighborlist import neighbor_list
from scipy.integrate import trapezoid

from gcd_hpc.config.loader import dump, load_material
from gcd_hpc.config.material import MaterialSelectionConfig
from gcd_hpc.errors import StoreError, TrainingError
from gcd_hpc.learning.material import load_material_system, prepare
from gcd_hpc.learning.material_labels import normalized_rows
from gcd_hpc.learning.training import Process
from gcd_hpc.spectra.align import ShiftedTarget
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.table_file import read_labelled
from gcd_hpc.spectra.target import write_target
from gcd_hpc.stages.material_fit import fit
from gcd_hpc.stages.material_gather import gather, selected
from gcd_hpc.stages.material_guide import guide, kept_prior, kept_property
from gcd_hpc.stages.material_label import label
from gcd_hpc.stages.material_quench import quench
from gcd_hpc.stages.material_settle import settle
from gcd_hpc.stages.material_verify import spectrum_error, verify
from gcd_hpc.stages.record import find_record, record_of
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.training_loop import Paused
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from tests.material import (
    ENERGIES_EV,
    REACH_A,
    SMALL,
    Distances,
    spectrum_of,
    write_target_of,
)

pytestmark = pytest.mark.lammps


def prepared(folder: Path, *overrides: str) -> str:
    """A prepared run of the small campaign in a folder."""
    write_target_of(folder / "target.csv", 3.5)
    (folder / "m.yaml").write_text(SMALL)
    config = load_material(folder / "m.yaml", overrides)
    run = RunDirectory(folder / "run")
    run.path.mkdir()
    run.config.write_text(dump(config))
    prepare(run.path, config, folder)
    return str(run.path)


def begin_run(run_dir: str) -> None:
    """The stages before the first round."""
    for chunk in range(load_material_system(run_dir).config.num_quench_chunks):
        quench(run_dir, 0, chunk)
        label(run_dir, 0, chunk)


def one_round(run_dir: str, round: int) -> None:
    gather(run_dir, round, -1)
    fit(Path(run_dir), round, Process(torch.device("cpu")))
    for stage in (guide, settle, verify):
        for chunk in range(load_material_system(run_dir).config.num_sample_chunks):
            stage(run_dir, round, chunk)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> str:
    """A campaign of two rounds."""
    run_dir = prepared(tmp_path_factory.mktemp("material"))
    begin_run(run_dir)
    one_round(run_dir, 1)
    one_round(run_dir, 2)
    return run_dir


def rows_of(run_dir: str, round: int) -> list[Candidate]:
    return [row for part in RunDirectory(run_dir).relaxed_parts(round) for row in read_part(part)]


def test_quenches_are_relaxed_at_their_densities(run_dir):
    rows = [row for part in RunDirectory(run_dir).quenched_parts() for row in read_part(part)]
    assert [row.id for row in rows] == [f"quench-00-{index:06d}" for index in range(4)]
    assert {row.status for row in rows} == {"ok"}
    assert [row.density_g_cm3 for row in rows] == pytest.approx([2.0, 2.0, 3.0, 3.0])
    for row in rows:
        assert -8.0 < row.energy_ev_atom < -5.0  # diamond by this potential has -7.37 eV
        assert row.energy_ev_atom == pytest.approx(row.energies_ev.mean())


def test_labels_are_the_engine_s_and_their_groups_are_the_densities(run_dir):
    labelled = read_labelled(RunDirectory(run_dir).labelled_part(0))
    names = [atoms.info["name"] for atoms in labelled.structures]
    assert names == ["2 g per cm3/quench-00-000000", "2 g per cm3/quench-00-000001"]
    assert len(labelled.table) == 24
    row = 7
    atoms = labelled.structures[labelled.table.structure[row]]
    expected = Distances().spectrum(atoms, int(labelled.table.atom[row])).values
    assert np.array_equal(labelled.table.values[row], expected)


def test_every_product_keeps_the_record_of_its_task(run_dir):
    tasks = [Task("quench", 0, 1), Task("label", 0, 1), Task("gather", 2), Task("fit", 2)]
    tasks += [Task(stage, 2, 0) for stage in ("guide", "settle", "verify")]
    for task in tasks:
        record = find_record(Path(run_dir), task, 1)
        assert record is not None
        assert record.task == task


def test_the_losses_of_both_networks_are_kept_from_the_first_to_the_last_step(run_dir):
    prior, network = (
        json.loads(path.read_text())
        for path in (
            RunDirectory(run_dir).training_progress(2),
            RunDirectory(run_dir).property_losses(2),
        )
    )
    assert prior["history_steps"] == 60
    for course in (prior["history"], network["history"]):
        assert [row[0] for row in course] == list(range(1, 61))
        assert all(0 < row[1] < 5 for row in course)
    assert prior["loss"] == prior["history"][-1][1]


def test_a_guided_sample_and_its_unguided_twin_begin_with_the_same_random_numbers(run_dir):
    parts = RunDirectory(run_dir).sampled_parts(1)
    rows = [row for part in parts for row in read_part(part)]
    assert [row.guided for row in rows] == ["guided"] * 3 + ["unguided"] * 2
    system = load_material_system(run_dir)
    half = np.array(system.lengths) / 2

    def between(first: Candidate, second: Candidate) -> float:
        """Mean distance of atoms of the same number, periodic."""
        shift = first.unrelaxed_positions - second.unrelaxed_positions
        return float(np.linalg.norm((shift + half) % (2 * half) - half, axis=1).mean())

    assert between(rows[0], rows[3]) < 0.5 * between(rows[0], rows[1])
    assert between(rows[0], rows[3]) > 0


def test_samples_do_not_depend_on_the_chunks(run_dir, tmp_path):
    """Up to the rounding of sums, whose order follows from the batch."""
    system = load_material_system(run_dir)
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    sampling = system.config.sampling.model_copy(update={"chunk_size": 1})
    config = system.config.model_copy(update={"sampling": sampling})
    RunDirectory(copy).config.write_text(dump(config))
    guide(str(copy), 1, 4)
    (alone,) = read_part(RunDirectory(copy).sampled_part(1, 4))
    (together,) = read_part(RunDirectory(run_dir).sampled_part(1, 2))
    assert alone.id == together.id
    assert np.allclose(alone.unrelaxed_positions, together.unrelaxed_positions, atol=1e-4)


def test_candidates_are_relaxed_and_judged_by_the_engine(run_dir):
    for round in (1, 2):
        rows = rows_of(run_dir, round)
        assert [row.index for row in rows] == list(range(5))
        sound = [row for row in rows if row.status == "ok"]
        assert sound
        for row in sound:
            assert row.density_g_cm3 == pytest.approx(2.5)
            assert row.num_labelled == 6
            assert row.spectrum_error > 0
            assert row.spectrum_error_se > 0
            assert row.predicted_error > 0
        for row in rows:
            assert row.status == "ok" or row.reason


def test_all_atoms_give_the_error_that_follows_from_the_distances_alone(run_dir, tmp_path):
    """The stand-in's spectrum of a structure is known without the table, the network or a row."""
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(run_dir, run.path)
    config = load_material_system(run_dir).config
    labelling = config.labelling.model_copy(update={"atoms_per_candidate": 32})
    run.config.write_text(dump(config.model_copy(update={"labelling": labelling})))
    run.verified_spectra(1, 0).unlink()
    run.relaxed_part(1, 0).unlink()
    result = verify(str(run.path), 1, 0)
    target = load_material_system(run_dir).target.values[0]
    found = []
    for row in read_part(run.relaxed_part(1, 0)):
        if row.status != "ok":
            continue
        atoms = Atoms("C32", row.positions, cell=row.cell, pbc=True)
        centre, distances = neighbor_list("id", atoms, REACH_A)
        spectra = np.array([spectrum_of(distances[centre == atom]) for atom in range(32)])
        levels = trapezoid(spectra, ENERGIES_EV, axis=1) / np.ptp(ENERGIES_EV)
        mean = (spectra / levels[:, None]).mean(axis=0)
        expected = np.sqrt(np.square(mean - target).mean())
        # Positions are float64 in the part, and sums are of another order.
        assert row.spectrum_error == pytest.approx(expected, rel=1e-9)
        assert row.spectrum_error_se == 0.0
        found.append(row.spectrum_error)
    assert found
    assert result.best == {0: min(found)}


def test_the_second_round_learns_from_the_best_candidates_and_all_spectra(run_dir):
    run = RunDirectory(run_dir)
    learned = read_part(run.training_set(2))
    best = sorted(
        (row for row in rows_of(run_dir, 1) if row.status == "ok"),
        key=lambda row: row.spectrum_error,
    )
    assert [row.id for row in learned[4:]] == [row.id for row in best[:2]]
    card = kept_property(run_dir, 2).card
    assert card.groups == ("2 g per cm3", "3 g per cm3", "round 01")
    num_verified = sum(row.num_labelled for row in rows_of(run_dir, 1))
    assert card.training["num_labels"] == 48 + num_verified


@pytest.mark.slow
def test_the_same_tasks_give_the_same_products_bit_for_bit(run_dir, tmp_path):
    again = prepared(tmp_path)
    begin_run(again)
    one_round(again, 1)
    assert kept_prior(again, 1)[1] == kept_prior(run_dir, 1)[1]
    for one, other in zip(rows_of(run_dir, 1), rows_of(again, 1), strict=True):
        assert np.array_equal(one.positions, other.positions, equal_nan=True)
        assert np.array_equal(one.spectrum_error, other.spectrum_error, equal_nan=True)


def test_a_finished_network_is_kept_when_the_training_of_a_round_goes_on(run_dir, tmp_path):
    """Killed between the networks: the particle model is missing, and comes out as it was."""
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(run_dir, run.path)
    before = kept_prior(run_dir, 1)[1]
    written = run.property_model(1).stat().st_mtime_ns
    run.model_file(1).unlink()
    fit(run.path, 1, Process(torch.device("cpu")))
    assert run.property_model(1).stat().st_mtime_ns == written
    kept_prior.cache_clear()
    assert kept_prior(str(run.path), 1)[1] == before


def test_a_request_to_pause_ends_the_training_of_a_round(run_dir, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(run_dir, run.path)
    run.model_file(1).unlink()
    run.pause.touch()
    with pytest.raises(Paused):
        fit(run.path, 1, Process(torch.device("cpu")))
    assert not run.model_file(1).exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_each_of_two_processes_that_train_a_network_sees_a_request_to_pause(
    run_dir, tmp_path, rank
):
    """They meet only at the end, which a paused one does not reach."""
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(run_dir, run.path)
    run.model_file(1).unlink()
    run.property_model(1).unlink()
    run.pause.touch()
    with pytest.raises(Paused):
        fit(run.path, 1, Process(torch.device("cpu"), rank, world=2))


def test_a_round_learns_from_what_there_is_where_a_verification_was_set_aside(run_dir, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(run_dir, run.path)
    run.relaxed_part(1, 0).unlink()
    run.verified_spectra(1, 0).unlink()
    for path in (run.training_set(2), run.model_file(2), run.property_model(2)):
        path.unlink()
    gather(str(run.path), 2, -1)
    fit(run.path, 2, Process(torch.device("cpu")))
    assert run.property_model(2).exists()
    assert run.model_file(2).exists()


def test_atoms_on_which_the_engine_fails_are_recorded_and_gone_over(tmp_path):
    run_dir = prepared(tmp_path, "labelling.engine=tests.material:Failing")
    begin_run(run_dir)
    one_round(run_dir, 1)
    run = RunDirectory(run_dir)
    table = read_labelled(run.labelled_part(0)).table
    failed = table.rows(~table.is_ok)
    assert len(failed) > 0
    assert set(failed.reason) == {"this atom is a third one"}
    assert (failed.atom % 3 == 0).all()
    result = record_of(run.labelled_part(0), Task("label", 0, 0)).result
    assert result.failed == len(failed)
    sound = [row for row in rows_of(run_dir, 1) if row.status == "ok"]
    tables = [read_labelled(run.verified_spectra(1, chunk)).table for chunk in range(3)]
    assert sum(row.num_labelled for row in sound) == sum(one.is_ok.sum() for one in tables)
    assert 0 < sum(row.num_labelled for row in sound) < 6 * len(sound)


def test_an_engine_that_fails_on_all_atoms_ends_the_training_with_its_reason(tmp_path):
    run_dir = prepared(tmp_path, "labelling.engine=tests.material:Broken")
    begin_run(run_dir)
    gather(run_dir, 1, -1)
    with pytest.raises(TrainingError, match=r"no atom has a spectrum \(the licence has ended\)"):
        fit(Path(run_dir), 1, Process(torch.device("cpu")))


@pytest.mark.slow
def test_a_round_runs_with_feff10(tmp_path):
    """A minute, for about 35 atoms of small cells."""
    pytest.importorskip("feff10", reason="FEFF10 (the extra spectra) is not installed")
    energies = np.arange(271.0, 311.0, 0.5)
    edge = 1.0 / (1.0 + np.exp(-(energies - 285.0)))
    write_target(tmp_path / "edge.csv", MeasuredSpectrum(energies, edge, "C", "K"))
    run_dir = prepared(
        tmp_path,
        *("labelling.engine=feff10", "target.file=edge.csv", "quench.num_per_density=1"),
        *("labelling.atoms_per_structure=8", "labelling.atoms_per_candidate=4"),
        *("quench.chunk_size=1", "sampling.num_guided=2"),
    )
    begin_run(run_dir)
    one_round(run_dir, 1)
    run = RunDirectory(run_dir)
    tables = [read_labelled(run.labelled_part(chunk)).table for chunk in range(2)]
    assert all(one.engine == "feff10" for one in tables)
    assert sum(one.is_ok.sum() for one in tables) >= 12
    sound = [row for row in rows_of(run_dir, 1) if row.status == "ok"]
    assert sound
    # Spectra of one edge and a step at it: far from each other, yet of one mean level.
    assert all(0.02 < row.spectrum_error < 1.0 for row in sound)


def test_given_structures_are_relaxed_and_labelled_in_the_place_of_quenches(tmp_path):
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:32]
    frames = [
        Atoms("C32", 1.65 * grid + rng.normal(0, 0.1, (32, 3)), cell=[6.6] * 3, pbc=True)
        for _ in range(3)
    ]
    frames[0].info["group"] = frames[1].info["group"] = "run a"
    write(tmp_path / "given.extxyz", frames)
    run_dir = prepared(tmp_path, "quench=null", "structures={file: given.extxyz, num_tasks: 2}")
    begin_run(run_dir)
    run = RunDirectory(run_dir)
    ids = [[row.id for row in read_part(part)] for part in run.quenched_parts()]
    assert ids == [["given-00-000000", "given-00-000002"], ["given-00-000001"]]
    names = [atoms.info["name"] for atoms in read_labelled(run.labelled_part(0)).structures]
    assert names == ["run a/given-00-000000", "given-00-000002/given-00-000002"]


def test_a_training_set_of_nothing_is_refused(tmp_path):
    run_dir = prepared(tmp_path, "relaxation.min_distance_a=5")
    assert quench(run_dir, 0, 0).failed == 2
    (row, _) = read_part(RunDirectory(run_dir).quenched_part(0))
    assert "nearer than relaxation.min_distance_a, 5 Å" in row.reason
    assert label(run_dir, 0, 0).num == 0
    with pytest.raises(StoreError, match="no first structure could be relaxed"):
        gather(run_dir, 1, -1)


# Without a run.


def test_the_error_of_all_atoms_is_exact_and_certain():
    rng = np.random.default_rng(0)
    spectra, predicted = rng.uniform(0.5, 1.5, (2, 7, 11))
    target = ShiftedTarget(np.zeros(1), rng.uniform(0.5, 1.5, (1, 11)))
    found = spectrum_error(predicted, np.arange(7), spectra, target)
    exact = np.sqrt(np.square(spectra.mean(axis=0) - target.values[0]).mean())
    assert found.error == pytest.approx(exact, rel=1e-12)
    assert found.standard_error == 0.0


def test_the_mean_by_the_engine_does_not_lean_on_the_network():
    """Over all choices of atoms the estimate has the engine's mean, whatever the network says."""
    rng = np.random.default_rng(1)
    spectra, predicted = rng.uniform(0.5, 1.5, (2, 5, 3))
    estimates = [
        predicted.mean(axis=0) + (spectra - predicted)[list(chosen)].mean(axis=0)
        for chosen in itertools.combinations(range(5), 2)
    ]
    assert np.mean(estimates, axis=0) == pytest.approx(spectra.mean(axis=0), rel=1e-12)
    # The error is that of such an estimate.
    chosen = np.array([0, 1])
    target = ShiftedTarget(np.zeros(1), np.ones((1, 3)))
    found = spectrum_error(predicted, chosen, spectra[chosen], target)
    assert found.error == pytest.approx(np.sqrt(np.square(estimates[0] - 1.0).mean()), rel=1e-12)


def test_the_standard_error_is_the_scatter_over_choices_of_atoms():
    """100 atoms far from the target, where the RMS difference is nearly linear in the mean."""
    rng = np.random.default_rng(2)
    spectra = 2.0 + 0.3 * rng.standard_normal((100, 20))
    predicted = np.full((100, 20), 1.5)
    target = ShiftedTarget(np.zeros(1), np.ones((1, 20)))
    found = []
    for _ in range(400):
        atoms = rng.choice(100, 10, replace=False)
        found.append(spectrum_error(predicted, atoms, spectra[atoms], target))
    scatter = np.std([one.error for one in found])
    # The mean of 400 estimates is known to a few percent.
    assert np.mean([one.standard_error for one in found]) == pytest.approx(scatter, rel=0.12)


def test_candidates_are_selected_by_their_error_within_the_energy_window(run_dir):
    (row, *_) = (row for row in rows_of(run_dir, 1) if row.status == "ok")
    facts = {"a": (0.3, -7.0), "b": (0.1, -6.0), "c": (0.2, -6.9), "d": (0.4, -6.8)}
    rows = [
        replace(row, id=name, spectrum_error=error, energy_ev_atom=energy)
        for name, (error, energy) in facts.items()
    ]
    rows.append(replace(row, id="e", status="failed", spectrum_error=0.0))
    selection = MaterialSelectionConfig(num_candidates=2, max_energy_ev_atom=0.5)
    assert [row.id for row in selected(rows, selection, -7.2)] == ["c", "a"]
    # Where all lie far above the first structures, the particle model learns from none of them.
    assert selected(rows, selection, -8.0) == []


def test_normalised_rows_keep_their_shape_without_rows():
    assert normalized_rows(np.empty((0, 41)), ENERGIES_EV).shape == (0, 41)
