"""Commands for a first campaign: a list of boundaries, and a campaign file for one of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gcd_hpc.cli.options import Json
from gcd_hpc.cli.output import console, print_json, say, written
from gcd_hpc.config.miller import Indices, parsed, spelled
from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from gcd_hpc.structures.catalogue import KnownBoundary

Element = typer.Option("--element", metavar="SYMBOL", help="Chemical symbol, such as Cu.")
Lattice = Annotated[
    str | None,
    typer.Option(
        "--lattice",
        metavar="NAME",
        help="sc, bcc, fcc, diamond or hcp; the element's when not given.",
    ),
]
MAX_SIGMA = 29
"""Largest Sigma of a list where none is given."""


def boundaries(
    element: Annotated[str, Element],
    axis: Annotated[str, typer.Option("--axis", metavar="UVW", help="Rotation axis, such as 001.")],
    lattice: Lattice = None,
    max_sigma: Annotated[
        int, typer.Option("--max-sigma", min=3, max=199, help="Largest Sigma.")
    ] = MAX_SIGMA,
    max_index: Annotated[
        int,
        typer.Option(
            "--max-index",
            min=0,
            max=9,
            help="Largest index of the lower plane of asymmetric tilts; 0 leaves them out.",
        ),
    ] = 1,
    json: Json = False,
) -> None:
    """List the coincidence boundaries about an axis.

    Twist boundaries, symmetric tilts and asymmetric tilts of low planes, each with its smallest
    rectangular cell, its area, N_plane (N) and the number of atoms in two slabs of 27 Å. --json
    also has the keys that name each of them in a campaign file.

    \b
    Examples:
      gcd-hpc boundaries --element W --axis 001 --max-sigma 29
      gcd-hpc boundaries --element Cu --axis 110 --max-sigma 11 --max-index 2 --json
      gcd-hpc boundaries --element Ti --axis 0001
    """
    from gcd_hpc.browse.boundaries import boundary_records, boundary_table
    from gcd_hpc.campaign.draft import lattice_of

    lattice = lattice_of(element, lattice)
    direction = _miller("--axis", axis)
    found = _known(element, lattice, direction, max_sigma, max_index)
    if json:
        print_json(boundary_records(found))
        return
    if not found:
        say(f"there is no Sigma up to {max_sigma} about {spelled(direction)}; raise --max-sigma")
        return
    title = f"{element} ({lattice}), axis {spelled(direction)}"
    console().print(boundary_table(found, title))


def init(
    element: Annotated[str | None, Element] = None,
    lattice: Lattice = None,
    sigma: Annotated[
        int | None, typer.Option("--sigma", metavar="N", help="Coincidence index.")
    ] = None,
    angle: Annotated[
        float | None,
        typer.Option(
            "--angle", metavar="DEGREES", help="Misorientation angle in place of --sigma."
        ),
    ] = None,
    axis: Annotated[
        str | None, typer.Option("--axis", metavar="UVW", help="Rotation axis, such as 001.")
    ] = None,
    plane: Annotated[
        str | None,
        typer.Option("--plane", metavar="HKL", help="Plane of the lower grain, such as 210."),
    ] = None,
    upper_plane: Annotated[
        str | None,
        typer.Option("--upper-plane", metavar="HKL", help="Family of the upper grain's plane."),
    ] = None,
    twist: Annotated[
        bool, typer.Option("--twist", help="Twist boundary, in place of --plane.")
    ] = False,
    potential: Annotated[
        str | None,
        typer.Option(
            "--potential",
            metavar="FILE",
            help="Potential file, or the name of one that LAMMPS ships; chosen when not given.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Campaign file to write.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a first campaign file for a boundary.

    Lattice and potential are found from the element. What is missing is asked for on a terminal;
    without any option that is everything. The file is checked before it is written, and a file that
    exists is not replaced.

    \b
    Examples:
      gcd-hpc init
      gcd-hpc init --element Cu --sigma 5 --plane 210 --axis 001 --out cu.yaml
      gcd-hpc init --element W --angle 36.9 --axis 001 --twist --out w.yaml
      gcd-hpc init --element Ti --sigma 7 --plane="-1 3 -2 0" --axis 0001 --out ti.yaml
    """
    from gcd_hpc.campaign import draft
    from gcd_hpc.config.boundary import BoundaryConfig
    from gcd_hpc.files import output

    if out is not None:
        _refuse_existing(out, force)
    element = element or _ask("--element", "Element, such as Cu")
    is_asked = sigma is None and angle is None and axis is None
    lattice = draft.lattice_of(element, lattice)
    direction = _miller("--axis", axis or _ask("--axis", "Rotation axis", "001"))
    name: dict[str, Any] = {"sigma": sigma, "angle": angle, "axis": direction}
    name |= {"plane": _optional("--plane", plane), "twist": twist or None}
    name |= {"upper_plane": _optional("--upper-plane", upper_plane)}
    if sigma is None and angle is None:
        name = _choose(element, lattice, direction)
    name = {key: value for key, value in name.items() if value is not None}
    chosen = draft.potential_of(element, lattice, potential)
    if potential is None and is_asked:
        chosen = _choose_potential(element, lattice)
    # What the section cannot hold, such as a plane of another zone, is found by the checks.
    title = draft.title_of(BoundaryConfig.model_construct(element=element, lattice=lattice, **name))
    out = out or Path(_ask("--out", "File to write", f"{title}.yaml"))
    _refuse_existing(out, force)
    text = draft.checked(draft.Draft(element, lattice, name, chosen), title, out.parent)
    with output(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    written(out, f"{element} ({lattice}) with {chosen.path.name}; next: gcd-hpc check {out}")


def _known(
    element: str, lattice: str, axis: Indices, max_sigma: int, max_index: int
) -> "list[KnownBoundary]":
    from gcd_hpc.config.boundary import slabs_of
    from gcd_hpc.config.simulation import outer_layers
    from gcd_hpc.structures.catalogue import known_boundaries
    from gcd_hpc.structures.lattices import typical_a0

    slabs = slabs_of("auto", outer_layers("auto", None))
    a0 = typical_a0(element, lattice)
    return list(known_boundaries(element, lattice, a0, axis, max_sigma, max_index, slabs))


def _choose(element: str, lattice: str, axis: Indices) -> dict[str, Any]:
    """Keys of the boundary that the user chooses from the list."""
    from gcd_hpc.browse.boundaries import boundary_table

    _terminal("--sigma")
    found = _known(element, lattice, axis, MAX_SIGMA, 1)
    if not found:
        raise GcdError(
            f"there is no Sigma up to {MAX_SIGMA} about {spelled(axis)}; give --sigma and --plane"
        )
    title = f"Boundaries of {element} up to Sigma {MAX_SIGMA}"
    console().print(boundary_table(found, title, is_numbered=True))
    return found[_number("Boundary", len(found)) - 1].keys


def _choose_potential(element: str, lattice: str) -> Any:
    from gcd_hpc.engines.library import potentials_for

    known = potentials_for(element, lattice)
    for number, one in enumerate(known, start=1):
        say(f"{number:3}  {one.path.name:24} {one.citation}")
    return known[_number("Potential", len(known)) - 1]


def _number(question: str, largest: int) -> int:
    """A number from 1 to ``largest`` that the user types; asked again until it is one."""
    while True:
        number: int = typer.prompt(f"{question} (1 to {largest})", default=1, type=int)
        if 1 <= number <= largest:
            return number


def _ask(option: str, question: str, default: str | None = None) -> str:
    _terminal(option)
    return str(typer.prompt(question, default=default)).strip()


def _terminal(option: str) -> None:
    """Refuse to ask where nobody can answer."""
    if not sys.stdin.isatty():
        raise GcdError(f"{option} is required where there is no terminal to ask on")


def _miller(option: str, text: str) -> Indices:
    try:
        return parsed(text)
    except ValueError:
        raise GcdError(
            f"{option} must be three whole numbers such as 210 or 11,2,0, not all 0, or four in hcp"
            f" such as 0001, got {text}"
        ) from None


def _optional(option: str, text: str | None) -> Indices | None:
    return None if text is None else _miller(option, text)


def _refuse_existing(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise GcdError(f"{out} exists; choose another --out, or give --force to replace it")
