"""The command that computes gamma surfaces."""

import re
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, FigureFile, Json, Results, Workers, one_of_these
from gcd_hpc.cli.output import phases_bar, print_json, say, written
from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from gcd_hpc.engines.shifted import Freedom
    from gcd_hpc.phases.gamma import GammaSurface
    from gcd_hpc.phases.registries import Place


def gamma(
    run: Results,
    phase: Annotated[
        str | None,
        typer.Option(
            "--phase",
            metavar="NAME",
            help="Phase whose structure is shifted, or a candidate's id; two perfect grains when"
            " not given.",
        ),
    ] = None,
    grid: Annotated[
        str, typer.Option("--grid", metavar="MxN", help="Shifts along the edges of their cell.")
    ] = "16x16",
    relax: Annotated[
        str,
        one_of_these("--relax", ("normal", "all"), "What moves at each shift, see above."),
    ] = "normal",
    workers: Workers = 1,
    out: FigureFile = None,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Compute the boundary energy against the rigid shift of one grain, and draw it as a map.

    The upper grain is shifted along the boundary on a grid over the smallest cell in which shifts
    repeat. At each shift it is lifted until no two atoms overlap, and the structure is relaxed. The
    data are stored in RUN/phases/gamma; the same command reads them, and continues if it was
    killed. The map shows where the phases of the same [n] lie.

    \b
    normal: atoms move along the boundary's normal only, and so do the grains.
    all: atoms between the held layers move along all axes; the grains keep their shift.

    \b
    Examples:
      gcd-hpc gamma runs/cu_sigma5
      gcd-hpc gamma runs/cu_sigma5 --grid 24x16 --workers 4 --out cut.pdf
      gcd-hpc gamma runs/w_sigma5 --phase 1/5-1 --relax all
    """
    from gcd_hpc.browse.figures import check_suffix, save
    from gcd_hpc.browse.gamma_figure import gamma_map
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.gamma import CUT, KIND, gamma_surface
    from gcd_hpc.phases.measuring import system_of
    from gcd_hpc.phases.phase import phase_named
    from gcd_hpc.phases.registries import places_of
    from gcd_hpc.store.run import open_run
    from gcd_hpc.store.run_directory import RunDirectory

    run, shape = one_run(run, boundary, "gamma"), _grid(grid)
    if out is not None:
        check_suffix(out)
    phases = find_phases(open_run(run))
    chosen = None if phase is None else phase_named(phases, phase)
    with phases_bar("Relaxing") as progress:
        surface = gamma_surface(run, chosen, shape, cast("Freedom", relax), workers, progress)
    places = places_of(phases, surface, system_of(run).bicrystal)
    data = RunDirectory(run).measured(KIND, CUT if chosen is None else chosen.file_name)
    figure = save(gamma_map(surface, places), out or data.with_suffix(".png"))
    if json:
        print_json(_record(surface, places))
        return
    _print(surface, places)
    written(data, f"{surface.energies_j_m2.size:,} shifts")
    written(figure, "a figure")


def _grid(text: str) -> tuple[int, int]:
    """Number of shifts along both edges.

    Raises:
        GcdError: if the text is not two positive numbers with an x between them.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if match is None:
        raise GcdError(f"--grid must be two numbers such as 16x16, got {text}")
    return int(match[1]), int(match[2])


def _record(surface: "GammaSurface", places: "list[Place]") -> dict[str, Any]:
    """The surface as plain values for JSON; energies of failed shifts become null."""
    return {
        "phase": surface.phase,
        "n_fraction": surface.n_fraction,
        "relax": surface.freedom,
        "cell_a": surface.cell.tolist(),
        "energies_j_m2": surface.energies_j_m2.tolist(),
        "lowest": list(surface.lowest),
        "lowest_shift_a": surface.shifts[surface.lowest].tolist(),
        "failures": {f"{i},{j}": reason for (i, j), reason in surface.failures.items()},
        "phases": [
            {
                "phase": one.phase,
                "gb_energy_j_m2": one.gb_energy_j_m2,
                "shifts_a": one.shifts.tolist(),
            }
            for one in places
        ],
    }


def _print(surface: "GammaSurface", places: "list[Place]") -> None:
    """Print the extremes of the surface and where the phases lie."""
    for name, point in (("lowest", surface.lowest), ("highest", surface.highest)):
        x, y = surface.shifts[point]
        say(f"{name}: {surface.energies_j_m2[point]:.4f} J/m^2 at a shift of {x:.3f}, {y:.3f} Å")
    for one in places:
        shifts = " or ".join(f"{x:.3f}, {y:.3f} Å" for x, y in one.shifts.tolist())
        say(f"phase {one.phase}: {one.gb_energy_j_m2:.4f} J/m^2, shift {shifts}")
    num = int((~surface.converged).sum()) - len(surface.failures)
    if num:
        say(f"{num} shifts did not converge, so that their energies are upper bounds")
    num = len(surface.failures)
    if num:
        reason = next(iter(surface.failures.values()))
        say(f"{num} shifts lead to no boundary of the crystal; the first one says: {reason}")
