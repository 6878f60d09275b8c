"""What the page of one run answers to each of its addresses."""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from gcd_hpc.browse.figure_kinds import What
from gcd_hpc.browse.page.assets import (
    PAGE,
    SCRIPTS,
    STYLE,
    TYPES,
    VIEWER,
    asset,
    asset_bytes,
)
from gcd_hpc.browse.page.contents import MAX_POINTS, Contents
from gcd_hpc.browse.page.downloads import download_one, download_selection
from gcd_hpc.errors import GcdError, StoreError

Query = dict[str, str]
Answer = tuple[str, bytes, dict[str, str]]
"""Content type, content and further headers of a response."""
ASSETS = (*SCRIPTS, STYLE, VIEWER)


class RunPages:
    """Pages of one run.

    Raises:
        StoreError: if there is no such run.
    """

    def __init__(self, run: Path, set_name: str = "") -> None:
        self.contents = Contents(run, set_name)

    def prepare(self) -> None:
        """Read the data of the first view."""
        self.contents.state()
        self.contents.page("", "energy", False, 0, 1)
        self.contents.points("")

    def answer(self, route: str, query: Query) -> Answer | None:
        """Answer to an address below that of the page; None if there is none.

        Raises:
            GcdError: if the query is wrong.
        """
        return ROUTES[route](self.contents, query) if route in ROUTES else None


def json_answer(data: Any) -> Answer:
    """Plain data as JSON."""
    return "application/json", json.dumps(data, separators=(",", ":"), allow_nan=False).encode(), {}


def _file(named: tuple[str, bytes]) -> Answer:
    name, content = named
    quoted = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return (
        "application/octet-stream",
        content,
        {"Content-Disposition": f'attachment; filename="{quoted}"'},
    )


def asset_answer(name: str) -> Answer:
    """A script, style sheet or viewer."""
    return TYPES[Path(name).suffix], asset_bytes(name), {}


def _asset(name: str, contents: Contents, query: Query) -> Answer:
    return asset_answer(name)


def page_answer(page: str, scripts: Sequence[str]) -> Answer:
    """A page with its style sheet and scripts."""
    tags = "\n".join(f'<script src="{name}"></script>' for name in scripts)
    text = (
        asset(page)
        .replace("<!-- style -->", f'<link rel="stylesheet" href="{STYLE}">')
        .replace("<!-- scripts -->", tags)
    )
    return "text/html", text.encode(), {}


def _table_page(contents: Contents, query: Query) -> Answer:
    first, num = _count(query, "first", 0), _count(query, "num", 50)
    sort, descending = query.get("sort", "energy"), query.get("descending") == "true"
    return told(
        lambda: json_answer(contents.page(query.get("select", ""), sort, descending, first, num))
    )


def _points(contents: Contents, query: Query) -> Answer:
    limit = _count(query, "limit", MAX_POINTS)
    return told(lambda: json_answer(contents.points(query.get("select", ""), limit)))


def _registries(contents: Contents, query: Query) -> Answer:
    limit = _count(query, "limit", MAX_POINTS)
    return told(lambda: json_answer(contents.registries(query.get("select", ""), limit)))


def _environment(contents: Contents, query: Query) -> Answer:
    name, before = query.get("id", ""), query.get("before") == "true"
    return told(lambda: json_answer(contents.environment(name, before)))


def told(ask: Callable[[], Answer]) -> Answer:
    """Answer with errors as JSON and status 200, as browsers log every other status.

    Half-typed selections and missing data are expected.
    """
    try:
        return ask()
    except GcdError as error:
        return json_answer({"error": str(error)})


def _count(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise StoreError(f"{name} must be a whole number, got {text}")
    return int(text)


def _figure(contents: Contents, query: Query) -> Answer:
    from gcd_hpc.browse.page.figures import figure_svg  # matplotlib, which no other view needs

    what = query.get("what", "")
    if what not in get_args(What):
        raise StoreError(f"what must be one of {', '.join(get_args(What))}, got {what}")
    return told(
        lambda: (
            "image/svg+xml",
            figure_svg(contents.path, cast(What, what), query.get("select", "")),
            {},
        )
    )


def _download(contents: Contents, query: Query) -> Answer:
    form = query.get("form", "")
    if "id" in query:
        return _file(download_one(contents, form, query["id"]))
    return _file(download_selection(contents, form, query.get("select", "")))


ROUTES: dict[str, Callable[[Contents, Query], Answer]] = {
    "": lambda contents, query: page_answer(PAGE, (*SCRIPTS, VIEWER)),
    **{name: partial(_asset, name) for name in ASSETS},
    "api/version": lambda contents, query: json_answer({"version": contents.version()}),
    "api/state": lambda contents, query: json_answer(contents.state()),
    "api/rows": _table_page,
    "api/points": _points,
    "api/registries": _registries,
    "api/structure": lambda contents, query: json_answer(contents.structure(query.get("id", ""))),
    "api/environment": _environment,
    "api/training": lambda contents, query: json_answer(contents.training()),
    "api/work": lambda contents, query: json_answer(contents.work()),
    "api/moves": lambda contents, query: json_answer(contents.moves()),
    "api/settings": lambda contents, query: json_answer(contents.settings()),
    "api/spectra": lambda contents, query: told(
        lambda: json_answer(contents.spectra(query.get("id", "")))
    ),
    "api/asked": lambda contents, query: told(lambda: json_answer(contents.asked())),
    "api/projection": lambda contents, query: told(
        lambda: json_answer(contents.projection(query.get("id", "")))
    ),
    "api/phases": lambda contents, query: told(lambda: json_answer(contents.phases())),
    "api/failures": lambda contents, query: json_answer(contents.failures()),
    "api/figure": _figure,
    "api/download": _download,
}
"""All routes; no part of a request is ever used as the name of a file."""
