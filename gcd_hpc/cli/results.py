"""Commands that export a campaign's results, and that relax the user's own structures."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import narrowed, run_or_set
from gcd_hpc.cli.options import (
    Boundary,
    CampaignFile,
    Json,
    Num,
    Overrides,
    PerN,
    Results,
    Selection,
    Unique,
    one_of_these,
)
from gcd_hpc.cli.output import console, print_json, written

FORMATS = ("extxyz", "lammps-data", "lammps-dump", "poscar", "cif", "csv", "ase-db", "vasp")


def relax(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Structure files or folders of them; z is the boundary normal."
        ),
    ],
    campaign: CampaignFile,
    overrides: Overrides = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="Another engine: an ASE calculator by name, or a YAML file that names one.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Relax structures of your own and compute their energies.

    Reads LAMMPS dumps and data, extended XYZ, POSCAR, CIF and ASE databases, with one structure or
    several, also compressed by gzip: every structure format of gcd-hpc export. The outer layers of
    each slab are compared with the lattices of both grains. A slab of another boundary is refused;
    relaxed surfaces are moved back to the lattice, and incomplete planes are removed. The column
    "summed over" is the height of the slab over which E_gb is summed. A structure relaxed with the
    preset tight keeps its energy; one relaxed loosely (screen, paper) may reach a lower one. With
    --engine, structures are scaled to the lattice constant of that engine first. The exit code is 1
    if none of them could be relaxed.

    \b
    Examples:
      gcd-hpc relax found/*.dump --campaign campaigns/w_sigma5.yaml --json
      gcd-hpc relax mine.extxyz -c campaigns/w_sigma5.yaml --set relaxation.preset=tight
      gcd-hpc relax mine.extxyz -c campaigns/w_sigma5.yaml --engine second.yaml
    """
    from gcd_hpc.structures.slab_files import read_campaign

    config, folder = read_campaign(campaign, overrides or []), campaign.parent
    if engine is not None:
        from gcd_hpc.config.loader import with_engine

        config, folder = with_engine(config, engine)
    from gcd_hpc.stages.evaluate import evaluate_files

    structures = evaluate_files(config, files, folder, is_scaled=engine is not None)
    if json:
        print_json([asdict(structure) for structure in structures])
    else:
        from gcd_hpc.browse.tables import energies_table

        console().print(energies_table(structures), crop=False)
    if all(structure.status == "failed" for structure in structures):
        raise typer.Exit(1)


def export(
    run: Results,
    form: Annotated[str, one_of_these("--format", FORMATS, "What to write.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="F", help="File to write, or folder for one file a structure."
        ),
    ],
    select: Selection = "",
    unique: Unique = False,
    per_n: PerN = False,
    num: Num = None,
    a0: Annotated[
        float | None,
        typer.Option(
            "--a0", metavar="A", help="With vasp: lattice constant of VASP in Å, to scale to."
        ),
    ] = None,
    boundary: Boundary = None,
) -> None:
    """Write a run's results for other programs.

    Lengths are in Å, energies in eV; E_gb is in J/m^2. Structures are the relaxed ones, in the
    order of the run, with --per-n or --num by energy, of a material by spectrum error. Each file
    says which candidate it holds, its E_gb and [n], and the potential with its hash; of a material
    its spectrum error, energy per atom, density and whether it was guided. It stands in the title,
    the comment or the fields. An existing file is replaced only when the new one is complete.

    \b
    one file of all structures:
      extxyz       positions, energies of the box and of each atom, all fields of show
      ase-db       the same in a database of ASE; the id is its key "candidate"
    one file per structure: F itself, or F/ID.data and so on if there are several:
      lammps-dump  positions and energies of the atoms (c_epot), metal units, for OVITO
      lammps-data  positions; for LAMMPS with units metal, boundary p p s
      poscar       positions; the outer layers held by selective dynamics
      cif          positions
    one folder per structure:
      vasp         F/ID with POSCAR (outer layers held), INCAR and KPOINTS; add your POTCAR;
                   F/bulk, F/lower and F/upper are references that gcd-hpc import needs
    one file without structures:
      csv          one row per candidate, failed ones included, all fields of show

    Of a set of boundaries, csv is one table whose first column is the boundary, and the other
    formats make F/BOUNDARY.extxyz, F/BOUNDARY.db or a folder F/BOUNDARY.

    Types of LAMMPS are the elements of the campaign in their order. lammps-data, poscar and cif
    hold no energies and cannot express that the box is open along z: POSCAR and CIF are read as
    periodic, with a vacuum between the ends. Readers of CIF may move atoms by whole cells along x
    and y.

    \b
    Examples:
      gcd-hpc export runs/w_sigma5 --format csv --out w_sigma5.csv
      gcd-hpc export runs/w_sigma5 --select "n=0.2 energy<2.3" --format extxyz --out ground.extxyz
      gcd-hpc export runs/w_sigma5/results.h5 --select "energy<2.5" --format poscar --out structures
      gcd-hpc export runs/w_sigma5 --per-n --format poscar --out best_of_each_n
      gcd-hpc export runs/w_sigma5 --unique --num 10 --format cif --out phases
      gcd-hpc export runs/w_sigma5 --select id=model-01-000045 --format lammps-data --out best.data
      gcd-hpc export runs/w_sigma5 --select "energy<2.4" --format vasp --a0 3.17 --out vasp_pbe
      gcd-hpc export runs/cu_tilts --select "energy<0.95" --format extxyz --out tilts
    """
    from gcd_hpc.store.export import export as write
    from gcd_hpc.store.export import export_set
    from gcd_hpc.store.run import open_run

    chosen = run_or_set(run, boundary)
    if isinstance(chosen, Path):
        rows = narrowed(open_run(chosen).select(select), unique, per_n, num)
        count = write(rows, form, out, a0)
    else:
        members = chosen.select(select).items()
        each = {name: narrowed(run, unique, per_n, num) for name, run in members}
        count = export_set(each, form, out, a0)
    what = "row" if form == "csv" else "structure"
    written(out, f"{count:,} {what}{'' if count == 1 else 's'}")
