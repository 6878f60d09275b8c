"""The command that reproduces the paper's figures."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from gcd_hpc.cli.output import say

STOPPED = 130
"""Exit code after Ctrl-C, as in shells."""


def reproduction(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="fig1, fig2, fig4, fig6, figS1, figS2, figS3, ablations, ask_n, image, ranking,"
            " transfer, k1, k2 or k3.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for figures, numbers and, in DIR/work, all that was made.",
        ),
    ],
    budget: Annotated[
        Literal["quick", "full"],
        typer.Option("--budget", help="Half an hour on two cores, or the paper's setting."),
    ] = "quick",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Every random number follows from it.")
    ] = 0,
) -> None:
    """Reproduce a figure of the paper, with its numbers and costs.

    The paper is Lei et al. (2024). Writes EXPERIMENT.png, EXPERIMENT.svg and EXPERIMENT.json. The
    quick budget takes at most 30 minutes on two cores, training included; the full one is meant for
    a GPU. Four are no figures of the paper: ask_n asks for a number of atoms, image for the
    structures of a STEM image, ranking measures what an energy network saves, and transfer compares
    the built-in model with searches on boundaries that it has not learned from, which takes two
    hours. k1 to k3, after Kwon et al. (2024), predict the spectra of amorphous carbon, make
    structures from a spectrum, and make large ones. The same command resumes after Ctrl-C.
    Experiments with the same DIR share models and data.

    \b
    Examples:
      gcd-hpc reproduce fig4 --out reproduced
      gcd-hpc reproduce fig6 --budget full --seed 1 --out reproduced-full
    """
    from gcd_hpc.experiments.experiments import reproduce

    command = shlex.join(
        [
            "gcd-hpc",
            "reproduce",
            experiment,
            "--budget",
            budget,
            "--seed",
            str(seed),
            "--out",
            str(out),
        ]
    )
    try:
        paths = reproduce(experiment, budget, seed, out, command)
    except KeyboardInterrupt:
        say(f"{out}: stopped; resume it in this folder with: {command}")
        raise typer.Exit(STOPPED) from None
    for path in paths:
        say(str(path))
