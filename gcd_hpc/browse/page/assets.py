"""Static files of the page, and the 3D viewer."""

from functools import cache
from importlib.resources import files

SCRIPTS = (
    *("dom.js", "theme.js", "colours.js", "selection.js", "source.js", "camera.js", "bonds.js"),
    *("viewer.js", "overlay.js", "picture.js", "atoms.js", "pane.js", "chart.js", "map.js"),
    *("table.js", "kinds.js", "thumbnails.js", "spectra.js", "lists.js", "asked.js", "campaign.js"),
    "page.js",
)
"""Scripts in the order in which they must be loaded."""
SET_PAGE, SET_SCRIPTS = "set.html", ("dom.js", "theme.js", "set.js")
"""Page of a set of boundaries and its scripts."""
STYLE = "page.css"
PAGE = "page.html"
VIEWER = "3Dmol-min.js"
"""The viewer of npm's 3dmol 2.5.5, unchanged, with its licence beside it."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


@cache
def asset(name: str) -> str:
    """Text of a script, style sheet or page."""
    folder = "vendor" if name == VIEWER else "static"
    return (files("gcd_hpc.browse.page") / folder / name).read_text(encoding="utf-8")


@cache
def asset_bytes(name: str) -> bytes:
    """Content of an asset in UTF-8, cached for all requests."""
    return asset(name).encode()
