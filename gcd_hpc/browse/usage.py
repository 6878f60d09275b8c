"""Report of ``gcd-hpc report``: occupancy, overhead, waste and structures per core-hour."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gcd_hpc.accounts.report import Report, middle, percentile
from gcd_hpc.campaign.state import SAME_ENERGY_J_M2
from gcd_hpc.store.run import open_run
from gcd_hpc.structures.energetics import lowest_of_each


def unique_low_energy(run_dir: Path, window_j_m2: float) -> dict[str, int]:
    """Number of unique low-energy structures by source, ``search`` and ``model``.

    Structures are unique if [n] or the energy, rounded to SAME_ENERGY_J_M2, differs.

    Args:
        window_j_m2: largest energy above the lowest of the same [n], J/m^2.
    """
    columns = open_run(run_dir).relaxed().columns(["source", "n_index", "gb_energy_j_m2"])
    indices, energies = columns["n_index"], columns["gb_energy_j_m2"]
    _, lowest, group = lowest_of_each(indices, energies)
    is_low = energies <= lowest[group] + window_j_m2
    steps = np.rint(energies / SAME_ENERGY_J_M2).astype(int)
    counts = {}
    for source in ("search", "model"):
        chosen = is_low & (columns["source"] == source)
        counts[source] = len(
            set(zip(indices[chosen].tolist(), steps[chosen].tolist(), strict=True))
        )
    return counts


def report_record(report: Report, found: dict[str, int] | None = None) -> dict[str, Any]:
    """The report as plain data; times in seconds.

    Args:
        found: unique low-energy structures by source.
    """
    state, account = report.state, report.state.account
    record: dict[str, Any] = {
        "elapsed_s": state.elapsed_s,
        "tried": state.num_tried,
        "pools": {pool: asdict(one) for pool, one in report.pools.items()},
        "overhead_per_task_s": spread(report.overhead_s),
        "result_to_decision_s": spread(report.decision_s),
        "promoted_to_first_sample_s": spread(account.first_sample_s),
        "resume_s": spread(account.resume_s),
        "wasted_worker_s": account.wasted_s,
        "dropped_tasks": account.num_dropped,
        "failed_attempts": account.num_failed,
        "quarantined_tasks": account.num_quarantined,
        "core_h": {source: seconds / 3600 for source, seconds in report.core_s.items()},
    }
    if account.queue:
        record["queue"] = spread(account.queue)
        record["model_lag"] = dict(sorted(account.lag.items()))
    if found is not None:
        hours = record["core_h"]
        record["unique_low_energy"] = found
        record["unique_low_energy_per_core_h"] = {
            source: num / hours[source] if hours[source] else 0.0 for source, num in found.items()
        }
    return record


def spread(values: Any) -> dict[str, float]:
    """Number of values, median, and 5th and 95th percentiles."""
    return {
        "num": len(values),
        "p05": percentile(values, 0.05),
        "median": middle(values),
        "p95": percentile(values, 0.95),
    }


def report_table(record: dict[str, Any]) -> Table:
    """The record of ``report_record`` as a table for the terminal."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for heading in ("what", "figure", "remark"):
        table.add_column(heading)
    for pool, one in record["pools"].items():
        remark = (
            f"{one['num_workers']} workers, {one['num_tasks']:,} tasks; best hour"
            f" {one['best_hour']:.1%}"
        )
        table.add_row(f"{pool} pool busy", f"{one['whole']:.1%}", remark)
    table.add_row(
        "overhead per task",
        _ms(record["overhead_per_task_s"]),
        "a relaxation worker between two tasks",
    )
    table.add_row(
        "result to decision",
        _ms(record["result_to_decision_s"]),
        "from the end of a task to the driver's answer",
    )
    first = record["promoted_to_first_sample_s"]
    table.add_row("model promoted to first sample", _s(first["median"]), f"{first['num']} models")
    resumes = record["resume_s"]
    table.add_row("resume time", _s(resumes["median"]), f"{resumes['num']} resumed sessions")
    if "queue" in record:
        queue = record["queue"]
        remark = f"5 % of the time below {queue['p05']:.0f}, 5 % above {queue['p95']:.0f}"
        table.add_row("relaxation queue", f"{queue['median']:.0f} tasks", remark)
        lags = ", ".join(f"{num:,} by {lag}" for lag, num in record["model_lag"].items())
        table.add_row(
            "age of relaxed candidates", lags, "tasks by versions behind the newest model"
        )
    lost = (
        f"{record['failed_attempts']} failed attempts, {record['dropped_tasks']} tasks dropped,"
        f" {record['quarantined_tasks']} set aside"
    )
    table.add_row("wasted worker time", _s(record["wasted_worker_s"]), lost)
    table.add_row(
        "candidates tried",
        f"{record['tried']:,}",
        f"in {record['elapsed_s'] / 3600:.2f} h of wall time",
    )
    for source, rate in record.get("unique_low_energy_per_core_h", {}).items():
        remark = (
            f"{record['unique_low_energy'][source]} in {record['core_h'][source]:.2f} core-hours"
        )
        table.add_row(f"unique low energies by the {source}", f"{rate:.0f} per core-hour", remark)
    return table


def _ms(values: dict[str, float]) -> str:
    return (
        "-"
        if not values["num"]
        else f"{1000 * values['median']:.1f} ms (95 % below {1000 * values['p95']:.0f})"
    )


def _s(seconds: float) -> str:
    return "-" if seconds != seconds else f"{seconds:,.1f} s"
