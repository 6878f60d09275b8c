"""Kills whatever belongs to a campaign at random moments, resumes each time, and compares with a
campaign that nobody disturbed. The victim "all" stands for a machine that is suspended: every
process of the campaign is stopped at once, and goes on after a while.

    python -m tests.chaos --kills 50 [--seed 0] [--run-dir DIR] [--set KEY=VALUE] [--victims
    driver,rank,all] [--suspend-s 75] [--undisturbed DIR]

The same seed draws the same victims, signals and delays; what they hit depends on the machine.
Prints a line for each kill and a table; exits with 1 if anything differed, was lost, was counted
twice or outlived its campaign. Run directories of failures are kept.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from gcd_hpc.campaign.events import Finished
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import Candidate
from gcd_hpc.workers.reaper import descendants
from tests.campaign.histories import read_events
from tests.processes import command_of, send, suspend

ROOT = Path(__file__).parents[1]
CAMPAIGN = "campaigns/smoke.yaml"
VICTIMS = {
    # What tells a process of the kind by its command line; the first that fits counts. Only
    # descendants of the driver are looked at.
    "child": "gcd_hpc.engines.lammps_worker",
    "trainer": "gcd_hpc.stages.train",
    "rank": "gcd_hpc.stages.sample",
    "interchange": "interchange",
    "manager": "gcd_hpc.workers.pool_process --",
    "worker": "multiprocessing.forkserver",
}
SUSPENDED = "all"
KINDS = ("driver", *VICTIMS, SUSPENDED)
MIN_DELAY_S, MAX_DELAY_S = 0.5, 12.0
"""After the start of a driver or the last kill."""
STAGE_DELAY_S = 3.0
"""Half of the kills wait for the next stage to begin and then for no longer than this, or nothing
but the search would be hit.
"""
PATIENCE_S = 400.0
"""A campaign that nobody disturbs for so long and that is not complete hangs."""


@dataclass(frozen=True)
class Kill:
    """What was drawn for one kill: kinds in the order of preference, for not all of them live at
    any moment.
    """

    kinds: tuple[str, ...]
    pick: float
    signal: signal.Signals
    at_next_stage: bool
    delay_s: float

    @classmethod
    def draw(cls, seed: int, number: int, victims: Sequence[str]) -> "Kill":
        rng = random.Random(f"{seed} {number}")
        kinds = tuple(rng.sample(victims, len(victims)))
        at_next_stage = rng.random() < 0.5
        delay_s = (
            rng.uniform(0.0, STAGE_DELAY_S)
            if at_next_stage
            else rng.uniform(MIN_DELAY_S, MAX_DELAY_S)
        )
        return cls(
            kinds,
            rng.random(),
            rng.choice([signal.SIGKILL, signal.SIGTERM]),
            at_next_stage,
            delay_s,
        )


@dataclass
class Campaign:
    """One run directory and the driver at work in it."""

    run_dir: Path
    overrides: Sequence[str]
    driver: psutil.Popen | None = None
    asked_to_end: bool = False
    """The driver was sent a signal since it was started."""

    @property
    def log(self) -> Path:
        return self.run_dir.with_name(f"{self.run_dir.name}.log")

    def start(self) -> None:
        """The command of the user."""
        line = [
            sys.executable,
            "-m",
            "gcd_hpc.cli",
            "campaign",
            CAMPAIGN,
            "--run-dir",
            str(self.run_dir),
        ]
        line += [word for override in self.overrides for word in ("--set", override)]
        # To a file: a pipe would be held open by whatever outlives a killed driver.
        with open(self.log, "ab") as log:
            self.driver = psutil.Popen(
                line, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.asked_to_end = False

    def state(self) -> State | None:
        return read_state(self.run_dir)

    def stage(self) -> str:
        """The first phase that is not complete: ``train-01``."""
        state = self.state()
        if (
            self.driver is None
            or state is None
            or self.driver.pid not in {pid for pid, _ in state.drivers.values()}
        ):
            return "starting"
        open_phases = (
            f"{stage}-{version:02d}"
            for stage, version in state.plan.phases()
            if not state.is_complete(stage, version)
        )
        return next(open_phases, "report")

    def processes(self) -> list[psutil.Process]:
        """Everything that its drivers started and that still lives."""
        state = self.state()
        return descendants(state.drivers) if state is not None else []

    def victims(self) -> dict[str, list[psutil.Process]]:
        """Living processes by kind."""
        assert self.driver is not None
        found: dict[str, list[psutil.Process]] = {"driver": [self.driver]}
        for process in self.processes():
            words = command_of(process)
            kind = next((kind for kind, mark in VICTIMS.items() if mark in words), None)
            if kind is not None:
                found.setdefault(kind, []).append(process)
        return found

    def end(self) -> None:
        """Leave nothing behind."""
        processes = [
            *([self.driver] if self.driver else []),
            *(self.processes() if self.run_dir.exists() else []),
        ]
        for process in processes:
            send(process, signal.SIGKILL)


@dataclass
class Tally:
    """What was killed, and what went wrong."""

    kills: Counter = field(default_factory=Counter)
    """By kind, signal and stage."""
    failures: list[str] = field(default_factory=list)

    def count(
        self, campaign: Campaign, struck: tuple[str, str, str], number: int, seconds: float
    ) -> None:
        self.kills[struck] += 1
        kind, name, stage = struck
        print(
            f"{seconds:7.1f} s  {number:3d}  {campaign.run_dir.name}  {kind:11s} {name}  {stage}",
            flush=True,
        )

    def fail(self, campaign: Campaign, sentence: str) -> None:
        self.failures.append(f"{campaign.run_dir.name}: {sentence}")
        print(f"FAILURE {self.failures[-1]}", flush=True)

    def table(self) -> str:
        """Kills by victim and stage; rounds of a stage count together."""
        by_place: Counter = Counter()
        for (kind, _, stage), num in self.kills.items():
            by_place[kind, stage.split("-")[0]] += num
        stages = list(dict.fromkeys(stage for _, stage in by_place))
        lines = [
            "| victim | " + " | ".join(stages) + " | all |",
            "|---|" + "--:|" * (len(stages) + 1),
        ]
        for kind in [kind for kind in KINDS if any(kind == one for one, _ in by_place)]:
            counts = [by_place[kind, stage] for stage in stages]
            lines.append(
                f"| {kind} | " + " | ".join(str(num or "") for num in [*counts, sum(counts)]) + " |"
            )
        totals = [
            sum(num for (_, one), num in by_place.items() if one == stage) for stage in stages
        ]
        return "\n".join(
            [*lines, "| all | " + " | ".join(str(num) for num in [*totals, sum(totals)]) + " |"]
        )


def candidates(run_dir: Path) -> dict[str, Candidate]:
    """What was found, by id.

    Raises:
        AssertionError: if a candidate is there twice.
    """
    run = open_run(run_dir)
    ids = run.columns(["id"])["id"].tolist()
    assert len(set(ids)) == len(ids), (
        f"twice: {[name for name, num in Counter(ids).items() if num > 1]}"
    )
    return {row.id: row for row in run}


def finished_tasks(run_dir: Path) -> Counter:
    return Counter(event.task for event in read_events(run_dir) if isinstance(event, Finished))


def check(campaign: Campaign, undisturbed: Path, tally: Tally) -> None:
    """Compare a complete campaign with the undisturbed one."""
    left = [f"{process.pid} {command_of(process)[:90]}" for process in campaign.processes()]
    if left:
        tally.fail(campaign, f"expected no process to be left, got {left}")
    tasks, expected_tasks = finished_tasks(campaign.run_dir), finished_tasks(undisturbed)
    if tasks != expected_tasks:
        apart = (tasks - expected_tasks) + (expected_tasks - tasks)
        tally.fail(
            campaign,
            f"expected each task to be finished once, got too many or too few of {dict(apart)}",
        )
    try:
        found = candidates(campaign.run_dir)
    except AssertionError as error:
        tally.fail(campaign, str(error))
        return
    expected = candidates(undisturbed)
    if found.keys() != expected.keys():
        tally.fail(
            campaign,
            "expected the same candidates, got these on one side only:"
            f" {sorted(found.keys() ^ expected.keys())}",
        )
    differing = [
        name for name in found.keys() & expected.keys() if not same(found[name], expected[name])
    ]
    if differing:
        tally.fail(
            campaign, f"expected the same numbers bit for bit, got others for {sorted(differing)}"
        )


def same(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are equal in all but their times."""
    arrays = ("unrelaxed_positions", "positions", "energies_ev")
    words = ("status", "failure", "model_sha256", "move", "parents")
    return all(getattr(one, name) == getattr(other, name) for name in words) and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in arrays
    )


