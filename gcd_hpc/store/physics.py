"""Consistency checks of stored candidates: energies, [n] and volumes recomputed from the file."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.alloys import compared_energies
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.crystal import boundary_of, crystal_of, neighbor_distance
from gcd_hpc.store.findings import Report
from gcd_hpc.store.material_rows import is_material, material_fault
from gcd_hpc.store.parts import MAX_LENGTH_A, MIN_EDGE_A
from gcd_hpc.store.schema import BY_NAME, UNKNOWN_N, Candidate
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import (
    MIN_GB_ENERGY_J_M2,
    closest_pair,
    excess_volume,
    gb_energy,
    n_fraction,
    physical_fault,
)
from gcd_hpc.structures.periodic import with_tilt

SAME_ENERGY_J_M2 = 1e-6
"""Tolerance of a recomputed boundary energy, which differs by rounding only."""
SAME_LENGTH_A = 1e-6
OUTSIDE_A = 1.0
"""Largest distance of an atom beyond the open ends of the box, Å."""
RELAXED_FIELDS = ("status", "n_index", "gb_energy_j_m2")
FAULT_FIELDS = (
    *("cell", "tilt_a", "axial_ratio", "cohesive_ev", "element_energies_ev"),
    *("gb_energy_j_m2", "excess_volume_a", "positions", "energies_ev", "numbers"),
)
"""Fields from which ``boundary_fault`` follows."""
_RESULTS = ("gb_energy_j_m2", "excess_volume_a", "max_force_ev_a")


class Physics:
    """Checker of the candidates of one file, called for each block."""

    def __init__(
        self, path: Path, file: h5py.File, report: Report, depth_by_potential: dict[str, float]
    ) -> None:
        self._path = path
        self._report = report
        self._depths = depth_by_potential
        self._version = int(file.attrs["schema_version"])
        self._boundary = boundary_of(file.attrs.get("config"))
        self._crystals: dict[tuple[float | None, float | None], Bicrystal] = {}
        self._is_depth_unknown = False
        self._row: dict[str, Any] = {}
        if self._boundary is None:
            for check in ("n", "atoms"):
                report.skipped(
                    check, f"{path}: the attribute config names no boundary to compare with"
                )

    def verify(self, columns: Columns) -> None:
        """Check all rows of a block and add the findings to the report."""
        stops = np.cumsum(columns["num_atoms"])
        scalars = {
            name: values.tolist()
            for name, values in columns.items()
            if name in BY_NAME and not BY_NAME[name].per_atom
        }
        for number, stop in enumerate(stops.tolist()):
            row: dict[str, Any] = {name: values[number] for name, values in scalars.items()}
            atoms = slice(stop - row["num_atoms"], stop)
            row |= {
                name: columns[name][atoms]
                for name in ("unrelaxed_positions", "positions", "energies_ev", "numbers")
            }
            self._row = row
            self._verify_labels()
            self._verify_results()
            self._verify_start()
            self._verify_n()
            if row["status"] == "ok":
                self._verify_relaxation()
                self._verify_relaxed()

    def _wrong(self, check: str, field: str, expected: object, got: object) -> None:
        self._report.found(check, expected, got, file=self._path, row=self._row["id"], field=field)

    def _compare(
        self, check: str, name: str, value: float, tolerance: float, unit: str, source: str
    ) -> None:
        """Compare a field with the value that follows from other fields."""
        if not abs(value - self._row[name]) <= tolerance:
            expected = f"{value:.6f} {unit}, as of {source}"
            self._wrong(check, name, expected, f"{self._row[name]:.6f}")

    def _verify_labels(self) -> None:
        row = self._row
        self._report.looked_at("status")
        for name in ("source", "status", "failure", "preset"):
            labels = BY_NAME[name].labels
            if row[name] not in labels:
                expected = f"one of {', '.join(label or 'nothing' for label in labels)}"
                self._wrong("status", name, expected, row[name])
        status, has_reason = row["status"], bool(row["reason"])
        if has_reason != (status in ("invalid", "failed")):
            expected = f"none, for it is {status}" if has_reason else "a reason"
            self._wrong("status", "reason", expected, repr(row["reason"]))
        has_class = self._version >= BY_NAME["failure"].since
        if has_class and bool(row["failure"]) != (status == "failed"):
            expected = "physics or bug" if status == "failed" else f"none, for it is {status}"
            self._wrong("status", "failure", expected, repr(row["failure"]))

    def _verify_results(self) -> None:
        """Check that results are known of relaxed candidates, and of no others."""
        status = self._row["status"]
        for name in (*_RESULTS, "positions", "energies_ev"):
            values = np.asarray(self._row[name])
            is_known = bool(np.isfinite(values).all() and values.size)
            if is_known and status != "ok":
                self._wrong("status", name, f"NaN, for it is {status}", "numbers")
            elif not is_known and status == "ok":
                self._wrong("status", name, "finite numbers, for it is ok", "NaN or infinity")

    def _verify_start(self) -> None:
        """Check the structure before relaxation."""
        row = self._row
        positions = row["unrelaxed_positions"]
        is_known = np.isfinite(row["closest_pair_a"]) and np.isfinite(positions).all()
        if _is_box(row) and is_known:
            self._report.looked_at("atoms")
            closest = closest_pair(positions, box_of(row))
            source = "unrelaxed_positions"
            self._compare("atoms", "closest_pair_a", closest, SAME_LENGTH_A, "Å", source)

    def _verify_n(self) -> None:
        row = self._row
        if self._boundary is None or not np.isfinite(row["n_fraction"]):
            return
        self._report.looked_at("n")
        plane, num_atoms = self._crystal(None).atoms_per_plane, row["num_atoms"]
        if row["atoms_per_plane"] not in (0, plane):
            expected = f"{plane}, as of the boundary in config"
            self._wrong("n", "atoms_per_plane", expected, row["atoms_per_plane"])
        if row["n_index"] != num_atoms % plane:
            self._wrong("n", "n_index", f"{num_atoms} mod {plane}", row["n_index"])
        fraction = n_fraction(num_atoms, plane)
        if abs(fraction - row["n_fraction"]) > 1e-9:
            expected = f"{fraction:.6f} = ({num_atoms} mod {plane}) / {plane}"
            self._wrong("n", "n_fraction", expected, f"{row['n_fraction']:.6f}")

    def _verify_relaxed(self) -> None:
        row = self._row
        is_known = np.isfinite(row["positions"]).all() and np.isfinite(row["energies_ev"]).all()
        if not is_known or not row["num_atoms"]:
            return  # _verify_results has reported it
        self._report.looked_at("atoms")
        if not _is_box(row):
            self._wrong("atoms", "cell", "the edges of a box", [*row["cell"], row["tilt_a"]])
            return
        self._verify_energy()
        crystal = None if self._boundary is None else self._crystal(row["cell"][0])
        if fault := row_fault(row, nan if crystal is None else crystal.nearest_neighbor):
            self._wrong("atoms", "positions", "a boundary of the crystal", fault)
        heights, top = row["positions"][:, 2], row["cell"][2]
        outside = np.flatnonzero((heights < -OUTSIDE_A) | (heights > top + OUTSIDE_A))
        if len(outside):
            where = f"positions[{outside[0]}]"
            self._wrong("atoms", where, f"0 <= z <= {top:.3f} Å", f"{heights[outside[0]]:.3f}")
        if crystal is not None and np.isfinite(row["excess_volume_a"]):
            volume = excess_volume(row["positions"], crystal) - row["strain_volume_a"]
            self._compare("atoms", "excess_volume_a", volume, SAME_LENGTH_A, "Å", "positions")

    def _verify_relaxation(self) -> None:
        row, check = self._row, "relaxation"
        self._report.looked_at(check)
        ran_out = "max" in row["stop_reason"]
        if row["converged"] == ran_out:
            got = f"{row['converged']} with the stop reason {row['stop_reason']!r}"
            self._wrong(check, "converged", not ran_out, got)
        if not row["preset"]:
            self._wrong(check, "preset", "the tolerances of the last relaxation", "nothing")
        if row["evaluations"] < 1:
            self._wrong(check, "evaluations", "at least 1", row["evaluations"])
        if row["max_force_ev_a"] < 0:
            self._wrong(check, "max_force_ev_a", "no less than 0 eV/Å", row["max_force_ev_a"])

    def _verify_energy(self) -> None:
        row, check = self._row, "energies"
        depth = self._depth(row)
        if not np.isfinite(depth):
            return
        self._report.looked_at(check)
        area = row["cell"][0] * row["cell"][1]
        if not abs(row["area_a2"] / area - 1) < 1e-9:
            self._wrong(check, "area_a2", f"{area:.6f} Å^2, as of cell", row["area_a2"])
            return
        # Sum over the atoms that do not feel a free surface.
        heights = row["positions"][:, 2]
        inside = (heights > heights.min() + depth) & (heights < heights.max() - depth)
        try:
            energies = compared_energies(row)
        except StoreError:
            got = row["element_energies_ev"]
            self._wrong(check, "element_energies_ev", "energies of elements", repr(got))
            return
        total, num = float(energies[inside].sum()), int(inside.sum())
        energy = gb_energy(total, num, row["cohesive_ev"], row["area_a2"])
        energy += row["composition_energy_j_m2"] - row["strain_energy_j_m2"]
        source = "energies_ev, cohesive_ev and area_a2"
        self._compare(check, "gb_energy_j_m2", energy, SAME_ENERGY_J_M2, "J/m^2", source)

    def _depth(self, row: dict[str, Any]) -> float:
        """Depth of the free surfaces, Å; NaN if neither file nor run directory holds it."""
        if np.isfinite(row["surface_depth_a"]):
            return float(row["surface_depth_a"])
        depth = self._depths.get(row["potential_sha256"], np.nan)
        if not np.isfinite(depth) and not self._is_depth_unknown:
            self._is_depth_unknown = True
            why = (
                "the file does not hold surface_depth_a (since version 3), and no bulk.json of its"
                " run directory lies above it"
            )
            self._report.skipped("energies", f"{self._path}: {why}")
        return depth

    def _crystal(self, length_x: float | None) -> Bicrystal:
        """Bicrystal whose lattice constant follows from the cell's length in x, Å.

        With None the lattice constant is 1 Å, for properties that do not depend on it.
        """
        assert self._boundary is not None
        ratio = float(self._row.get("axial_ratio", nan))
        key = length_x, None if np.isnan(ratio) else ratio
        if key not in self._crystals:
            self._crystals[key] = (
                Bicrystal.build(self._boundary, 1.0, key[1])
                if length_x is None
                else crystal_of(self._boundary, length_x, ratio)
            )
        return self._crystals[key]


def is_relaxed(columns: Columns, min_energy_j_m2: float = MIN_GB_ENERGY_J_M2) -> np.ndarray:
    """Mask (M,) of rows that were relaxed to a possible boundary energy at a known [n].

    Args:
        columns: RELAXED_FIELDS at least, (M,) each.
        min_energy_j_m2: lowest energy that counts as possible, J/m^2.
    """
    energy = columns["gb_energy_j_m2"]
    is_known = np.isfinite(energy) & (columns["n_index"] != UNKNOWN_N)
    return np.asarray((columns["status"] == "ok") & is_known & (energy >= min_energy_j_m2))


def row_fault(row: Mapping[str, Any], nearest_neighbor: float) -> str:
    """Reason why a stored relaxed row is no boundary of its crystal; empty if it is one.

    Args:
        row: fields of a candidate, atoms included.
        nearest_neighbor: nearest-neighbour distance of the crystal, Å; NaN if not known.
    """
    if not _is_box(row) or not np.isfinite(row["positions"]).all():
        return "expected atoms with finite positions in a box, got others"
    try:
        energies = compared_energies(row)
    except StoreError as error:
        return str(error)
    return physical_fault(
        row["positions"],
        energies,
        box_of(row),
        row["gb_energy_j_m2"],
        row["excess_volume_a"],
        row["cohesive_ev"],
        nearest_neighbor,
    )


def candidate_fault(candidate: Candidate, config: Any) -> str:
    """``row_fault`` of a candidate, or ``material_fault`` of one of a material.

    Args:
        config: attribute ``config`` of its file, which describes the boundary or the material.
    """
    row = vars(candidate)
    return material_fault(row) if is_material(config) else boundary_fault(row, config)


def boundary_fault(row: Mapping[str, Any], config: Any) -> str:
    """``row_fault`` of a row, FAULT_FIELDS at least, of a file with this attribute ``config``."""
    length_x, ratio = float(row["cell"][0]), float(row["axial_ratio"])
    return row_fault(row, neighbor_distance(config, length_x, ratio))


def box_of(row: Mapping[str, Any]) -> np.ndarray:
    """Vectors of the box of a row, (3, 3) Å."""
    return with_tilt(row["cell"], row["tilt_a"])


def _is_box(row: Mapping[str, Any]) -> bool:
    """Whether edges and tilt of a row's box are plausible, as in ``parts.without_structure``."""
    is_edges = all(MIN_EDGE_A < edge < MAX_LENGTH_A for edge in row["cell"])
    return is_edges and abs(row["tilt_a"]) < MAX_LENGTH_A
