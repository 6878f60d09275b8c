"""The command that draws figures of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Results, Selection, one_of_these
from gcd_hpc.cli.output import say

if TYPE_CHECKING:
    from gcd_hpc.browse.figure_kinds import What

FIGURES = ("egb-n", "progress", "timeline", "registry", "rdf", "spectra", "errors")


def plot(
    run: Results,
    what: Annotated[
        str,
        one_of_these("--what", FIGURES, "Which figure, see above."),
    ] = "egb-n",
    select: Selection = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="PNG, SVG or PDF; egb_vs_n.png or WHAT.png in the run when not given, with"
            " _selected in the name of a selection's.",
        ),
    ] = None,
    boundary: Boundary = None,
) -> None:
    """Draw a figure of a run.

    The campaign may still be running.

    \b
    egb-n: boundary energy against [n], for the search, the exploration and the models.
    progress: lowest energy so far of each [n] against core-seconds of the whole campaign, with the
      source of each improvement.
    timeline: busy cores of each stage over time, with failures; needs the run directory, which may
      be that of a set.
    registry: relaxed shifts of the upper grain in the cell in which they repeat, by energy.
    rdf: radial distribution functions around boundary atoms and crystal atoms, for the 50
      structures of lowest energy.
    spectra: of a material, the target and the mean spectra of candidates with and without guidance.
    errors: of a material, the spectrum error of each candidate by round, and the means.

    \b
    Examples:
      gcd-hpc plot runs/w_sigma5
      gcd-hpc plot runs/w_sigma5 --what progress --out progress.pdf
      gcd-hpc plot runs/w_sigma5 --what rdf --select "n=0.2 energy<2.4" --out rdf.svg
      gcd-hpc plot runs/carbon --what spectra
    """
    from gcd_hpc.browse.plots import plot as draw

    is_whole = what == "timeline" and boundary is None
    chosen = run if is_whole else one_run(run, boundary, "plot")
    say(str(draw(chosen, cast("What", what), select, out)))
