"""Rows of a campaign of a material: their fields, their order and what is wrong with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gcd_hpc.config.material import MATERIAL
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.field import Field
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.schema import ROW_FIELDS
from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.periodic import with_tilt

MATERIAL_FIELDS = (
    *("density_g_cm3", "energy_ev_atom", "guided", "spectrum_error", "spectrum_error_se"),
    *("predicted_error", "num_labelled"),
)
"""Fields that have a meaning only for a material."""
BOUNDARY_FIELDS = (
    *("registry", "registry_relaxed", "target_energy_j_m2", "target_n_fraction", "n_fraction"),
    *("n_index", "formula", "surplus", "gb_energy_j_m2", "screen_gb_energy_j_m2"),
    *("score_gb_energy_j_m2", "composition_energy_j_m2", "rich_gb_energy_j_m2"),
    *("poor_gb_energy_j_m2", "excess_volume_a", "strain_energy_j_m2", "strain_volume_a", "move"),
    *("parents", "voxel_evaluations", "cohesive_ev", "element_energies_ev", "area_a2"),
    *("surface_depth_a", "atoms_per_plane", "axial_ratio", "energies_from", "tilt_a"),
)
"""Fields that have a meaning only for a boundary."""
RANKED_FIELDS = ("status", "spectrum_error", "energy_ev_atom")
PERIODIC = (True, True, True)
MIN_PAIR_A = 0.5
"""Atoms nearer to each other than this are no structure, Å: no bond is as short."""


def is_material(config: Any) -> bool:
    """Whether the attribute ``config`` of a file is the campaign of a material."""
    return bool(section_of(str(config), MATERIAL))


def kind_fields(of_material: bool) -> tuple[Field, ...]:
    """Fields of rows without those that have a meaning only in the other kind of campaign."""
    other = BOUNDARY_FIELDS if of_material else MATERIAL_FIELDS
    return tuple(field for field in ROW_FIELDS if field.name not in other)


def is_settled(columns: Columns) -> np.ndarray:
    """Mask (M,) of the rows that were relaxed to a finite energy; columns: RANKED_FIELDS."""
    return np.asarray((columns["status"] == "ok") & np.isfinite(columns["energy_ev_atom"]))


def ranked(columns: Columns) -> np.ndarray:
    """Indices (M,) of rows by ascending spectrum error, then energy; unknown errors come last."""
    keys = columns["energy_ev_atom"], columns["spectrum_error"]
    return np.asarray(np.lexsort(keys))


def material_fault(row: Mapping[str, Any]) -> str:
    """Reason why a relaxed row of a material is no structure; empty if it is one.

    Args:
        row: fields of a candidate, atoms included.
    """
    positions, box = np.asarray(row["positions"]), with_tilt(row["cell"], row["tilt_a"])
    if not len(positions) or not np.isfinite(positions).all():
        return "expected atoms with finite positions, got others"
    if not np.isfinite(box).all() or not (np.diag(box) > 0).all():
        return "expected the edges of a box, got others"
    closest = closest_pair(positions, box, PERIODIC)
    if closest < MIN_PAIR_A:
        return f"two atoms are {closest:.3f} Å apart, expected at least {MIN_PAIR_A:g} Å"
    return ""
