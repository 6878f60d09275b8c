"""Progress of a campaign at one moment, from its state and the files of a running stage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

from gcd_hpc.campaign.estimate import remaining_s
from gcd_hpc.campaign.material_estimate import remaining_material_s
from gcd_hpc.campaign.state import State
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import AnyCampaign
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.stages.merit import MERITS, Merit
from gcd_hpc.stages.record import product_files
from gcd_hpc.stages.table import EXPLORE, STAGES, Stage, Task
from gcd_hpc.store.makers import by_maker
from gcd_hpc.store.run_directory import RunDirectory

TRAINED: tuple[Stage, ...] = ("train", "fit")
"""Stages that count their steps in a file."""
LONGEST_S = 1e8
"""Longest remaining time of a campaign that is shown, about three years."""


@dataclass(frozen=True)
class Snapshot:
    """Progress of a campaign at one moment."""

    name: str
    stage: Stage | None
    round: int
    rounds: int
    done: float
    total: float
    unit: str
    detail: str
    rate: float
    """Units per second."""
    elapsed_s: float
    best: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Lowest figure of merit and its source by group, which is an [n] in a boundary."""
    is_overlapping: bool = False
    """True if sampling, relaxation and training run at the same time."""
    improvements: tuple[str, ...] = ()
    """Last improvements, such as ``insert lowered [0.3] from 2.633 to 2.590 J/m^2``."""
    sources: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    """Number of improvements by source, and the groups whose lowest structure it found."""
    merit: Merit = MERITS["boundary"]
    campaign_s: float | None = None
    """Seconds to the end of the campaign if it uses its whole budget, or None while unknown."""

    @property
    def improvement(self) -> str:
        """The last improvement; empty if there is none."""
        return self.improvements[-1] if self.improvements else ""

    @property
    def remaining_s(self) -> float | None:
        """Seconds to the end of the stage, or None while unknown."""
        return (self.total - self.done) / self.rate if self.rate > 0 and self.total else None

    def headline(self) -> str:
        """Summary, such as ``round 1/2, training the model: 120/400 steps (3.1/s, 1:30 left)``."""
        if self.stage is None:
            return f"{self.name}: getting ready"
        if self.is_overlapping:
            return (
                f"model {self.round} of {self.rounds}: {self.done:.0f}/{self.total:.0f}"
                f" candidates, {self.detail}"
            )
        where = f"round {self.round}/{self.rounds}, " if self.round else ""
        counts = f": {self.done:.0f}/{self.total:.0f} {self.unit}" if self.unit else ""
        pace = (
            f" ({_rate(self.rate)}, {clock(self.remaining_s)} left)"
            if self.remaining_s and self.unit
            else ""
        )
        return (
            where
            + STAGES[self.stage].doing
            + counts
            + pace
            + (f", {self.detail}" if self.detail else "")
        )


class Pace:
    """Rate of the running stage in units per second, measured within this session."""

    def __init__(self) -> None:
        self._phase: tuple[Stage | None, int] | None = None
        self._done, self._elapsed_s = 0.0, 0.0

    def rate(self, stage: Stage | None, round: int, done: float, elapsed_s: float) -> float:
        """Rate so far, or 0 while unknown; the start of a training (imports) is left out."""
        if self._phase != (stage, round) or (stage in TRAINED and not self._done):
            self._phase = (stage, round)
            self._done, self._elapsed_s = done, elapsed_s
        seconds = elapsed_s - self._elapsed_s
        return (done - self._done) / seconds if seconds > 0 else 0.0


def snapshot(
    config: AnyCampaign, state: State, run_dir: Path, elapsed_s: float, pace: Pace
) -> Snapshot:
    """Snapshot from the state and the files of a running stage."""
    if state.is_flowing and isinstance(config, CampaignConfig):
        return _flow_snapshot(config, state, run_dir, elapsed_s, pace)
    stage, round = next(
        ((s, v) for s, v in state.plan.phases() if not state.is_complete(s, v)), (None, 0)
    )
    done, total, unit, detail = _counts(config, state, run_dir, stage, round)
    rate, best = pace.rate(stage, round, done, elapsed_s), best_so_far(state)
    fraction = min(1.0, done / total) if total else 0.0
    campaign_s = None
    if stage is not None and isinstance(config, MaterialConfig):
        campaign_s = remaining_material_s(state, fraction, elapsed_s)
    elif stage is not None and isinstance(config, CampaignConfig):
        campaign_s = remaining_s(config, state, fraction, elapsed_s)
    return Snapshot(
        config.name,
        stage,
        round,
        state.plan.rounds,
        done,
        total,
        unit,
        detail,
        rate,
        elapsed_s,
        best,
        improvements=last_improvements(state),
        sources=sources_so_far(state),
        merit=state.plan.merit,
        campaign_s=campaign_s,
    )


def _flow_snapshot(
    config: CampaignConfig, state: State, run_dir: Path, elapsed_s: float, pace: Pace
) -> Snapshot:
    """Snapshot of overlapping stages: candidates relaxed and waiting, and the model in training."""
    done = sum(finished.num for task, finished in state.finished.items() if task.stage == "relax")
    total = config.sampling.num_candidates * state.plan.num_sampled_rounds
    detail = f"{len(state.waiting)} relaxations wait"
    if state.plan.generations:
        moves = sum(one.num for task, one in state.finished.items() if task.stage == EXPLORE)
        detail += f", {moves:,} moves explored"
    if state.in_flight["train"]:
        step, num_steps, _ = training_progress(run_dir, state.round + 1)
        detail += f", training model {state.round + 1}" + (
            f": {step:.0f}/{num_steps:.0f} steps" if num_steps else ""
        )
    rate = pace.rate("relax", 0, done, elapsed_s)
    names: tuple[str, Stage, int, int] = (config.name, "relax", state.round, state.plan.rounds)
    return Snapshot(
        *names,
        done,
        total,
        "candidates",
        detail,
        rate,
        elapsed_s,
        best_so_far(state),
        is_overlapping=True,
        improvements=last_improvements(state),
        sources=sources_so_far(state),
        campaign_s=(total - done) / rate if rate > 0 else None,
    )


