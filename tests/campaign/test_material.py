"""The campaign of a material: its policy, its panel, and the driver with real workers."""

import shutil
import signal
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gcd_hpc.campaign.actions import Stop, Submit
from gcd_hpc.campaign.display import panel
from gcd_hpc.campaign.driver import fitted_site, run_campaign
from gcd_hpc.campaign.events import Quarantined
from gcd_hpc.campaign.material_estimate import material_estimate, remaining_material_s
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.progress import Pace, snapshot
from gcd_hpc.campaign.state import State
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError, RunDirectoryError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import Tally
from gcd_hpc.stages.table import Task, phase_name, stages_of
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from tests.campaign.conftest import make_config, make_material
from tests.campaign.histories import finished, opened, state_after
from tests.campaign.test_resume import interrupt, num_finished, results, start
from tests.processes import processes_of

SITE = resolve(SiteConfig(cores=2))
PLAN = Plan.of(make_material(), SITE)
FIRST = [f"{stage}-{chunk:05d}" for stage in ("quench", "label") for chunk in range(4)]
ROUND = ["gather", "fit", "guide", "settle", "verify"]


def verified(name: str, guided: float, unguided: float, elapsed_s: float = 1.0):
    """The end of a task of verification that found these lowest errors."""
    best = {0: guided, 1: unguided}
    made = {f"model {Task.parse(name).round:02d}": Tally(2, 1.0, best)}
    return replace_planes(finished(name, elapsed_s, best=best, sources=made))


def replace_planes(event):
    """The event without the number of atoms in a plane, which a material has not."""
    return replace(event, result=replace(event.result, atoms_per_plane=0))


def carried_out(plan: Plan, error_of=lambda round: 0.01 / round) -> tuple[list[str], Stop]:
    """Names of the tasks of a simulated campaign in their order, and how it ended."""
    first = opened(plan)
    state, events, order = State(plan), [first], []
    while True:
        event = events.pop(0)
        state.apply(event)
        for action in step(state, event):
            if isinstance(action, Stop):
                return order, action
            task = action.task
            order.append(task.name)
            if task.stage == "verify":
                events.append(verified(task.name, error_of(task.round), 0.02))
            else:
                events.append(replace_planes(finished(task.name)))


def test_a_campaign_quenches_labels_and_then_learns_and_verifies_in_each_round():
    order, stop = carried_out(PLAN)
    assert stop == Stop("rounds")
    rounds = []
    for round in ("01", "02"):
        rounds += [f"gather-{round}", f"fit-{round}"]
        rounds += [f"{s}-{round}-{c:05d}" for s in ROUND[2:] for c in range(2)]
    assert order == FIRST + rounds


def test_a_material_campaign_ends_when_a_round_reaches_the_target_error():
    order, stop = carried_out(replace(PLAN, target_error=0.01))
    assert stop == Stop("target error")
    assert order[-1] == "verify-01-00001"


def test_until_names_the_phases_of_a_material():
    phases = [phase_name(stage, round) for stage, round in PLAN.phases()]
    assert phases[:4] == ["quench", "label", "gather-01", "fit-01"]
    plan = Plan.of(make_material(), SITE, until="label")
    assert carried_out(plan)[1] == Stop("--until label")
    assert not plan.needs_launchers
    assert PLAN.needs_launchers
    assert not PLAN.needs_mpi
    with pytest.raises(LaunchError, match=r"--until search is no phase .* one of quench, label"):
        Plan.of(make_material(), SITE, until="search")


def test_tasks_that_need_one_that_was_set_aside_are_set_aside_with_it_for_the_session():
    done = [*FIRST, "gather-01", "fit-01"]
    lost = Quarantined(task=Task("guide", 1, 0), reason="a bug")
    events = [opened(PLAN), *map(finished, done), finished("guide-01-00001"), lost]
    state = state_after(events)
    assert {task.name for task in state.quarantined} == {
        f"{stage}-01-00000" for stage in ("guide", "settle", "verify")
    }
    assert step(state, lost) == [Submit(Task("settle", 1, 1))]
    # Two candidates are lost, and not two in each of three stages.
    sizes = state.plan.chunk_sizes
    assert sum(sizes.get(task.stage, 0) for task in state.quarantined) == 2
    again = opened(PLAN)
    state.apply(again)
    assert not state.quarantined
    assert step(state, again) == [Submit(Task("guide", 1, 0))]


