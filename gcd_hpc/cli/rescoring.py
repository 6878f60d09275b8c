"""Commands that compare the best structures of a run with what another engine makes of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Json, Results, Selection
from gcd_hpc.cli.output import console, print_json, written

if TYPE_CHECKING:
    from gcd_hpc.stages.rescore import Rescored


def rescore(
    run: Results,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="An ASE calculator by name, or a YAML file that names an engine.",
        ),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="Number of lowest structures.")] = 5,
    per_n: Annotated[
        bool, typer.Option("--per-n", help="As many of each [n], not of the whole run.")
    ] = False,
    select: Selection = "",
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Relax the best structures of a run with a second engine and compare.

    The structures are scaled to the second engine's lattice constant and relaxed to its preset. The
    rows are stored beside the run, in RUN/rescored/ENGINE.h5, which every command reads as a file
    of results, with a figure of the lowest energies of each [n] by both engines. Nothing of the run
    is changed. The exit code is 1 if no structure could be relaxed.

    \b
    ENGINE is emt, chgnet, mace, sevennet, orb, a Python path module:callable, or a YAML file with
    the keys engine, potential or calculator, and relaxation, as in a campaign file.

    \b
    Examples:
      gcd-hpc rescore runs/w_sigma5 --engine second.yaml --top 5 --per-n
      gcd-hpc rescore runs/w_sigma5 --engine second.yaml --select "energy<2.5" --json
    """
    from gcd_hpc.config.loader import with_engine
    from gcd_hpc.stages.rescore import best_candidates, campaign_of_run
    from gcd_hpc.stages.rescore import rescore as relax_again
    from gcd_hpc.store.run import open_run

    opened = open_run(one_run(run, boundary, "rescore"))
    config, folder = with_engine(campaign_of_run(opened), engine)
    chosen = best_candidates(opened.select(select), top, per_n)
    _show(relax_again(opened, chosen, config, folder), json)


def import_results(
    run: Results,
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folder of an export for VASP, or some of its structures."
        ),
    ],
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Read the results of VASP for structures of a run and compare.

    DIR is what gcd-hpc export RUN --format vasp wrote, after VASP has run in its folders: in those
    of the structures, and in bulk, lower and upper, whose energies are subtracted. vasprun.xml is
    read, or OUTCAR without it. A run of VASP that is not finished or did not converge is refused.
    The rows are stored beside the run, in RUN/rescored/vasp-HASH.h5, which every command reads as
    a file of results, with a figure of the lowest energies of each [n] by both. Nothing of the run
    is changed. The exit code is 1 if no structure is a boundary.

    \b
    Examples:
      gcd-hpc import runs/w_sigma5 vasp
      gcd-hpc import runs/w_sigma5 vasp/search-000003 vasp/search-000007 --json
    """
    from gcd_hpc.stages.imported import import_vasp
    from gcd_hpc.store.run import open_run

    _show(import_vasp(open_run(one_run(run, boundary, "import")), folders), json)


def _show(done: "Rescored", json: bool) -> None:
    """Print the energies by both engines, and draw the lowest of each [n]."""
    from gcd_hpc.browse.rescored import comparison, comparison_table, draw_comparison

    records = comparison(done.before, done.after)
    if json:
        print_json(records)
    else:
        console().print(comparison_table(records, done.engine))
    if all(row.status == "failed" for row in done.after):
        raise typer.Exit(1)
    figure = draw_comparison(done.before, done.after, done.engine, done.path.with_suffix(".png"))
    if not json:
        written(done.path, f"{len(done.after):,} structures")
        written(figure, "a figure")
