"""The command that shows results in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import one_run, run_or_set
from gcd_hpc.cli.options import Boundary, Results
from gcd_hpc.cli.output import say


def browse(
    run: Results,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="P", min=0, max=65535, help="Port of the page; any free one when 0."
        ),
    ] = 0,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="F", help="Write the page of one run as a file instead."),
    ] = None,
    structures: Annotated[
        int,
        typer.Option(
            "--structures", min=1, help="With --html: how many of the lowest the file holds."
        ),
    ] = 300,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address only.")] = False,
    boundary: Boundary = None,
) -> None:
    """Look at the structures of a run, or at a set of boundaries, in a browser.

    The page of a set has the table and the figure of gcd-hpc overview, and the page of each
    boundary below it. The campaign may still be running. The page is read-only and served to this
    machine alone, under an address with a random token, until Ctrl-C. On a cluster, start it with
    --no-open --port P and forward the port: ssh -L P:127.0.0.1:P HOST.

    With --html the page of one run is written as one file, which opens in any browser without a
    network.

    \b
    Examples:
      gcd-hpc browse runs/w_sigma5
      gcd-hpc browse results.h5 --no-open --port 8800
      gcd-hpc browse runs/cu_tilts
      gcd-hpc browse runs/w_sigma5 --html w_sigma5_page.html
    """
    if html is not None:
        from gcd_hpc.browse.page.standalone import write_page

        say(str(write_page(one_run(run, boundary, "browse"), html, structures)))
        return
    from gcd_hpc.browse.page.server import serve

    chosen = run_or_set(run, boundary)
    shown = chosen if isinstance(chosen, Path) else chosen.path
    serve(shown, port, not no_open, lambda url: print(f"{url}\nCtrl-C ends it.", flush=True))
