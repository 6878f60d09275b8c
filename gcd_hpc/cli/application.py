"""All commands under one name, and what becomes of their errors."""

import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from gcd_hpc.cli.browsing import browse
from gcd_hpc.cli.campaigns import campaign, check, rehearsal, search
from gcd_hpc.cli.files import merge, verify
from gcd_hpc.cli.listing import listing, show, top
from gcd_hpc.cli.plotting import plot
from gcd_hpc.cli.reproduction import reproduction
from gcd_hpc.cli.results import export, relax
from gcd_hpc.cli.watching import failures, report, status
from gcd_hpc.errors import GcdError, printable

# Plain help: rich would read "[n]" as markup.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "campaign": campaign,
    "search": search,
    "check": check,
    "status": status,
    "failures": failures,
    "report": report,
    "browse": browse,
    "rehearse": rehearsal,
    "relax": relax,
    "top": top,
    "ls": listing,
    "show": show,
    "plot": plot,
    "export": export,
    "verify": verify,
    "merge": merge,
    "reproduce": reproduction,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
_debug = False


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Find the low-energy structures of a grain boundary.

    \b
    Examples:
      gcd-hpc campaign campaigns/smoke.yaml
      gcd-hpc top runs/smoke --per-n
      gcd-hpc export runs/smoke --format extxyz --out smoke.extxyz
    """
    global _debug
    _debug = debug


def main() -> None:
    """Run a command; a mistake that the user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except GcdError as error:
        if _debug:
            traceback.print_exc()
        print(f"gcd-hpc: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
