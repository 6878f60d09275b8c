"""The page as one HTML file with embedded data, which opens without a server or network."""

import base64
import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from gcd_hpc.browse.page.assets import PAGE, SCRIPTS, STYLE, VIEWER, asset
from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.figures import figure_svg
from gcd_hpc.browse.page.material_structure import material_environment, material_record
from gcd_hpc.browse.page.structure import environment_record, structure_record
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.files import output

NUM_STRUCTURES = 300
MAX_ROWS = 5000
"""Largest number of rows in the table; of larger runs the lowest of each [n] are kept."""
MAX_ATOMS = 250_000
"""Largest number of atoms (30 bytes each) for which whole boxes and not only regions are kept."""


def write_page(run: Path, path: str | Path, num: int = NUM_STRUCTURES) -> Path:
    """Write the page of a run as one HTML file; return its path.

    Args:
        num: largest number of structures: the lowest in energy, equally many of each [n].

    Raises:
        GcdError: if there is no such run, or if the file cannot be written.
    """
    path = Path(path)
    data = _data(Contents(run), num)
    with output(path) as temporary:
        temporary.write_text(_html(data), encoding="utf-8")
    return path


def _data(contents: Contents, num: int) -> dict[str, Any]:
    state = contents.state()
    if not state["num"]:
        raise StoreError(f"{contents.path}: nothing to show: there are no candidates yet")
    rows = contents.table(MAX_ROWS)
    structures = _structures(contents, num)
    is_material = contents.run().is_material
    which = "those nearest to the spectrum" if is_material else "the lowest of each [n]"
    some = "" if len(rows) == state["num"] else f"{len(rows):,} of {state['num']:,} candidates and "
    return {
        "state": state,
        "rows": rows,
        "structures": structures,
        "environments": _environments(contents, structures),
        "training": contents.training(),
        "work": contents.work(),
        "moves": contents.moves(),
        "settings": contents.settings(),
        "registries": contents.registries("", MAX_ROWS),
        "phases": contents.phases(),
        "failures": contents.failures(),
        "figures": {what: _figure(contents.path, what) for what in state["figures"]},
        "spectra": {"": contents.spectra()} | {name: contents.spectra(name) for name in structures}
        if is_material
        else {},
        "asked": contents.asked() if state["is_guided"] else {},
        "projections": _projections(contents, structures) if state["is_guided"] else {},
        "note": f"{some}the atoms of {len(structures):,}, {which}",
    }


def _structures(contents: Contents, num: int) -> dict[str, Any]:
    candidates = list(contents.lowest(num))
    if contents.run().is_material:
        return {candidate.id: material_record(candidate) for candidate in candidates}
    whole = sum(candidate.num_atoms for candidate in candidates) <= MAX_ATOMS
    element = contents.element()
    return {candidate.id: structure_record(candidate, element, whole) for candidate in candidates}


def _environments(contents: Contents, structures: dict[str, Any]) -> dict[str, Any]:
    """Environments of the atoms of the structures, as far as there are neighbours."""
    found = {}
    for name, record in structures.items():
        with suppress(StoreError):
            candidate = contents.candidate(name)
            found[name] = (
                material_environment(candidate)
                if candidate.is_material
                else environment_record(candidate, contents.lattice(), whole=record["whole"])
            )
    return found


def _projections(contents: Contents, structures: dict[str, Any]) -> dict[str, Any]:
    """Projections of the structures, where the candidates were guided by an image."""
    found = {}
    for name in structures:
        with suppress(StoreError):
            found[name] = contents.projection(name)
    return found


def _figure(run: Path, what: Any) -> dict[str, str]:
    try:
        return {
            "url": "data:image/svg+xml;base64," + base64.b64encode(figure_svg(run, what)).decode()
        }
    except GcdError as error:
        return {"error": str(error)}


def _html(data: dict[str, Any]) -> str:
    scripts = [_inline("\n".join(asset(name) for name in SCRIPTS)), _inline(asset(VIEWER))]
    policy = (
        f"default-src 'none'; script-src {' '.join(_source(script) for script in scripts)}; img-src"
        " data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    embedded = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    blocks = [
        f'<script type="application/json" id="data">{embedded}</script>',
        *(f"<script>{script}</script>" for script in scripts),
    ]
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "style": f"<style>{asset(STYLE)}</style>",
        "scripts": "\n".join(blocks),
    }
    return re.sub(r"<!-- (\w+) -->", lambda found: parts[found[1]], asset(PAGE))


def _inline(script: str) -> str:
    """Script with every sequence that would end its HTML element escaped inside strings."""
    return re.sub(r"<(?=/script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


def _source(script: str) -> str:
    """Content-Security-Policy source that allows only a script of exactly this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
