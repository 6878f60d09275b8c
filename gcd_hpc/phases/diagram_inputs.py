"""Phase diagram of a run, from what was measured of its phases and from what its rows store."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from math import isnan
from pathlib import Path

import numpy as np
from ase import units

from gcd_hpc.errors import StoreError
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.phases.clustering import UNFINISHED
from gcd_hpc.phases.diagram import Array, Axis, Diagram, Line
from gcd_hpc.phases.measuring import measured, system_of
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.composition import Chemistry
from gcd_hpc.structures.energetics import J_PER_M2

KIND = "diagram"
"""Folder of the files in the run."""
FREE, EXCESS = "free-energy", "excess"
"""Kinds of the measurements that a diagram is made of."""
STRAINS: Mapping[str, tuple[str, tuple[float, float, float]]] = {
    "strain": ("in-plane strain, equal along x and y", (1.0, 1.0, 0.0)),
    "strain-x": ("in-plane strain along x", (1.0, 0.0, 0.0)),
    "strain-y": ("in-plane strain along y", (0.0, 1.0, 0.0)),
    "shear": ("in-plane shear, x per unit of y", (0.0, 0.0, 1.0)),
}
"""Axes of strain: label, and share of the components xx, yy and xy."""
AXES = (*STRAINS, "stress", "mu")
MAX_STRAIN = 0.01
MAX_STRESS_GPA = 5.0
MAX_MU_EV = 0.5
"""Ranges of the axes to both sides where none is given."""
NUM_TEMPERATURES = 101
"""Temperatures of a diagram, which is linear between those that were measured."""


def diagram_of(
    run: Run,
    phases: Sequence[Phase],
    axis: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Diagram:
    """Phase diagram of a run against temperature and a second variable.

    The temperature is an axis if free energies were measured, otherwise the diagram is that of 0 K.
    Phases without a measurement that others have are left out.

    Args:
        axis: one of AXES. Where it is None: strain if excess stresses were measured, the chemical
            potential if there are several elements, else the normal stress.
        limits: range of the second variable.

    Raises:
        StoreError: if there is no phase, or if the axis needs what was not measured.
    """
    if not phases:
        raise StoreError(f"{run.path}: there is no phase to draw a diagram of yet")
    free = _records(run, phases, FREE)
    excess = _records(run, phases, EXCESS)
    chosen = axis or _usual_axis(run, excess)
    if chosen == "mu":
        return _of_compositions(run, limits)
    missing = []
    if not free:
        missing.append(f"temperature: {_cure(run, FREE)} measures free energies")
    if not excess:
        missing.append(f"in-plane strain: {_cure(run, EXCESS)} measures excess stresses")
    if chosen in STRAINS and not excess:
        raise StoreError(
            f"{run.path}: no diagram against {chosen}, because no excess stress was measured;"
            f" {_cure(run, EXCESS)} does that"
        )
    needed = {FREE: free, EXCESS: excess if chosen in STRAINS else {}}
    left_out = _left_out(run, phases, needed)
    kept = [one for one in phases if one.name not in left_out]
    if not kept:
        raise StoreError(
            f"{run.path}: no phase has both free energies and excess stresses; measure both of the"
            f" same phases: {_cure(run, FREE)}, {_cure(run, EXCESS)}"
        )
    temperatures = _temperatures(run, [free[one.name] for one in kept] if free else [])
    lines = [
        _line(one, chosen, temperatures, free.get(one.name), excess.get(one.name)) for one in kept
    ]
    return Diagram(_axis(chosen, limits), temperatures, tuple(lines), left_out, tuple(missing))


def _left_out(
    run: Run, phases: Sequence[Phase], needed: Mapping[str, Mapping[str, MeasuredRecord]]
) -> dict[str, str]:
    """Reasons why phases lack measurements that others have, by the name of the phase.

    Args:
        needed: records by phase, by the kind of the measurement.
    """
    reasons = {}
    for phase in phases:
        lacks = [
            _cure(run, kind) for kind, known in needed.items() if known and phase.name not in known
        ]
        if lacks:
            reasons[phase.name] = f"not measured yet; {' and '.join(lacks)} does that"
    return reasons


def write_diagram(run: Path, diagram: Diagram) -> Path:
    """Store a diagram in the run, with its transitions; return the file.

    Raises:
        StoreError: if the run is a file of results without its run directory.
        RunDirectoryError: if the file cannot be written.
    """
    if not run.is_dir():
        raise StoreError(
            f"{run}: the diagram cannot be stored, because this is a single file of results; name"
            " the run directory that made it"
        )
    path = RunDirectory(run).measured(KIND, diagram.axis.name)
    lines = [
        asdict(one)
        | {"energies_j_m2": one.energies_j_m2.tolist(), "errors_j_m2": one.errors_j_m2.tolist()}
        for one in diagram.lines
    ]
    content = {
        "axis": asdict(diagram.axis),
        "temperatures_k": diagram.temperatures_k.tolist(),
        "lines": lines,
        "left_out": dict(diagram.left_out),
        "missing": list(diagram.missing),
        "crossings": [asdict(one) for one in diagram.crossings()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checked_json(path, content)
    return path


def read_diagram(run: Path, axis: str) -> Diagram:
    """Diagram that was stored in a run.

    Raises:
        StoreError: if there is none against this axis, or if its file was edited or is damaged.
    """
    path = RunDirectory(run).measured(KIND, axis)
    try:
        content = checked_content(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(
            f"{path}: there is no such diagram; gcd-hpc diagram {run} --axis {axis} makes it"
        ) from None
    except (OSError, ValueError):
        content = None
    if content is None:
        raise StoreError(
            f"{path}: the diagram cannot be read, because the file was edited or damaged; gcd-hpc"
            f" diagram {run} --axis {axis} makes it again"
        )
    lines = [
        Line(
            *(one["name"], one["n_fraction"]),
            np.array(one["energies_j_m2"]),
            np.array(one["errors_j_m2"]),
            *(one["slope"], one["slope_error"]),
        )
        for one in content["lines"]
    ]
    temperatures = np.array(content["temperatures_k"])
    left_out, missing = content["left_out"], content["missing"]
    return Diagram(Axis(**content["axis"]), temperatures, tuple(lines), left_out, missing)


def _records(run: Run, phases: Sequence[Phase], kind: str) -> dict[str, MeasuredRecord]:
    found = {one.name: measured(run, one, kind) for one in phases}
    return {name: record for name, record in found.items() if record is not None}


def _cure(run: Run, kind: str) -> str:
    """Command that makes the measurements of a kind."""
    words = {FREE: f"free-energy {run.path}", EXCESS: f"phases {run.path} --measure"}
    return f"gcd-hpc {words[kind]}"


def _usual_axis(run: Run, excess: Mapping[str, MeasuredRecord]) -> str:
    if excess:
        return "strain"
    return "mu" if run.has_several_elements else "stress"


def _axis(name: str, limits: tuple[float, float] | None) -> Axis:
    """An axis of strain or normal stress."""
    if name in STRAINS:
        low, high = limits or (-MAX_STRAIN, MAX_STRAIN)
        return Axis(name, STRAINS[name][0], low, high)
    low, high = limits or (-MAX_STRESS_GPA, MAX_STRESS_GPA)
    return Axis(name, "stress along the normal, tension positive (GPa)", low, high)


def _temperatures(run: Run, records: Sequence[MeasuredRecord]) -> Array:
    """Temperatures (T,) that all free energies span; 0 K if there are none.

    Raises:
        StoreError: if they span no common range.
    """
    if not records:
        return np.zeros(1)
    ranges = [one.results["temperatures_k"] for one in records]
    low, high = max(min(one) for one in ranges), min(max(one) for one in ranges)
    if not low < high:
        raise StoreError(
            f"{run.path}: the free energies of the phases have no range of temperatures in common;"
            f" measure all at the same ones: {_cure(run, FREE)} --temperature 0:0.5Tm"
        )
    return np.linspace(low, high, NUM_TEMPERATURES)


def _line(
    phase: Phase,
    axis: str,
    temperatures: Array,
    free: MeasuredRecord | None,
    excess: MeasuredRecord | None,
) -> Line:
    """Energies of a phase at the temperatures, and their slope along an axis."""
    if free is None:
        energies = np.full(len(temperatures), phase.gb_energy_j_m2)
        errors = np.zeros(len(temperatures))
    else:
        known = np.array(free.results["temperatures_k"])
        order = np.argsort(known)
        energies, errors = (
            np.interp(temperatures, known[order], np.array(free.results[name])[order])
            for name in ("free_energy_j_m2", "error_j_m2")
        )
    if axis == "stress":
        # 1 Å times 1 GPa in J/m^2; tension does work on the excess volume.
        slope = -phase.excess_volume_a * units.GPa * J_PER_M2
        return Line(phase.name, phase.n_fraction, energies, errors, float(slope))
    assert excess is not None  # phases without are left out
    shares = np.array(STRAINS[axis][1])
    slope, other = (
        float(shares @ np.array(excess.results[name]))
        for name in ("excess_stress_n_m", "excess_stress_by_strain_n_m")
    )
    return Line(phase.name, phase.n_fraction, energies, errors, slope, abs(slope - other))


def _of_compositions(run: Run, limits: tuple[float, float] | None) -> Diagram:
    """Diagram of the lowest structures of each [n] and composition against a chemical potential.

    Raises:
        StoreError: if there is one element, or if nothing was relaxed yet.
    """
    chemistry = system_of(run.path).bulk.chemistry
    if chemistry is None:
        raise StoreError(
            f"{run.path}: no diagram against a chemical potential, because there is one element;"
            f" choose one of {', '.join(one for one in AXES if one != 'mu')}"
        )
    missing = ["temperature: free energies are measured for boundaries of one element"]
    lines = [line_of_composition(one, chemistry) for one in lowest_of_each_composition(run)]
    return Diagram(_axis_of_mu(chemistry, limits), np.zeros(1), tuple(lines), {}, tuple(missing))


def lowest_of_each_composition(run: Run) -> list[RunCandidate]:
    """The lowest candidate of each [n] and each surplus of atoms, in this order.

    Candidates of one composition have the same energy of the chemical potentials, so that one of
    them is the lowest at all of them. Those whose relaxation was not finished are left out.
    """
    relaxed = run.relaxed()
    columns = relaxed.columns(["n_index", "surplus", "preset"])
    finished = np.flatnonzero(~np.isin(columns["preset"].astype(str), UNFINISHED))
    # Relaxed candidates are sorted by energy, so that the first of each kind is the lowest.
    first: dict[tuple[int, str], int] = {}
    for row in finished.tolist():
        first.setdefault((columns["n_index"][row], columns["surplus"][row]), row)
    if not first:
        raise StoreError(f"{run.path}: there is no relaxed structure to draw a diagram of yet")
    return list(relaxed[np.array([first[key] for key in sorted(first)])])


def line_of_composition(row: RunCandidate, chemistry: Chemistry) -> Line:
    """Energy of a structure against the chemical potential of ``_axis_of_mu``."""
    if isnan(row.rich_gb_energy_j_m2):
        # Of a solute: its atoms times its chemical potential.
        num = int((row.numbers == chemistry.numbers[-1]).sum())
        zero, slope = row.gb_energy_j_m2, -num / row.area_a2 * J_PER_M2
    else:
        span = chemistry.poor_ev[1] - chemistry.rich_ev[1]
        zero = row.poor_gb_energy_j_m2
        slope = (row.poor_gb_energy_j_m2 - row.rich_gb_energy_j_m2) / span
    fraction = Fraction(row.n_fraction).limit_denominator(10_000)
    name = f"[{fraction}] {row.surplus}".strip()
    return Line(name, row.n_fraction, np.array([zero]), np.zeros(1), slope)


def _axis_of_mu(chemistry: Chemistry, limits: tuple[float, float] | None) -> Axis:
    """Axis of the chemical potential of the second element of a compound, or of the last solute.

    In a compound it is relative to the pure second element, and reaches to the equilibrium with the
    pure first one. For a solute it is relative to the campaign's value.
    """
    if chemistry.rich_ev == chemistry.poor_ev:
        low, high = limits or (-MAX_MU_EV, MAX_MU_EV)
        symbol = chemistry.symbols[-1]
        label = f"chemical potential of {symbol} relative to the campaign's (eV)"
        return Axis("mu", label, low, high)
    low, high = limits or (chemistry.rich_ev[1] - chemistry.poor_ev[1], 0.0)
    symbol = chemistry.symbols[1]
    return Axis("mu", f"chemical potential of {symbol} relative to pure {symbol} (eV)", low, high)
