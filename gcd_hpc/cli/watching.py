"""Commands that monitor a campaign: its status, its failures and its use of the machines."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.choosing import run_or_set
from gcd_hpc.cli.options import Boundary, Json, Run
from gcd_hpc.cli.output import console, print_json, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gcd_hpc.store.run_set import RunSet


def status(
    run: Run,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds until Ctrl-C.")
    ] = False,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Show the status of a campaign.

    The campaign may be running, paused or complete. Of a set, each boundary has a line.

    \b
    Examples:
      gcd-hpc status runs/w_sigma5
      gcd-hpc status runs/w_sigma5 --watch
    """
    from gcd_hpc.browse.set_status import SetStatusReader, set_status_view
    from gcd_hpc.browse.status import StatusReader, status_view

    chosen = run_or_set(run, boundary)
    is_run = isinstance(chosen, Path)
    reader = StatusReader(chosen) if isinstance(chosen, Path) else SetStatusReader(chosen)
    view = status_view if is_run else set_status_view
    if json:
        print_json(reader.record())
    elif watch:
        _watch(lambda: view(reader.record()))
    else:
        console().print(view(reader.record()))


def failures(
    run: Run,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="List all, also candidates that were refused before relaxation."
        ),
    ] = False,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """List the failures of a campaign by class and reason.

    Failures are failed candidates, lost workers and tasks set aside in quarantine.

    \b
    Example:
      gcd-hpc failures runs/w_sigma5
    """
    from gcd_hpc.browse.failures import (
        failure_rows,
        failures_json,
        failures_table,
        set_failure_rows,
    )

    chosen = run_or_set(run, boundary)
    rows = failure_rows(chosen) if isinstance(chosen, Path) else set_failure_rows(chosen)
    if json:
        print(failures_json(rows, every))
    else:
        console().print(failures_table(rows, every))


def report(
    run: Run,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="F", help="Write a report to publish as one HTML file."),
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option("--pdf", metavar="F", help="Write the same report as PDF."),
    ] = None,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Show how well a campaign used its machines, and what each source of candidates found.

    The report holds occupancy, overhead, delays and waste. A second table lists the search, each
    kind of move and each model: tries, core-seconds (for a model with its training), improvements
    of the lowest energy of an [n], unique low-energy structures, and the [n] whose lowest structure
    it found first.

    Of a set, the report holds the use of the shared pools and the work of each boundary.

    With --html or --pdf, a report to publish is written: boundary, potential, versions, seed,
    dates, cost and state; energies against [n], phases with pictures from three sides, what was
    measured of them; what was tried, and how sure one can be that nothing lower is left. The file
    stands alone and names no path of this machine. RUN may then be an HDF5 file of results. The
    report of a set has an overview and a page a boundary.

    \b
    Examples:
      gcd-hpc report runs/w_sigma5
      gcd-hpc report runs/w_sigma5 --html w_sigma5.html --pdf w_sigma5.pdf
    """
    if html is not None or pdf is not None:
        from gcd_hpc.browse.report.writing import write_reports

        chosen = run_or_set(run, boundary)
        for path in write_reports(chosen if isinstance(chosen, Path) else chosen.path, html, pdf):
            say(str(path))
        return
    chosen = run_or_set(run, boundary)
    if not isinstance(chosen, Path):
        _report_set(chosen, json)
        return
    from gcd_hpc.accounts.report import report_of
    from gcd_hpc.accounts.sources import sources_of
    from gcd_hpc.browse.sources import work_table
    from gcd_hpc.browse.status import state_of
    from gcd_hpc.browse.usage import report_record, report_table
    from gcd_hpc.store.run import open_run

    state = state_of(chosen)
    # Sources are compared by boundary energies; those of a material are in gcd-hpc status.
    is_boundary = state.plan.kind == "boundary"
    sources = sources_of(open_run(chosen), state) if is_boundary else []
    record = report_record(report_of(state), sources)
    if json:
        print_json(record)
    else:
        tables = [report_table(record)] + [work_table(sources)] * is_boundary
        console().print(*tables)


def _report_set(opened: "RunSet", json: bool) -> None:
    from gcd_hpc.browse.set_report import set_report_record, set_report_view

    record = set_report_record(opened)
    if json:
        print_json(record)
    else:
        console().print(set_report_view(record))


def _watch(view: Callable[[], "RenderableType"]) -> None:
    import time

    from rich.live import Live

    try:
        with Live(view(), console=console()) as live:
            while True:
                time.sleep(2.0)
                live.update(view())
    except KeyboardInterrupt:
        pass
