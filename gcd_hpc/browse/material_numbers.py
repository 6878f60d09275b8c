"""Numbers of a campaign of a material: spectrum errors of each round, and bonds of each group."""

from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.store.material_rows import is_settled
from gcd_hpc.store.materials import GUIDED_ORDER
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.run import Run
from gcd_hpc.structures.bonds import MAX_BONDS, bond_shares

Array = NDArray[np.float64]
CONFIDENCE = 0.95
ERROR_HEADINGS = (
    *("round", "candidates", "number", "failed", "spectrum error", "smallest", "energy (eV/atom)"),
)
"""Headings of a table of the errors by round."""
ABOUT_ROUNDS = (
    f"Spectrum error of the candidates of each round: mean and {CONFIDENCE:.0%} interval of the"
    " mean over candidates, by Student's t."
)
ABOUT_TWINS = (
    "Spectrum error with guidance less that without it, in pairs of candidates with the same random"
    f" numbers: mean and {CONFIDENCE:.0%} interval. A negative difference whose interval does not"
    " reach zero shows an effect of the guidance."
)
_FIELDS = ("id", "status", "source", "round", "guided", "spectrum_error", "energy_ev_atom")


@dataclass(frozen=True)
class Interval:
    """A mean with the half width of its 95 % interval by Student's t; NaN where it is not known."""

    mean: float
    half_width: float
    num: int

    def __str__(self) -> str:
        if not self.num:
            return "-"
        if self.half_width != self.half_width:
            return f"{self.mean:.4f}"
        return f"{self.mean:.4f} ± {self.half_width:.4f}"


@dataclass(frozen=True, eq=False)
class RoundErrors:
    """Candidates of one round, with or without guidance."""

    round: int
    guided: str
    num: int
    """Number of candidates."""
    num_failed: int
    error: Interval
    """Mean spectrum error over the candidates that were compared with the target."""
    errors: Array
    """Spectrum error of each of them, ascending."""
    lowest_id: str
    """Candidate of the smallest error; empty if none was compared."""
    energy: Interval
    """Mean energy per atom of the relaxed ones, eV."""


def interval(values: Array) -> Interval:
    """Mean of independent values with its interval."""
    from scipy.special import stdtrit  # takes 0.3 s, and pages of boundaries need it not

    num = len(values)
    if num < 2:
        return Interval(float(values[0]) if num else nan, nan, num)
    factor = float(stdtrit(num - 1, (1 + CONFIDENCE) / 2))
    return Interval(float(values.mean()), factor * float(values.std(ddof=1)) / sqrt(num), num)


def errors_by_round(run: Run) -> list[RoundErrors]:
    """Candidates of each round, those with guidance before those without."""
    columns = run.columns(_FIELDS)
    found = []
    for round in np.unique(columns["round"]).tolist():
        for guided in GUIDED_ORDER:
            rows = np.flatnonzero((columns["round"] == round) & (columns["guided"] == guided))
            if not len(rows):
                continue
            one = {name: values[rows] for name, values in columns.items()}
            known = np.flatnonzero(np.isfinite(one["spectrum_error"]))
            order = known[np.argsort(one["spectrum_error"][known], kind="stable")]
            errors = one["spectrum_error"][order]
            found.append(
                RoundErrors(
                    round=round,
                    guided=guided,
                    num=len(rows),
                    num_failed=int(np.isin(one["status"], ("failed", "invalid")).sum()),
                    error=interval(errors),
                    errors=errors,
                    lowest_id=str(one["id"][order[0]]) if len(order) else "",
                    energy=interval(one["energy_ev_atom"][is_settled(one)]),
                )
            )
    return found


def error_cells(one: RoundErrors) -> tuple[str, ...]:
    """Cells by ERROR_HEADINGS."""
    return (
        str(one.round),
        one.guided,
        str(one.num),
        str(one.num_failed),
        str(one.error),
        f"{one.errors[0]:.4f}" if len(one.errors) else "-",
        str(one.energy),
    )


def energies_of_first(run: Run) -> dict[float, Interval]:
    """Energy per atom of relaxed quenches and given structures by density in g/cm^3, ascending."""
    columns = run.columns(["status", "source", "density_g_cm3", "energy_ev_atom"])
    first = is_settled(columns) & (columns["source"] != "model")
    density = columns["density_g_cm3"].round(2)
    return {
        one: interval(columns["energy_ev_atom"][first & (density == one)])
        for one in np.unique(density[first]).tolist()
    }


def twin_differences(run: Run) -> dict[str, Interval]:
    """Spectrum error with guidance less that without it, by round and over ``all`` rounds.

    Candidate i with guidance and candidate i without it have the same random numbers. Their
    difference therefore scatters less than that of two independent candidates.
    """
    sampling = section_of(run.provenance.get("config", ""), "sampling")
    num_guided = int(sampling.get("num_guided") or 0)
    columns = run.columns(["round", "index", "guided", "spectrum_error"])
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    errors = {(round, guided, index): error for round, index, guided, error in rows}
    found: dict[str, list[float]] = {}
    for (round, guided, index), error in errors.items():
        other = errors.get((round, "guided", index - num_guided), nan)
        if guided == "unguided" and isfinite(error) and isfinite(other):
            for name in (str(round), "all"):
                found.setdefault(name, []).append(other - error)
    return {name: interval(np.array(values)) for name, values in sorted(found.items())}


def groups_of(run: Run) -> dict[str, list[str]]:
    """Ids of relaxed structures by what made them: quenches, given ones, guided, unguided."""
    columns = run.columns(_FIELDS)
    settled = is_settled(columns)
    names = {"quench": "quenches", "given": "given structures"} | {one: one for one in GUIDED_ORDER}
    kinds = np.where(columns["guided"] == "", columns["source"], columns["guided"])
    found = {
        name: columns["id"][settled & (kinds == kind)].tolist() for kind, name in names.items()
    }
    return {name: ids for name, ids in found.items() if ids}


def bonds_of(run: Run, ids: list[str]) -> tuple[Array, Array]:
    """Share of atoms with 0, 1, ... 5 or at least 6 bonds in relaxed structures.

    Returns:
        Mean over the structures (7,), and its standard error (7,), zeros for a single one.
    """
    shares = np.array([bond_shares(candidate.to_atoms()) for candidate in run[ids]])
    error = np.zeros(MAX_BONDS + 1)
    if len(shares) > 1:
        error = shares.std(axis=0, ddof=1) / sqrt(len(shares))
    return shares.mean(axis=0), error
