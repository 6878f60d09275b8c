"""Consistency checks of stored structures of a material, recomputed from the file."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_masses

from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.findings import Report
from gcd_hpc.store.material_rows import PERIODIC, material_fault
from gcd_hpc.store.physics import SAME_LENGTH_A
from gcd_hpc.store.schema import BY_NAME
from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.periodic import with_tilt

SAME_ENERGY_EV = 1e-6
"""Tolerance of a recomputed energy per atom, which differs by rounding only, eV."""
SAME_DENSITY = 1e-6
"""Relative tolerance of a recomputed density, which differs by rounding only."""
_LABELS = ("source", "status", "failure", "preset", "guided")
_RESULTS = ("energy_ev_atom", "density_g_cm3", "positions", "energies_ev")
_ATOMS = ("unrelaxed_positions", "positions", "energies_ev", "numbers")


class MaterialPhysics:
    """Checker of the structures of one file, called for each block."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._row: dict[str, Any] = {}

    def verify(self, columns: Columns) -> None:
        """Check all rows of a block and add the findings to the report."""
        stops = np.cumsum(columns["num_atoms"])
        names = [name for name in columns if name in BY_NAME and not BY_NAME[name].per_atom]
        for number, stop in enumerate(stops.tolist()):
            self._row = {name: columns[name][number] for name in names}
            atoms = slice(stop - int(columns["num_atoms"][number]), stop)
            self._row |= {name: columns[name][atoms] for name in _ATOMS}
            self._verify_labels()
            self._verify_start()
            if self._row["status"] == "ok":
                self._verify_relaxed()

    def _wrong(self, check: str, field: str, expected: object, got: object) -> None:
        self._report.found(check, expected, got, file=self._path, row=self._row["id"], field=field)

    def _verify_labels(self) -> None:
        row = self._row
        self._report.looked_at("status")
        for name in _LABELS:
            labels = BY_NAME[name].labels
            if row[name] not in labels:
                expected = f"one of {', '.join(label or 'nothing' for label in labels)}"
                self._wrong("status", name, expected, row[name])
        is_refused = row["status"] in ("invalid", "failed")
        if bool(row["reason"]) != is_refused:
            expected = "a reason" if is_refused else f"none, for it is {row['status']}"
            self._wrong("status", "reason", expected, repr(row["reason"]))
        for name in _RESULTS:
            if row["status"] == "ok" and not np.isfinite(row[name]).all():
                self._wrong("status", name, "finite numbers, for it is ok", "NaN or infinity")
        if bool(row["guided"]) != (row["source"] == "model"):
            expected = "guided or unguided" if row["source"] == "model" else "nothing"
            self._wrong("status", "guided", expected, repr(row["guided"]))

    def _verify_start(self) -> None:
        row = self._row
        positions = row["unrelaxed_positions"]
        box = with_tilt(row["cell"], row["tilt_a"])
        if not (np.isfinite(row["closest_pair_a"]) and np.isfinite(positions).all()):
            return
        if not (np.isfinite(box).all() and (np.diag(box) > 0).all()):
            return
        self._report.looked_at("atoms")
        closest = closest_pair(positions, box, PERIODIC)
        if not abs(closest - row["closest_pair_a"]) <= SAME_LENGTH_A:
            expected = f"{closest:.6f} Å, as of unrelaxed_positions"
            self._wrong("atoms", "closest_pair_a", expected, f"{row['closest_pair_a']:.6f}")

    def _verify_relaxed(self) -> None:
        row = self._row
        self._report.looked_at("atoms")
        if fault := material_fault(row):
            self._wrong("atoms", "positions", "a structure of the material", fault)
            return
        self._report.looked_at("energies")
        energy = float(np.mean(row["energies_ev"]))
        if not abs(energy - row["energy_ev_atom"]) <= SAME_ENERGY_EV:
            expected = f"{energy:.6f} eV, the mean of energies_ev"
            self._wrong("energies", "energy_ev_atom", expected, f"{row['energy_ev_atom']:.6f}")
        if (row["numbers"] > 0).all():
            self._verify_density()

    def _verify_density(self) -> None:
        row = self._row
        mass_g = atomic_masses[row["numbers"]].sum() / units.mol
        volume_cm3 = float(np.prod(row["cell"])) * (units.Ang / units.m * 100) ** 3
        density = mass_g / volume_cm3
        if not abs(row["density_g_cm3"] / density - 1) <= SAME_DENSITY:
            expected = f"{density:.4f} g/cm^3, as of cell and numbers"
            self._wrong("atoms", "density_g_cm3", expected, f"{row['density_g_cm3']:.4f}")
