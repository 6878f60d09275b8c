"""The page of a set of boundaries: their overview, and below it the page of each of them."""

import threading
from pathlib import Path
from typing import Any

from gcd_hpc.browse.overview import (
    ABOUT,
    Overview,
    OverviewRow,
    members_of,
    overview_cells,
    overview_headings,
    row_of,
    sorted_rows,
)
from gcd_hpc.browse.page.assets import SET_PAGE, SET_SCRIPTS, STYLE
from gcd_hpc.browse.page.contents import version_of
from gcd_hpc.browse.page.routes import (
    Answer,
    Query,
    RunPages,
    asset_answer,
    json_answer,
    page_answer,
    told,
)
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet

MEMBER = "boundary"
"""Beginning of the addresses of a boundary's own page: boundary/NAME/."""
MAX_OPEN = 8
"""Largest number of boundaries whose candidates are kept in memory for their pages."""


class SetPages:
    """Pages of a set; thread-safe. They follow a running campaign.

    Raises:
        StoreError: if the set cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._set = RunSet.open(path)
        self._members = members_of([path])
        self._lock = threading.RLock()
        self._rows: dict[str, tuple[str, OverviewRow]] = {}
        """Version of each boundary's files, and its row as of that version."""
        self._figure: tuple[str, bytes] = ("", b"")
        self._pages: dict[str, RunPages] = {}

    def prepare(self) -> None:
        """Read the data of the first view."""
        self._state()

    def answer(self, route: str, query: Query) -> Answer | None:
        """Answer to an address below that of the overview; None if there is none.

        Raises:
            GcdError: if the query is wrong.
        """
        if route in (*SET_SCRIPTS, STYLE):
            return asset_answer(route)
        match route.split("/", 2):
            case [""]:
                return page_answer(SET_PAGE, SET_SCRIPTS)
            case ["api", "version"]:
                return json_answer({"version": self._version()})
            case ["api", "state"]:
                return json_answer(self._state())
            case ["api", "figure"]:
                return told(lambda: ("image/svg+xml", self._svg(), {}))
            case [first, name, rest] if first == MEMBER and name in self._set.campaigns:
                return self._member(name).answer(rest, query)
        return None

    def _version(self) -> str:
        """Text that changes with the files of any boundary."""
        versions = [_version(self._set.directory(name)) for name in self._set.campaigns]
        return str(hash(tuple(versions)))

    def _overview(self) -> Overview:
        """The overview as of now; only boundaries whose files changed are read again."""
        with self._lock:
            for member in self._members:
                version = _version(member.path)
                if self._rows.get(member.name, ("", None))[0] != version:
                    self._rows[member.name] = version, row_of(member)
            return Overview(sorted_rows(row for _, row in self._rows.values()))

    def _state(self) -> dict[str, Any]:
        version, found = self._version(), self._overview()
        return {
            "version": version,
            "name": self._set.config.name,
            "path": str(self._set.path.resolve()),
            "headings": overview_headings(found),
            "about": ABOUT,
            "rows": [
                {
                    "name": row.boundary,
                    "href": f"{MEMBER}/{row.boundary}/" if row.tries else None,
                    "status": row.status,
                    "cells": overview_cells(row),
                }
                for row in found.rows
            ],
            "tries": sum(row.tries for row in found.rows),
        }

    def _svg(self) -> bytes:
        """The figure of the overview, drawn again when something changed.

        Raises:
            StoreError: if nothing was relaxed yet.
        """
        # They import matplotlib, which no other view needs.
        from gcd_hpc.browse.overview_figure import overview_figure
        from gcd_hpc.browse.page.figures import svg_of

        version = self._version()
        if self._figure[0] != version:
            found = self._overview()
            self._figure = version, svg_of(lambda: overview_figure(found))
        return self._figure[1]

    def _member(self, name: str) -> RunPages:
        """Pages of one boundary; of the boundaries looked at, the last few are kept.

        Raises:
            StoreError: if it has not begun.
        """
        with self._lock:
            pages = self._pages.pop(name, None)
            if pages is None:
                pages = RunPages(self._set.directory(name), self._set.config.name)
            # The last one is the most recent.
            self._pages[name] = pages
            while len(self._pages) > MAX_OPEN:
                self._pages.pop(next(iter(self._pages)))
            return pages


def _version(folder: Path) -> str:
    """Hash that changes when a part is finished, or the ledger grows."""
    run = RunDirectory(folder)
    return version_of([run.ledger, *run.part_folders()])
