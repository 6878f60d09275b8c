"""What a finished campaign leaves for the reader: one file of results, a figure, and a summary with the cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcd_hpc.campaign.ledger import State
from gcd_hpc.campaign.progress import clock
from gcd_hpc.campaign.tasks import STAGES, Stage
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.store.files import replacing

FIGURE_NAME, SUMMARY_NAME = "egb_vs_n.png", "summary.md"


@dataclass(frozen=True)
class StageCost:
    """What one stage took over all rounds."""

    num_tasks: int
    wall_s: float
    """Time during which at least one of its tasks ran."""
    core_s: float


@dataclass(frozen=True)
class Cost:
    """Where the time of a campaign went."""

    stages: Mapping[Stage, StageCost]
    elapsed_s: float
    overhead_s: float
    """Wall time during which no task ran: driver, Parsl and starting workers."""

    @property
    def core_s(self) -> float:
        return sum(cost.core_s for cost in self.stages.values())


def cost_of(state: State) -> Cost:
    """Account for the wall time of all sessions, from the ledger alone."""
    stages: dict[Stage, StageCost] = {}
    for stage in STAGES:
        tasks = [done for task, done in state.finished.items() if task.stage == stage]
        covered = covered_s((done.started, done.started + done.seconds) for done in tasks)
        stages[stage] = StageCost(len(tasks), covered, sum(done.seconds * done.cores for done in tasks))
    covered = covered_s((done.started, done.started + done.seconds) for done in state.finished.values())
    # A driver that was killed did not count the time of tasks that the next one adopted.
    return Cost(stages, state.elapsed_s, max(0.0, state.elapsed_s - covered))


def covered_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reach = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return total


def best_by_source(state: State) -> dict[str, dict[str, float]]:
    """Lowest E_gb in J/m^2 by [n] and source (search, model)."""
    table: dict[str, dict[str, float]] = {}
    for version, energies in state.best.items():
        source = "model" if version else "search"
        for n_fraction, energy in energies.items():
            row = table.setdefault(n_fraction, {})
            row[source] = min(energy, row.get(source, energy))
    return dict(sorted(table.items(), key=lambda item: float(item[0])))


def write_report(run_dir: Path, config: CampaignConfig, state: State) -> None:
    """Write RUN/results.h5, RUN/egb_vs_n.png and RUN/summary.md."""
    # h5py and matplotlib take a second to load, which a campaign that is complete already must not wait for.
    from gcd_hpc.store.index import RunStore

    store = RunStore(run_dir)
    store.merge()
    columns = store.columns(["source", "status", "n_fraction", "gb_energy_j_m2"])
    write_figure(run_dir / FIGURE_NAME, config.name, columns)
    write_summary(run_dir, config, state)


def write_summary(run_dir: Path, config: CampaignConfig, state: State) -> None:
    """Write RUN/summary.md from the ledger."""
    with replacing(run_dir / SUMMARY_NAME) as temporary:
        temporary.write_text(summary(config, state))


def summary(config: CampaignConfig, state: State) -> str:
    """Best energies by source and the cost, as Markdown."""
    lines = [f"# {config.name}", "", f"Seed {config.seed}; ended because of: {state.stopped}.", ""]
    lines += ["| [n] | search (J/m^2) | model (J/m^2) |", "|---|---|---|"]
    for n_fraction, row in best_by_source(state).items():
        lines.append(f"| {n_fraction} | {_energy(row, 'search')} | {_energy(row, 'model')} |")
    cost = cost_of(state)
    lines += ["", f"![E_gb over [n]]({FIGURE_NAME})", "", "| stage | tasks | wall time | core-seconds |", "|---|---|---|---|"]
    for stage, one in cost.stages.items():
        lines.append(f"| {stage} | {one.num_tasks} | {clock(one.wall_s)} | {one.core_s:.0f} |")
    share = 100 * cost.overhead_s / cost.elapsed_s if cost.elapsed_s else 0.0
    lines.append(f"| no task running | | {cost.overhead_s:.1f} s ({share:.1f} %) | |")
    lines += [f"| whole campaign | | {clock(cost.elapsed_s)} | {cost.core_s:.0f} |", ""]
    return "\n".join(lines)


def write_figure(path: Path, title: str, columns: Mapping[str, np.ndarray]) -> None:
    """E_gb over [n] of all relaxed structures, by source, with the lowest of each joined."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    relaxed = (columns["status"].astype(str) == "ok") & np.isfinite(columns["gb_energy_j_m2"])
    for source, colour, marker in (("search", "tab:gray", "o"), ("model", "tab:red", "^")):
        chosen = relaxed & (columns["source"].astype(str) == source)
        fractions, energies = columns["n_fraction"][chosen], columns["gb_energy_j_m2"][chosen]
        axes.scatter(fractions, energies, s=10, c=colour, marker=marker, alpha=0.35, linewidths=0, label=f"{source} ({chosen.sum()})")
        bins = np.round(fractions, 3)
        hull = [(value, energies[bins == value].min()) for value in np.unique(bins)]
        if hull:
            axes.plot(*zip(*hull, strict=True), color=colour, marker=marker, markersize=5, linewidth=1)
    if relaxed.any():
        lowest = columns["gb_energy_j_m2"][relaxed].min()
        # Unrelaxed heaps lie far above; the phases lie in the lowest 2 J/m^2.
        axes.set_ylim(lowest - 0.1, min(columns["gb_energy_j_m2"][relaxed].max(), lowest + 2.0) + 0.05)
    axes.set(xlabel="[n]", ylabel=r"$E_\mathrm{gb}$ (J/m$^2$)", title=title, xlim=(-0.03, 1.0))
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _energy(row: Mapping[str, float], source: str) -> str:
    return f"{row[source]:.3f}" if source in row else "-"
