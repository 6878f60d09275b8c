"""Phases on the page: their table, and the condition phase=NAME of its filter."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from gcd_hpc.browse.phases import relation
from gcd_hpc.errors import StoreError, did_you_mean, shortened
from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.run import Run

HEADINGS = (
    *("phase", "E_gb (J/m²)", "excess volume (Å)", "found", "layer group", "structure"),
    "relation",
)
ABOUT = (
    "A phase is one structure, whatever symmetry operation of the boundary or repetition of the"
    " cell lies between its candidates. Its name is [n] and its rank by energy; the filter takes"
    " phase=1/5-1. Relation: a lower phase with point defects, and the energy of each."
)
_WORD = re.compile(r"^phase(!?=)(.+)$")


def phase_names(selection: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """A selection without its conditions of phases, and these: the relation and the names."""
    joined = re.sub(r"\s*(!=|<=|>=|=|<|>|,)\s*", r"\1", selection)
    plain, conditions = [], []
    for word in joined.split():
        found = _WORD.match(word)
        if found is None:
            plain.append(word)
        else:
            conditions.append((found[1], found[2].split(",")))
    return (selection if not conditions else " ".join(plain)), conditions


def in_phases(run: Run, phases: Sequence[Phase], conditions: list[tuple[str, list[str]]]) -> Run:
    """Candidates of a run that meet conditions of phases.

    Raises:
        StoreError: naming the phase that there is not.
    """
    members = {phase.name: set(phase.members) for phase in phases}
    ids = run.columns(["id"])["id"].tolist()
    chosen = np.ones(len(ids), dtype=bool)
    for sign, names in conditions:
        for name in names:
            if name not in members:
                raise StoreError(
                    f"selection: there is no phase {shortened(name)} among the lowest of each [n]"
                    f"{did_you_mean(name, members)}"
                )
        wanted = set().union(*(members[name] for name in names))
        chosen &= np.array([(one in wanted) == (sign == "=") for one in ids], dtype=bool)
    return run[chosen]


def phase_rows(phases: Sequence[Phase]) -> dict[str, Any]:
    """Table of phases as texts, and the ids of the candidates of each."""
    rows = []
    for one in phases:
        rows.append(
            [
                one.name,
                f"{one.gb_energy_j_m2:.4f}",
                f"{one.excess_volume_a:.3f}",
                f"{one.num_found:,}",
                one.layer_group,
                one.representative.id,
                relation(one),
            ]
        )
    members = {one.name: list(one.members) for one in phases}
    return {"headings": HEADINGS, "rows": rows, "members": members, "about": ABOUT}