def test_the_panel_of_a_material_shows_errors_units_and_what_each_round_improved(tmp_path):
    done = [*FIRST, "gather-01", "fit-01"]
    done += [f"{s}-01-{c:05d}" for s in ("guide", "settle") for c in range(2)]
    events = [opened(PLAN), *(replace_planes(finished(name)) for name in done)]
    state = state_after([*events, verified("verify-01-00000", 0.12, 0.31)])
    state.apply(verified("verify-01-00001", 0.104, 0.33))
    shown = snapshot(make_material(), state, tmp_path, 60.0, Pace())
    assert shown.headline() == "round 2/2, gathering the training set"
    state.apply(verified("verify-02-00000", 0.0987, 0.3095))
    shown = snapshot(make_material(), state, tmp_path, 60.0, Pace())
    console = Console(width=100, record=True, file=StringIO())
    console.print(panel(shown))
    text = console.export_text()
    # A decrease by less than 1e-3 is no improvement.
    assert "model 02 lowered guided samples from 0.1040 to 0.0987\n" in text
    assert "unguided samples" not in text.split("last improvements:")[1].split("samples  best")[0]
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "samples best spectrum error source source improvements lowest of samples" in rows
    assert "guided 0.0987 model 02 model 01 3 unguided" in rows
    assert "unguided 0.3095 model 01 model 02 1 guided" in rows
    assert "J/m^2" not in text and "[n]" not in text


@pytest.mark.parametrize(
    ("done", "headline"),
    [
        (1, "quenching melts: 1/4 tasks"),
        (5, "computing spectra of the quenches: 1/4 tasks"),
        (10, "round 1/2, sampling with and without guidance: 0/4 samples"),
        (13, "round 1/2, relaxing the samples: 2/4 samples"),
        (15, "round 1/2, computing spectra of the samples: 2/4 samples"),
    ],
)
def test_each_stage_counts_in_its_unit(tmp_path, done, headline):
    order, _ = carried_out(PLAN)
    state = state_after([opened(PLAN), *map(finished, order[:done])])
    assert snapshot(make_material(), state, tmp_path, 60.0, Pace()).headline() == headline


def test_the_remaining_time_is_that_of_the_finished_tasks_of_each_stage():
    """Expected: 100 s a stage over all rounds. Measured: 20 s a task, on two workers."""
    plan = replace(PLAN, relaxation_workers=2)
    expected = dict.fromkeys(stages_of("material"), 100.0)
    begun = opened(plan, expected_s=expected)
    assert remaining_material_s(state_after([begun]), 0.0, 0.0) is None
    done = [finished(f"quench-{c:05d}", seconds=20.0) for c in range(4)]
    # 100 s were expected and took 40: six stages of 100 s are left.
    state = state_after([begun, *done])
    assert remaining_material_s(state, 0.0, 40.0) == pytest.approx(6 * 40)
    # Half of the spectra are there: 40 s a phase were measured, of which half is left.
    state = state_after([begun, *done, *(finished(f"label-{c:05d}", seconds=20.0) for c in (0, 1))])
    assert remaining_material_s(state, 0.5, 60.0) == pytest.approx(20 + 5 * 40)
    # What is seconds of start and little work says nothing about hours of spectra.
    small = opened(plan, expected_s=expected | {"quench": 1.0})
    assert remaining_material_s(state_after([small, *done]), 0.0, 40.0) is None
    limited = state_after([replace(begun, plan=replace(plan, wall_time_s=70.0)), *done])
    assert remaining_material_s(limited, 0.0, 40.0) == 30.0