def strike(campaign: Campaign, drawn: Kill, suspend_s: float) -> tuple[str, str, str] | None:
    """Kill one process of the first drawn kind that lives, or suspend all.

    Returns:
        Kind, signal and stage; None if nothing of a drawn kind lived.
    """
    stage, living = campaign.stage(), campaign.victims()
    for kind in drawn.kinds:
        if kind == SUSPENDED:
            suspend(campaign.driver, campaign.processes, suspend_s)
            return kind, signal.SIGSTOP.name, stage
        if kind in living and send(living[kind][int(drawn.pick * len(living[kind]))], drawn.signal):
            campaign.asked_to_end |= kind == "driver"
            return kind, drawn.signal.name, stage
    return None


def ended_well(campaign: Campaign, code: int) -> bool:
    """A driver may end by itself with 0, or by the signal that it was sent before it could handle
    it.
    """
    return code == 0 or (campaign.asked_to_end and code in (-signal.SIGKILL, -signal.SIGTERM))


def wait(campaign: Campaign, seconds: float) -> int | None:
    """Exit code of the driver, or None if it still runs."""
    assert campaign.driver is not None
    try:
        return campaign.driver.wait(timeout=seconds)
    except psutil.TimeoutExpired:
        return None


def wait_for_moment(campaign: Campaign, drawn: Kill) -> int | None:
    """The same until the moment of a kill."""
    deadline, before = time.monotonic() + PATIENCE_S, "starting"
    while drawn.at_next_stage and time.monotonic() < deadline:
        code, now = wait(campaign, 0.2), campaign.stage()
        if code is not None:
            return code
        if before != "starting" and now != before:
            break
        before = now
    return wait(campaign, drawn.delay_s)


