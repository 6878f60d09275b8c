"""Static files of the page, and the 3D viewer from the installed chemiscope package."""

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from gcd_hpc.errors import StoreError

SCRIPTS = ("dom.js", "selection.js", "source.js", "structure.js", "map.js", "table.js", "page.js")
"""Scripts in the order in which they must be loaded."""
SET_PAGE, SET_SCRIPTS = "set.html", ("dom.js", "set.js")
"""Page of a set of boundaries and its scripts."""
STYLE = "page.css"
PAGE = "page.html"
VIEWER = "chemiscope.js"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


@cache
def asset(name: str) -> str:
    """Text of a script, style sheet or page.

    Raises:
        StoreError: if the installed chemiscope does not hold its viewer.
    """
    if name == VIEWER:
        return _viewer().read_text(encoding="utf-8")
    return (files("gcd_hpc.browse.page") / "static" / name).read_text(encoding="utf-8")


@cache
def asset_bytes(name: str) -> bytes:
    """Content of an asset in UTF-8, cached for all requests."""
    return asset(name).encode()


def _viewer() -> Path:
    # The package is located without importing it, which would load IPython.
    spec = find_spec("chemiscope")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0] if folders else "chemiscope", "sphinx", "static", "chemiscope.min.js")
    if not path.is_file():
        raise StoreError(
            f"{path}: expected the viewer of chemiscope 1.1.0, got no such file; pip install"
            " chemiscope==1.1.0"
        )
    return path
