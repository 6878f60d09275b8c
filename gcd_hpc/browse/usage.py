"""Report of ``gcd-hpc report``: occupancy, overhead, waste, and the work of each source."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from gcd_hpc.accounts.report import Report, middle, percentile
from gcd_hpc.accounts.sources import SourceRecord
from gcd_hpc.campaign.table import new_table


def report_record(report: Report, sources: Sequence[SourceRecord] = ()) -> dict[str, Any]:
    """The report as plain data; times in seconds.

    Args:
        sources: work and findings by source.
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
        "sources": [asdict(one) for one in sources],
    }
    if account.queue:
        record["queue"] = spread(account.queue)
        record["model_lag"] = dict(sorted(account.lag.items()))
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
    table = new_table()
    for heading in ("what", "figure", "remark"):
        table.add_column(heading)
    for row in pool_rows(record["pools"]):
        table.add_row(*row)
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
    return table


def pool_rows(pools: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Cells of the rows about the pools of ``report_record``."""
    return [
        (
            f"{pool} pool busy",
            f"{one['whole']:.1%}",
            f"{one['num_workers']} workers, {one['num_tasks']:,} tasks; best hour"
            f" {one['best_hour']:.1%}",
        )
        for pool, one in pools.items()
    ]


def _ms(values: dict[str, float]) -> str:
    return (
        "-"
        if not values["num"]
        else f"{1000 * values['median']:.1f} ms (95 % below {1000 * values['p95']:.0f})"
    )


def _s(seconds: float) -> str:
    return "-" if seconds != seconds else f"{seconds:,.1f} s"