def disturb(
    campaign: Campaign, numbers: range, asked: argparse.Namespace, tally: Tally, started: float
) -> int:
    """Carry one campaign out, killing on the way. Returns how many kills it took."""
    campaign.start()
    done = errors = 0
    while True:
        drawn = (
            Kill.draw(asked.seed, numbers.start + done, asked.victims)
            if done < len(numbers)
            else None
        )
        code = wait_for_moment(campaign, drawn) if drawn else wait(campaign, PATIENCE_S)
        if code is None and drawn is None:
            tally.fail(
                campaign,
                f"expected an end, got none for {PATIENCE_S:.0f} s after the last kill, in"
                f" {campaign.stage()}",
            )
            return done
        if code is None:
            assert drawn is not None
            struck = strike(campaign, drawn, asked.suspend_s)
            if struck is not None:
                tally.count(campaign, struck, numbers.start + done, time.monotonic() - started)
                done += 1
            continue
        state = campaign.state()
        if code == 0 and state is not None and state.reported:
            check(campaign, asked.undisturbed, tally)
            return done
        if not ended_well(campaign, code):
            errors += 1
            tally.fail(
                campaign,
                f"expected the driver to go on, got exit code {code} in"
                f" {campaign.stage()}:\n{tail(campaign.log)}",
            )
            if errors == 3:
                return done
        campaign.start()


def tail(log: Path, num: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-num:])


def run_undisturbed(campaign: Campaign) -> Path:
    """What every disturbed campaign must equal."""
    campaign.start()
    code = wait(campaign, PATIENCE_S)
    if code != 0:
        campaign.end()
        sys.exit(f"the undisturbed campaign ended with {code}:\n{tail(campaign.log)}")
    return campaign.run_dir


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--run-dir",
        type=Path,
        help="where the campaigns are kept; a temporary folder when not given",
    )
    parser.add_argument(
        "--undisturbed",
        type=Path,
        help="a finished run of the same campaign to compare with; made first when not given",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of the campaign",
    )
    parser.add_argument(
        "--victims",
        type=lambda text: text.split(","),
        default=list(KINDS),
        help=f"some of {','.join(KINDS)}",
    )
    parser.add_argument(
        "--suspend-s",
        type=float,
        default=75.0,
        help="how long the victim 'all' stands still, longer than every heartbeat by default",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run campaigns until the kills are used up. Returns the exit code."""
    asked = options(arguments)
    folder = asked.run_dir or Path(tempfile.mkdtemp(prefix="gcd-hpc-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    tally, started, done = Tally(), time.monotonic(), 0
    if asked.undisturbed is None:
        asked.undisturbed = run_undisturbed(Campaign(folder / "undisturbed", asked.overrides))
    print(
        f"{time.monotonic() - started:7.1f} s       undisturbed campaign complete in"
        f" {asked.undisturbed}",
        flush=True,
    )
    while done < asked.kills and len(tally.failures) < asked.kills:
        number = 1 + sum(1 for _ in folder.glob("campaign-*.log"))
        campaign = Campaign(folder / f"campaign-{number:02d}", asked.overrides)
        failures = len(tally.failures)
        try:
            done += disturb(campaign, range(done, asked.kills), asked, tally, started)
        finally:
            campaign.end()
        print(
            f"{time.monotonic() - started:7.1f} s       {campaign.run_dir.name} ended after {done}"
            " kills in all",
            flush=True,
        )
        if len(tally.failures) == failures:
            shutil.rmtree(campaign.run_dir)
    print(f"\n{tally.table()}\n\n{done} kills, {len(tally.failures)} failures")
    if asked.run_dir is None and not tally.failures:
        shutil.rmtree(folder)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
