"""Commands that list the candidates of a run and show single ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.choosing import narrowed, one_run, run_or_set
from gcd_hpc.cli.options import Boundary, Csv, Json, Num, PerN, Results, Selection, Unique
from gcd_hpc.cli.output import console, one_of, print_json, wide_console

if TYPE_CHECKING:
    from gcd_hpc.store.run import Run

LISTED_BY_DEFAULT = 20
"""Candidates that ``ls`` lists without ``--num``."""


def top(
    run: Results,
    per_n: PerN = False,
    num: Num = None,
    select: Selection = "",
    unique: Unique = False,
    boundary: Boundary = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List the lowest energies of a run, and the work of each source.

    The campaign may still be running. The table of work is about the whole run; it is left out with
    --select. Without --num, 10 of a run are listed, 1 of each [n] with --per-n, and 1 of each
    boundary of a set. Of a material the smallest spectrum errors are listed.

    \b
    Examples:
      gcd-hpc top runs/w_sigma5 --per-n
      gcd-hpc top runs/w_sigma5 --unique
      gcd-hpc top runs/w_sigma5 --select "n=0.4 source=model" --num 20 --json
      gcd-hpc top runs/cu_tilts --boundary s5_210
    """
    one_of(json=json, csv=csv)
    from gcd_hpc.browse.tables import TOP_FIELDS, find_set_top, find_top, top_table
    from gcd_hpc.store.run import open_run

    chosen = run_or_set(run, boundary)
    if isinstance(chosen, Path) and (material := open_run(chosen)).is_material:
        _top_material(material.select(select), unique, per_n, num, json, csv)
        return
    if isinstance(chosen, Path):
        opened, most = open_run(chosen), num
        if num is None and not per_n:
            most = 10
        rows = opened.select(select)
        found = find_top(narrowed(rows, True, per_n, most) if unique else rows, per_n, most)
    else:
        most = 1 if num is None else num
        members = chosen.select(select).items()
        each = {name: narrowed(run, True, per_n, most) if unique else run for name, run in members}
        found = find_set_top(each, per_n, most)
    if json:
        print_json(found.records)
    elif csv:
        from gcd_hpc.browse.listing import csv_text

        print(csv_text(found.records, found.names or column_names(chosen, TOP_FIELDS)), end="")
    else:
        screen = console() if isinstance(chosen, Path) else wide_console()
        screen.print(top_table(found))
        if isinstance(chosen, Path) and not select:
            from gcd_hpc.accounts.sources import sources_of
            from gcd_hpc.browse.sources import work_table
            from gcd_hpc.campaign.ledger import read_state

            console().print(work_table(sources_of(opened, read_state(chosen))))


def _top_material(
    run: "Run", unique: bool, per_n: bool, num: int | None, json: bool, csv: bool
) -> None:
    """List the structures of a material of smallest spectrum error."""
    from gcd_hpc.browse.listing import csv_text, list_rows, list_table, listed_fields

    best = narrowed(run, unique, per_n, 10 if num is None else num)
    found = list_rows(best, "error", num=0)
    if json:
        print_json(found.records)
    elif csv:
        print(csv_text(found.records, listed_fields(run)), end="")
    else:
        console().print(list_table(found))


def column_names(chosen: object, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns of a CSV table; a table of a set begins with the boundary."""
    return names if isinstance(chosen, Path) else ("boundary", *names)


def listing(
    run: Results,
    select: Selection = "",
    unique: Unique = False,
    per_n: PerN = False,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="FIELD",
            help="energy, n, error or a field of the schema; the run's order when not given.",
        ),
    ] = None,
    descending: Annotated[
        bool,
        typer.Option("--descending", help="Sort in descending order; unknown values come last."),
    ] = False,
    num: Num = None,
    boundary: Boundary = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List candidates of a run, of any status.

    The campaign may still be running. Of a set, the candidates of all its boundaries are listed.
    Without --num, 20 are listed, or all that --per-n leaves. Structures of a material are listed
    with their spectrum errors; --sort error puts those nearest to the spectrum first.

    \b
    Examples:
      gcd-hpc ls runs/w_sigma5
      gcd-hpc ls runs/w_sigma5 --select "status=failed,invalid" --num 0
      gcd-hpc ls runs/w_sigma5/results.h5 --select "n=0.2 source=model round=2" --sort energy --csv
      gcd-hpc ls runs/cu_tilts --sort energy
    """
    one_of(json=json, csv=csv)
    from gcd_hpc.browse.listing import (
        LISTED,
        csv_text,
        list_rows,
        list_set_rows,
        list_table,
        listed_fields,
    )
    from gcd_hpc.store.run import open_run

    chosen = run_or_set(run, boundary)
    names: tuple[str, ...] = LISTED
    of_each, most = None, LISTED_BY_DEFAULT if num is None else num
    if per_n:
        # The number is that of each [n], and all that are left are shown.
        of_each, most = num, 0
    if isinstance(chosen, Path):
        rows = narrowed(open_run(chosen).select(select), unique, per_n, of_each)
        found, names = list_rows(rows, sort, descending, most), listed_fields(rows)
    else:
        members = chosen.select(select).items()
        each = {name: narrowed(run, unique, per_n, of_each) for name, run in members}
        found = list_set_rows(each, sort, descending, most)
    if json:
        print_json(found.records)
    elif csv:
        print(csv_text(found.records, column_names(chosen, names)), end="")
    else:
        screen = console() if isinstance(chosen, Path) else wide_console()
        screen.print(list_table(found))


def show(
    run: Results,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Candidates, as top and ls name them.")
    ],
    ancestry: Annotated[
        bool,
        typer.Option("--ancestry", help="Show the line of parents back to a try instead."),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Show every stored field with its unit and meaning.")
    ] = False,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Show single candidates, or from which structures they were made.

    What matters most is shown; with --all every stored value with its unit and meaning, with --json
    the positions and energies of the atoms too. With --ancestry the line of parents is shown, one
    structure a line: each move of the exploration back to the try of the search or the model that
    it began with.

    \b
    Examples:
      gcd-hpc show runs/w_sigma5 explore-01-000012 --ancestry
      gcd-hpc show runs/w_sigma5 model-01-000045 --all
      gcd-hpc show runs/w_sigma5 search-000003 model-02-000017 --json
    """
    from gcd_hpc.browse.ancestry import ancestry as line_of
    from gcd_hpc.browse.ancestry import ancestry_view
    from gcd_hpc.browse.listing import detail_record, detail_view, standing
    from gcd_hpc.store.run import open_run

    opened = open_run(one_run(run, boundary, "show"))
    if ancestry:
        lines = [line_of(opened, name) for name in ids]
        if json:
            print_json(lines)
        else:
            console().print(*map(ancestry_view, lines))
        return
    found = opened[ids]
    if json:
        print_json([detail_record(candidate) for candidate in found])
        return
    for number, candidate in enumerate(found):
        console().print(
            *([""] if number else []), detail_view(candidate, standing(opened, candidate), every)
        )