def test_the_cost_of_every_stage_is_estimated():
    stages = material_estimate(make_material(), PLAN)
    assert [stage.stage for stage in stages] == stages_of("material")
    assert all(stage.core_h > 0 for stage in stages)
    label = stages[1]
    # 4 quenches with 8 atoms each, at 3.2 s an atom.
    assert (label.num_tasks, label.num_items) == (4, 4)
    assert label.core_h == pytest.approx(4 * 8 * 3.2 / 3600)


def test_a_site_whose_pools_overlap_runs_a_material_in_phases_with_a_process_for_each_network():
    site = SiteConfig.model_validate(
        {
            "mode": "asynchronous",
            "cores": 4,
            "training": {"processes_per_node": 4},
            "sampling": {"processes_per_node": 1},
            "relaxation": {"processes_per_node": 1},
            "mpiexec": "no-such-mpi",
        }
    )
    fitted, idle = fitted_site(make_material(), site, None)
    assert (fitted.mode, fitted.training.num_workers, idle) == ("barrier", 2, "")
    assert Plan.of(make_material(), fitted).mode == "barrier"


@pytest.fixture
def complete_material(tmp_path_factory, stages) -> Path:
    """The complete toy campaign of a material, made once in a session. Copy it to write."""
    from tests.sharing import made_once

    def carry_out(folder: Path) -> None:
        run_campaign(make_material(), SiteConfig(cores=2), folder / "run", folder, **stages)

    return made_once(tmp_path_factory, "toy-material", carry_out) / "run"


@pytest.mark.mpi
def test_the_driver_runs_every_task_of_a_material_once_and_says_then_that_it_is_complete(
    tmp_path, complete_material, stages
):
    order, _ = carried_out(PLAN)
    assert num_finished(complete_material) == dict.fromkeys(order, 1)
    run_dir = shutil.copytree(complete_material, tmp_path / "run")
    again = run_campaign(make_material(), SiteConfig(cores=2), run_dir, tmp_path, **stages)
    assert (again.did_nothing, again.reason) == (True, "rounds")
    assert again.state.best[2] == {0: 0.005, 1: 0.01}
    assert processes_of(run_dir) == []


@pytest.mark.mpi
def test_a_material_continues_with_more_rounds_and_refuses_another_section(
    tmp_path, complete_material, stages
):
    run_dir = shutil.copytree(complete_material, tmp_path / "run")
    more = make_material(budget={"rounds": 3})
    outcome = run_campaign(more, SiteConfig(cores=2), run_dir, tmp_path, **stages)
    assert outcome.reason == "rounds"
    assert num_finished(run_dir)["verify-03-00001"] == 1
    other = make_material(prior={"width": 16})
    with pytest.raises(RunDirectoryError, match=r"cannot be resumed with prior\.width = 16"):
        run_campaign(other, SiteConfig(cores=2), run_dir, tmp_path, **stages)
    with pytest.raises(RunDirectoryError, match="cannot be resumed with"):
        run_campaign(make_config(), SiteConfig(cores=2), run_dir, tmp_path, **stages)


@pytest.mark.mpi
@pytest.mark.slow
def test_a_driver_of_a_material_killed_in_each_stage_loses_nothing_and_counts_nothing_twice(
    tmp_path, complete_material
):
    run_dir = tmp_path / "run"
    for stage in stages_of("material"):
        interrupt(run_dir, stage, signal.SIGKILL, "material")
    assert start(run_dir, "material").wait(timeout=150) == 0
    assert results(run_dir) == results(complete_material)
    assert num_finished(run_dir) == num_finished(complete_material)
    assert list((run_dir / "tasks").iterdir()) == []
    assert processes_of(run_dir) == []


@pytest.mark.mpi
def test_a_paused_material_goes_on_and_a_lost_part_is_made_again(tmp_path, complete_material):
    run_dir = tmp_path / "run"
    driver = interrupt(run_dir, "guide", signal.SIGTERM, "material")
    assert driver.returncode == 0
    assert (tmp_path / "driver.log").read_text().split()[-1] == "paused"
    RunDirectory(run_dir).labelled_part(1).unlink()
    assert start(run_dir, "material").wait(timeout=150) == 0
    assert results(run_dir) == results(complete_material)
    assert num_finished(run_dir)["label-00001"] == 2
