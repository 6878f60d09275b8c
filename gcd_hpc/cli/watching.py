"""Commands that monitor a campaign: its status, its failures and its use of the machines."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.options import Json, Run
from gcd_hpc.cli.output import console, print_json, say

if TYPE_CHECKING:
    from rich.console import RenderableType


def status(
    run: Run,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds until Ctrl-C.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the status of a campaign.

    The campaign may be running, paused or complete.

    \b
    Examples:
      gcd-hpc status runs/w_sigma5
      gcd-hpc status runs/w_sigma5 --watch
    """
    from gcd_hpc.browse.status import StatusReader, status_view

    reader = StatusReader(run)
    if json:
        print_json(reader.record())
    elif watch:
        _watch(lambda: status_view(reader.record()))
    else:
        console().print(status_view(reader.record()))


def failures(
    run: Run,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="List all, also candidates that were refused before relaxation."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """List the failures of a campaign by class and reason.

    Failures are failed candidates, lost workers and tasks set aside in quarantine.

    \b
    Example:
      gcd-hpc failures runs/w_sigma5
    """
    from gcd_hpc.browse.failures import failure_rows, failures_json, failures_table

    rows = failure_rows(run)
    if json:
        print(failures_json(rows, every))
    else:
        console().print(failures_table(rows, every))


def report(
    run: Run,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="F", help="Write the page of gcd-hpc browse as one file."),
    ] = None,
    structures: Annotated[
        int,
        typer.Option(
            "--structures", min=1, help="With --html: how many of the lowest the file holds."
        ),
    ] = 300,
    json: Json = False,
) -> None:
    """Show how well a campaign used its machines, and what each source of candidates found.

    The report holds occupancy, overhead, delays and waste. A second table lists the search, each
    kind of move and each model: tries, core-seconds (for a model with its training), improvements
    of the lowest energy of an [n], unique low-energy structures, and the [n] whose lowest structure
    it found first.

    With --html the results are written as one file that opens in any browser without a network;
    RUN may then be an HDF5 file of results.

    \b
    Examples:
      gcd-hpc report runs/w_sigma5
      gcd-hpc report runs/w_sigma5 --html w_sigma5.html
    """
    if html is not None:
        from gcd_hpc.browse.page.report import write_report

        say(str(write_report(run, html, structures)))
        return
    from gcd_hpc.accounts.report import report_of
    from gcd_hpc.accounts.sources import sources_of
    from gcd_hpc.browse.sources import work_table
    from gcd_hpc.browse.status import state_of
    from gcd_hpc.browse.usage import report_record, report_table
    from gcd_hpc.store.run import open_run

    state = state_of(run)
    sources = sources_of(open_run(run), state)
    record = report_record(report_of(state), sources)
    if json:
        print_json(record)
    else:
        console().print(report_table(record), work_table(sources))


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
