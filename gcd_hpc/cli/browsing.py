"""The command that shows results in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import run_or_set
from gcd_hpc.cli.options import Boundary, Results


def browse(
    run: Results,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="P", min=0, max=65535, help="Port of the page; any free one when 0."
        ),
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address only.")] = False,
    boundary: Boundary = None,
) -> None:
    """Look at the structures of a run, or at a set of boundaries, in a browser.

    The page of a set has the table and the figure of gcd-hpc overview, and the page of each
    boundary below it. The campaign may still be running. The page is read-only and served to this
    machine alone, under an address with a random token, until Ctrl-C. On a cluster, start it with
    --no-open --port P and forward the port: ssh -L P:127.0.0.1:P HOST.

    \b
    Examples:
      gcd-hpc browse runs/w_sigma5
      gcd-hpc browse results.h5 --no-open --port 8800
      gcd-hpc browse runs/cu_tilts
    """
    from gcd_hpc.browse.page.server import serve

    chosen = run_or_set(run, boundary)
    shown = chosen if isinstance(chosen, Path) else chosen.path
    serve(shown, port, not no_open, lambda url: print(f"{url}\nCtrl-C ends it.", flush=True))