def _counts(
    config: AnyCampaign, state: State, run_dir: Path, stage: Stage | None, round: int
) -> tuple[float, float, str, str]:
    """Units done, total units, name of the unit and a remark, for one phase."""
    chunks = state.num_done.get((stage, round), 0) if stage else 0
    if stage in TRAINED:
        step, num_steps, detail = training_progress(run_dir, round)
        return step, num_steps, "steps" if num_steps else "", detail
    if isinstance(config, MaterialConfig):
        return _material_counts(config, state, stage, chunks)
    num = config.sampling.num_candidates
    match stage:
        case "search":
            return (
                min(chunks * config.search.chunk_size, config.search.num_tries),
                config.search.num_tries,
                "tries",
                "",
            )
        case "explore":
            size, plan = config.explore.moves_per_task, state.plan
            total = size * plan.num_tasks("explore")
            generation = 1 + min(chunks, plan.num_tasks("explore") - 1) // plan.num_explore_chunks
            return chunks * size, total, "moves", f"generation {generation}/{plan.generations}"
        case "relax":
            return min(chunks * config.sampling.chunk_size, num), num, "candidates", ""
        case "sample":
            num_chunks = len(RunDirectory(run_dir).sampled_parts(round))
            return (
                min(num_chunks * config.sampling.chunk_size, num),
                num,
                "candidates",
                "",
            )
    return 0, 0, "", ""


def _material_counts(
    config: MaterialConfig, state: State, stage: Stage | None, chunks: int
) -> tuple[float, float, str, str]:
    """As ``_counts``, for the stages of a material but training."""
    if stage is None or not STAGES[stage].is_chunked:
        return 0, 0, "", ""
    unit, num_tasks = STAGES[stage].unit, state.plan.num_tasks(stage)
    if unit == "tasks":
        # How many structures a file gives is not known before it is read.
        return chunks, num_tasks, unit, ""
    num, size = config.sampling.num, config.sampling.chunk_size
    return min(chunks * size, num), num, unit, ""


def best_so_far(state: State) -> dict[str, tuple[float, str]]:
    """Lowest figure of merit of each group and its source; the earliest source if several are
    equal.
    """
    lowest = sorted(state.lowest.items())
    name, planes = state.plan.merit.group_of, state.atoms_per_plane
    return {name(n_index, planes): found for n_index, found in lowest}


def last_improvements(state: State) -> tuple[str, ...]:
    """Last noticeable improvements, ``insert lowered [0.3] from 2.633 to 2.590 J/m^2``."""
    merit, found = state.plan.merit, []
    for one in state.improvements:
        place = merit.place(merit.group_of(one.n_index, state.atoms_per_plane))
        found.append(f"{one.source} lowered {place} {merit.values(one.before, one.after)}")
    return tuple(found)


def sources_so_far(state: State) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Number of improvements by source, and the groups whose lowest structure it found."""
    best = best_so_far(state)
    held = {name: tuple(n for n, one in best.items() if one[1] == name) for name in state.improved}
    return {name: (state.improved[name], held[name]) for name in sorted(held, key=by_maker)}


def training_progress(run_dir: Path, round: int) -> tuple[float, float, str]:
    """Steps done, total steps and loss, from the progress file of the training stage.

    A member of a set has those of the set.
    """
    whole = RunDirectory(run_dir).around_member
    if whole is not None and not whole.sources(round).is_file():
        return 0.0, 0.0, "waiting for the other boundaries"
    try:
        data = _progress_file(run_dir if whole is None else whole.path, round)
        loss = data.get("loss")
        return (
            float(data["step"]),
            float(data["num_steps"]),
            f"loss {loss:.4f}" if loss is not None else "",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0.0, 0.0, "starting"


def saved_share(run_dir: Path, task: Task, num_chunks: int) -> float:
    """Share of an unfinished task's work that another attempt does not repeat, 0 to 1.

    Args:
        num_chunks: number of chunks of a round, each a file of a launched sampling.
    """
    if task.is_whole_sampling:
        files = product_files(run_dir, task, num_chunks)
        return sum(path.exists() for path in files) / len(files)
    if STAGES[task.stage].progress is None:
        return 0.0
    try:
        data = _progress_file(run_dir, task.round)
        share = float(data["saved_step"]) / float(data["num_steps"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0
    return min(max(share, 0.0), 1.0) if isfinite(share) else 0.0


def _progress_file(run_dir: Path, round: int) -> Any:
    """Content of the progress file of a training."""
    return json.loads(RunDirectory(run_dir).training_progress(round).read_text())


def clock(seconds: float | None) -> str:
    """Duration as text, ``1:02:03`` or ``2:03``."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
        if minutes >= 60
        else f"{minutes}:{rest:02d}"
    )


def expected_end(seconds: float | None) -> str:
    """Text with the expected end of a campaign in local time; empty if unknown or years away."""
    if seconds is None or seconds > LONGEST_S:
        return ""
    end = datetime.now() + timedelta(seconds=seconds)
    day = "" if end.date() == datetime.now().date() else f"{end:%Y-%m-%d} "
    return f"campaign ends about {day}{end:%H:%M} ({clock(seconds)} left)"


def _rate(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"
