"""Measurements of the phases of a small search: what is computed, kept and resumed."""

import shutil

import pytest

from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.phases.measuring import Results, measure, measured
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.phases.systems import total_energy

pytestmark = pytest.mark.lammps


@pytest.fixture
def run(tmp_path, small_search):
    """A copy of a search of six tries."""
    return open_run(shutil.copytree(small_search / "run", tmp_path / "run"))


@pytest.fixture
def phases(run):
    return find_phases(run)[:3]


def results_of(measurements):
    return {name: record.results for name, record in measurements.records.items()}


def test_results_do_not_depend_on_the_number_of_workers(run, phases):
    steps = []
    one = measure(run, phases, "a", {}, total_energy, 1, lambda *args: steps.append(args[:2]))
    two = measure(run, phases, "b", {}, total_energy, 2)
    assert results_of(one) == results_of(two)
    assert list(one.records) == [phase.name for phase in phases]
    assert steps == [(number, len(phases)) for number in range(len(phases) + 1)]
    energies = phases[0].representative.energies_ev
    assert one.records[phases[0].name].results["total_ev"] == pytest.approx(energies.sum())


def test_what_was_measured_is_read_and_other_settings_are_measured_anew(run, phases):
    first = measure(run, phases, "a", {"factor": 1}, total_energy)

    def never(subject, settings):
        raise AssertionError(f"{subject.phase} was measured again")

    assert measure(run, phases, "a", {"factor": 1}, never) == first
    assert measured(run, phases[0], "a") == first.records[phases[0].name]
    other = measure(run, phases[:1], "a", {"factor": 2}, total_energy)
    ratio = (found.records[phases[0].name].results["total_ev"] for found in (other, first))
    assert next(ratio) == 2 * next(ratio)


def test_a_failure_of_one_phase_is_told_and_the_others_are_kept(run, phases):
    def second_fails(subject, settings):
        if subject.phase == phases[1].name:
            raise SimulationError("it is no minimum")
        return total_energy(subject, settings)

    found = measure(run, phases, "a", {}, second_fails)
    assert found.failures == {phases[1].name: "it is no minimum"}
    assert list(found.records) == [phases[0].name, phases[2].name]


def test_a_killed_measurement_finds_its_intermediate_results_and_removes_them(run, phases):
    def is_killed(subject, settings):
        subject.folder.mkdir(parents=True)
        (subject.folder / "half").write_text("done")
        raise KeyboardInterrupt

    def goes_on(subject, settings):
        assert (subject.folder / "half").read_text() == "done"
        return Results({"whole": 1})

    with pytest.raises(KeyboardInterrupt):
        measure(run, phases[:1], "a", {}, is_killed)
    assert measured(run, phases[0], "a") is None
    measure(run, phases[:1], "a", {}, goes_on)
    folder = RunDirectory(run.path).measured("a", phases[0].file_name).parent
    assert [path.name for path in folder.iterdir()] == [f"{phases[0].file_name}.json"]
