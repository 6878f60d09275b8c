"""Registries of the grains in the smallest cell in which they repeat."""

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.crystal import unit_crystal
from gcd_hpc.store.run import Run
from gcd_hpc.structures.periodic import cartesian, fractional, with_tilt
from gcd_hpc.structures.registry import repeat_cell

Array = NDArray[np.float64]
REGISTRY_FIELDS = ("registry_relaxed", "cell", "tilt_a")


def repeat_of(run: Run, columns: Columns) -> Array:
    """Cell (2, 2) Å in which relaxed registries repeat, scaled to that of the first row.

    The cell of the candidates themselves if the files do not describe the boundary.
    """
    cell = with_tilt(columns["cell"][0, :2], columns["tilt_a"][0])
    one = unit_crystal(run.provenance.get("config"))
    return cell if one is None else repeat_cell(one) * np.diag(cell) / np.diag(one.cell)


def reduced_registries(run: Run) -> tuple[Array | None, dict[str, list[float]]]:
    """The cell of ``repeat_of``, and the shift (dx, dy) in it of each candidate by its id, Å.

    Candidates without a relaxed registry are left out; the cell is None if that leaves none.
    """
    columns = run.columns(["id", *REGISTRY_FIELDS])
    known = np.isfinite(columns["registry_relaxed"]).all(axis=1) & (columns["cell"] > 0).all(axis=1)
    if not known.any():
        return None, {}
    columns = {name: values[known] for name, values in columns.items()}
    cell = repeat_of(run, columns)
    places = cartesian(fractional(columns["registry_relaxed"][:, :2], cell) % 1.0, cell)
    return cell, dict(zip(columns["id"].tolist(), places.round(3).tolist(), strict=True))
