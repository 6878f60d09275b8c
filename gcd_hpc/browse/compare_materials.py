"""Comparison of campaigns of a material with one target: spectrum errors, energies and cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isfinite, nan
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.browse.figures import new_figure
from gcd_hpc.browse.listing import with_error
from gcd_hpc.browse.material_figures import MARKS
from gcd_hpc.browse.material_numbers import CONFIDENCE, Interval, interval, twin_differences
from gcd_hpc.browse.material_spectra import read_spectra
from gcd_hpc.browse.tables import format_number
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.table import new_table
from gcd_hpc.errors import StoreError
from gcd_hpc.store.material_rows import is_settled
from gcd_hpc.store.materials import GUIDED_ORDER
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.run import Run

ABOUT = (
    f"Means and {CONFIDENCE:.0%} intervals over the candidates of all rounds, by Student's t."
    " Difference: guided less unguided in pairs of equal random numbers. The smallest of many"
    " errors lies below its true value."
)
_FIELDS = ("status", "source", "guided", "spectrum_error", "energy_ev_atom")


@dataclass(frozen=True, eq=False)
class ComparedMaterial:
    """What one run found and cost. Core-seconds are processor time."""

    run: str
    candidates: int
    core_s: float
    """Of all stages by the ledger; NaN for a single file of results."""
    spectrum_error: float
    """Smallest one; NaN if no candidate was compared with the target yet."""
    spectrum_error_se: float
    """Its standard error from the choice of atoms."""
    lowest_id: str
    """Candidate of the smallest error; empty if there is none."""
    energy_ev_atom: float
    """Energy of that candidate, eV an atom."""
    errors: Mapping[str, np.ndarray]
    """Spectrum errors of the candidates with and without guidance, (M,) each."""
    mean_energies_ev: Mapping[str, Interval]
    """Energy per atom of these and of the quenches."""
    difference: Interval
    """Spectrum error with guidance less that without it, in pairs of equal random numbers."""

    def record(self) -> dict[str, Any]:
        """Plain data."""
        plain = {
            name: getattr(self, name)
            for name in ("run", "candidates", "core_s", "spectrum_error", "spectrum_error_se")
        }
        return plain | {
            "lowest_id": self.lowest_id,
            "energy_ev_atom": self.energy_ev_atom,
            "mean_errors": {name: asdict(interval(one)) for name, one in self.errors.items()},
            "mean_energies_ev": {name: asdict(one) for name, one in self.mean_energies_ev.items()},
            "difference": asdict(self.difference),
        }


@dataclass(frozen=True, eq=False)
class MaterialComparison:
    """Campaigns of a material side by side."""

    runs: tuple[ComparedMaterial, ...]
    problem: str
    """Why the spectrum errors cannot be compared; empty if they can."""

    def record(self) -> dict[str, Any]:
        """Plain data; errors to different targets are left side by side."""
        runs = [run.record() for run in self.runs]
        return {"is_comparable": not self.problem, "problem": self.problem, "runs": runs}


def compare_materials(opened: Mapping[str, Run]) -> MaterialComparison:
    """Compare campaigns of a material, also those at work.

    Args:
        opened: runs by their names.
    """
    problems = (
        f"{first[0]} and {other[0]}: {why}"
        for first, other in combinations(opened.items(), 2)
        if (why := _difference(first[1], other[1]))
    )
    compared = tuple(_compared(name, run) for name, run in opened.items())
    return MaterialComparison(compared, next(problems, ""))


def _difference(first: Run, other: Run) -> str:
    """Reason why spectrum errors of two runs are not to one target; empty if they are."""
    configs = [one.provenance.get("config", "") for one in (first, other)]
    for section, keys in (
        ("material", ("element",)),
        ("labelling", ("engine", "edge", "window_ev", "fwhm_ev")),
        ("target", ("file", "shift_ev", "fwhm_ev", "max_shift_ev")),
    ):
        mine, theirs = (section_of(config, section) for config in configs)
        differing = [f"{section}.{key}" for key in keys if mine.get(key) != theirs.get(key)]
        if differing:
            return f"they do not have one target and engine ({', '.join(differing)} differ)"
    targets = [found.target for one in (first, other) if (found := read_spectra(one)) is not None]
    known = [target for target in targets if target is not None]
    same = len(known) < 2 or (
        known[0].shape == known[1].shape and np.allclose(known[0], known[1], rtol=0, atol=1e-9)
    )
    return "" if same else "their target files differ"


def _compared(name: str, run: Run) -> ComparedMaterial:
    columns = run.columns(_FIELDS)
    settled, labels = is_settled(columns), columns["guided"]
    errors = {}
    for label in GUIDED_ORDER:
        values = columns["spectrum_error"][settled & (labels == label)]
        errors[label] = np.sort(values[np.isfinite(values)])
    kinds = {label: labels == label for label in GUIDED_ORDER}
    kinds["quenches"] = columns["source"] == "quench"
    energies = {
        label: interval(columns["energy_ev_atom"][settled & kind]) for label, kind in kinds.items()
    }
    best = next(iter(run.lowest(1)), None)
    state = read_state(run.path) if run.path.is_dir() else None
    return ComparedMaterial(
        run=name,
        candidates=int((columns["source"] == "model").sum()),
        core_s=nan if state is None else cost_of(state).core_s,
        spectrum_error=nan if best is None else best.spectrum_error,
        spectrum_error_se=nan if best is None else best.spectrum_error_se,
        lowest_id="" if best is None else best.id,
        energy_ev_atom=nan if best is None else best.energy_ev_atom,
        errors=errors,
        mean_energies_ev=energies,
        difference=twin_differences(run).get("all", interval(np.empty(0))),
    )


def material_comparison_view(found: MaterialComparison) -> RenderableType:
    """Tables for the terminal: what each run cost and found, and its means."""
    costs, means = new_table(), new_table()
    for table, headings in (
        (costs, ("candidates", "core s", "smallest error", "its energy (eV/atom)", "candidate")),
        (means, ("guided", "unguided", "difference", *_energy_headings())),
    ):
        table.add_column("run")
        for heading in headings:
            table.add_column(Text(heading), justify="right")
    for run in found.runs:
        smallest = with_error(run.spectrum_error, run.spectrum_error_se)
        energy = format_number(run.energy_ev_atom, 3)
        cells = [f"{run.candidates:,}", format_number(run.core_s, 1), smallest, energy]
        costs.add_row(*map(Text, (run.run, *cells, run.lowest_id or "-")))
        errors = [_short(interval(run.errors[label])) for label in GUIDED_ORDER]
        energies = [_short(run.mean_energies_ev[label]) for label in (*GUIDED_ORDER, "quenches")]
        means.add_row(*map(Text, (run.run, *errors, _short(run.difference), *energies)))
    note = ABOUT
    if found.problem:
        note = f"Spectrum errors are not compared: {found.problem}. Cost and energies are."
    return Lines(costs, Text(), means, Text(), Text(note))


def _energy_headings() -> list[str]:
    return [f"eV/atom, {label}" for label in (*GUIDED_ORDER, "quenches")]


def _short(one: Interval) -> str:
    """Mean with its half width to three places."""
    if not one.num:
        return "-"
    half = f" ± {one.half_width:.3f}" if isfinite(one.half_width) else ""
    return f"{one.mean:.3f}{half}"


def material_comparison_figure(found: MaterialComparison) -> Figure:
    """Spectrum errors of all candidates of each run, with the means and their 95 % intervals.

    Raises:
        StoreError: if the errors cannot be compared, or if none is known yet.
    """
    if found.problem:
        raise StoreError(f"the errors cannot be drawn together: {found.problem}; leave --out out")
    if not any(len(errors) for run in found.runs for errors in run.errors.values()):
        raise StoreError("nothing to draw: no candidate was compared with the target yet")
    figure = new_figure(max(4.0, 1.4 + 1.1 * len(found.runs)), 3.4)
    axes = figure.add_subplot()
    for place, run in enumerate(found.runs):
        for label, side in zip(GUIDED_ORDER, (-0.14, 0.14), strict=True):
            colour, mark = MARKS[label]
            errors = run.errors[label]
            at = np.full(len(errors), place + side)
            axes.plot(at, errors, mark, color=colour, alpha=0.35, markersize=4, markeredgewidth=0)
            mean = interval(errors)
            if mean.num:
                half = mean.half_width if isfinite(mean.half_width) else 0.0
                text = "" if place else f"{label}, mean and {CONFIDENCE:.0%}"
                axes.errorbar(
                    place + side + 0.06, mean.mean, half, marker=mark, color=colour, capsize=3,
                    label=text,
                )  # fmt: skip
    axes.set_xticks(range(len(found.runs)), [run.run for run in found.runs], fontsize=8)
    axes.set_xlim(-0.5, len(found.runs) - 0.5)
    axes.set_ylim(0, None)
    axes.set_ylabel("spectrum error")
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
