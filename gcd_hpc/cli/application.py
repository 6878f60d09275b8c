"""Entry point: all commands in groups, and the output of their errors."""

import inspect
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gcd_hpc.cli.beginning import boundaries, init
from gcd_hpc.cli.browsing import browse
from gcd_hpc.cli.campaigns import campaign, check, rehearsal, search
from gcd_hpc.cli.comparing import compare
from gcd_hpc.cli.diagram import diagram
from gcd_hpc.cli.files import archive, merge, verify
from gcd_hpc.cli.gamma import gamma
from gcd_hpc.cli.image import image
from gcd_hpc.cli.listing import listing, show, top
from gcd_hpc.cli.machine import doctor
from gcd_hpc.cli.models import model_energy, model_show, model_train
from gcd_hpc.cli.output import prepare_terminal, say
from gcd_hpc.cli.phases import phases
from gcd_hpc.cli.plotting import plot
from gcd_hpc.cli.reproduction import reproduction
from gcd_hpc.cli.rescoring import import_results, rescore
from gcd_hpc.cli.results import export, relax
from gcd_hpc.cli.sets import overview
from gcd_hpc.cli.spectra import import_spectrum, label
from gcd_hpc.cli.spectra import show as show_spectra
from gcd_hpc.cli.stability import free_energy, hold
from gcd_hpc.cli.watching import failures, report, status
from gcd_hpc.config.loader import refuse_material
from gcd_hpc.errors import GcdError, shortened

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Begin": {"init": init, "boundaries": boundaries},
    "Run": {
        "campaign": campaign,
        "search": search,
        "relax": relax,
        "rescore": rescore,
        "import": import_results,
        "rehearse": rehearsal,
        "reproduce": reproduction,
    },
    "Watch": {"status": status, "failures": failures, "report": report},
    "Look at results": {
        "top": top,
        "ls": listing,
        "show": show,
        "compare": compare,
        "overview": overview,
        "plot": plot,
        "image": image,
        "browse": browse,
    },
    "Phases": {
        "phases": phases,
        "gamma": gamma,
        "free-energy": free_energy,
        "hold": hold,
        "diagram": diagram,
    },
    "Models": {
        "model train": model_train,
        "model energy": model_energy,
        "model show": model_show,
    },
    "Spectra": {
        "spectra label": label,
        "spectra import": import_spectrum,
        "spectra show": show_spectra,
    },
    "Hand on": {"export": export, "merge": merge, "archive": archive},
    "Check": {"check": check, "verify": verify, "doctor": doctor},
}
NO_MEMORY = (
    "there is not enough memory for this command; free some, or raise the limit (ulimit -v, or the"
    " memory of the job), and run the same command again"
)
GROUP_HELP = {
    "model": "Train models of many boundaries, and look at them.",
    "spectra": "Compute spectra of atoms, import measured ones, and look at them.",
}
"""Help of commands of two words, by their first."""
MAY_BE_EMPTY = "--select"
"""Option whose empty text has a meaning: all candidates."""
KNOW_MATERIALS = (
    *("campaign", "check", "status", "failures", "verify"),
    *("ls", "show", "export", "top", "report", "plot", "browse", "compare"),
)
"""Commands for results of materials as well as of boundaries, beside those about spectra."""
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


class Groups(TyperGroup):
    """Help with the commands in groups and unabridged summaries."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, commands in GROUPS.items():
            with formatter.section(title):
                rows = [(f"{name:<11}", summary(one)) for name, one in commands.items()]
                formatter.write_dl(rows)


class Command(TyperCommand):
    """A command that refuses empty words.

    A script's unset variable would otherwise be the working folder, as the empty path is.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for before, word in zip(["", *args], args, strict=False):
            name, given, value = word.partition("=")
            option = name if given and name.startswith("--") else before
            if not (value if given and option == name else word) and option != MAY_BE_EMPTY:
                what = option if option.startswith("-") else "an argument"
                raise GcdError(f"{what} is empty; give a value, or leave it out")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless it knows only boundaries and is given results of a material."""
        # Without the name of the program, which may have blanks: python -m gcd_hpc.cli.
        words: list[str] = []
        context = ctx
        while context.parent is not None:
            words.insert(0, context.info_name)
            context = context.parent
        if " ".join(words) not in KNOW_MATERIALS and words[:1] != ["spectra"]:
            for value in ctx.params.values():
                _refuse_material(value)
        return super().invoke(ctx)


def _refuse_material(value: object) -> None:
    """Refuse the value of an argument if it is a path of results of a material."""
    given = value if isinstance(value, list | tuple) else [value]
    paths = [one for one in given if isinstance(one, Path) and one.exists()]
    if not paths:
        return
    # A late import: HDF5 loads slowly, and many commands read no results.
    from gcd_hpc.store.kind import is_of_material

    for path in filter(is_of_material, paths):
        refuse_material(str(path))


def summary(command: Callable[..., None]) -> str:
    """First paragraph of a command's help, on one line."""
    return " ".join((inspect.getdoc(command) or "").split("\n\n")[0].split())


# Help without rich, which would parse "[n]" as markup.
app = typer.Typer(
    cls=Groups,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_groups: dict[str, typer.Typer] = {}
for words, command in COMMANDS.items():
    group, _, name = words.rpartition(" ")
    if group and group not in _groups:
        _groups[group] = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
        app.add_typer(_groups[group], name=group, help=GROUP_HELP[group])
    (_groups[group] if group else app).command(name, cls=Command)(command)
_debug = False


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gcd-hpc {version('gcd-hpc')}")
        raise typer.Exit()


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    is_version_wanted: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
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


def _in_lines(message: str) -> str:
    """A message in which no argument of the command, as the name of a file, begins a line."""
    for word in sys.argv[1:]:
        if not word.isprintable():
            for name in (word, str(Path(word))):
                message = message.replace(name, shortened(name))
    return message


def main() -> None:
    """Run a command; a GcdError becomes one line on standard error and its exit code, usually 2.

    So does a lack of memory, which no function expects.
    """
    prepare_terminal()
    try:
        app()
    except GcdError as error:
        if _debug:
            traceback.print_exc()
        for line in (f"gcd-hpc: {error}", *getattr(error, "__notes__", ())):
            say(_in_lines(line), to_stderr=True)
        sys.exit(error.exit_code)
    except MemoryError:
        if _debug:
            traceback.print_exc()
        say(f"gcd-hpc: {NO_MEMORY}", to_stderr=True)
        sys.exit(GcdError.exit_code)
