"""Commands for what a campaign found, and for structures of the user's own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gcd_hpc.cli.options import CampaignFile, Json, Overrides, Results
from gcd_hpc.cli.output import console, print_json


def relax(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="LAMMPS dump or data, extxyz, POSCAR; z is the boundary normal.")],
    campaign: CampaignFile,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Energies of your own structures of the boundary.

    \b
    Example:
      gcd-hpc relax found/*.dump --campaign campaigns/w_sigma5.yaml --json
    """
    from gcd_hpc.config.loader import load_campaign

    config = load_campaign(campaign, overrides or [])
    from gcd_hpc.stages.evaluate import evaluate_files

    records = evaluate_files(config, files, campaign.parent)
    if json:
        print_json(records)
        return
    from gcd_hpc.browse.tables import energies_table

    console().print(energies_table(records))


def export(
    run: Results,
    form: Annotated[Literal["extxyz", "lammps-data", "poscar", "csv"], typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option("--out", metavar="F", help="File to write, or folder for one file a structure.")],
) -> None:
    """Write a run's results for other programs.

    extxyz and csv make one file; csv has one row a candidate, failed ones too. lammps-data and poscar make a folder with one file a
    structure.

    \b
    Examples:
      gcd-hpc export runs/w_sigma5 --format csv --out w_sigma5.csv
      gcd-hpc export runs/w_sigma5 --format poscar --out structures
    """
    from gcd_hpc.store.export import export as write
    from gcd_hpc.store.index import RunStore

    num = write(RunStore(run), form, out)
    print(f"{out}: {num} {'rows' if form == 'csv' else 'structures'}")
