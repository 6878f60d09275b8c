"""What the page of a run shows that depends on the kind of its campaign."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from gcd_hpc.browse.figure_kinds import What
from gcd_hpc.browse.material_numbers import (
    ABOUT_ROUNDS,
    ERROR_HEADINGS,
    error_cells,
    errors_by_round,
)
from gcd_hpc.browse.material_spectra import MaterialSpectra
from gcd_hpc.browse.report.facts import boundary_facts, material_facts
from gcd_hpc.browse.tables import plain
from gcd_hpc.store.materials import GUIDED_ORDER
from gcd_hpc.store.run import Run

DIGITS = 5
"""Decimals of an absorption; the spectra have a mean level of 1."""


@dataclass(frozen=True)
class PageKind:
    """Columns and figures of one kind of campaign."""

    name: str
    fields: tuple[str, ...]
    """Columns of the table of candidates."""
    map_fields: tuple[str, ...]
    """Values of a point of the map."""
    figures: dict[What, str]
    """Figures by name, with their titles."""


BOUNDARY = PageKind(
    name="boundary",
    fields=(
        *("id", "gb_energy_j_m2", "n_fraction", "num_atoms", "excess_volume_a", "source"),
        *("version", "move", "round", "status", "converged", "preset", "closest_pair_a", "reason"),
    ),
    map_fields=(
        *("id", "n_fraction", "gb_energy_j_m2", "source", "version", "round"),
        *("excess_volume_a", "closest_pair_a", "num_atoms"),
    ),
    figures={
        "progress": "Lowest energy of each [n] against core-seconds",
        "timeline": "What ran when",
        "egb-n": "Energy against [n]",
    },
)
MATERIAL = PageKind(
    name="material",
    fields=(
        *("id", "spectrum_error", "spectrum_error_se", "predicted_error", "energy_ev_atom"),
        *("density_g_cm3", "num_atoms", "num_labelled", "source", "version", "guided", "round"),
        *("status", "converged", "closest_pair_a", "reason"),
    ),
    map_fields=(
        *("id", "energy_ev_atom", "spectrum_error", "source", "version", "guided", "round"),
        *("predicted_error", "density_g_cm3", "closest_pair_a"),
    ),
    figures={"errors": "Spectrum error by round", "timeline": "What ran when"},
)


def kind_of(run: Run) -> PageKind:
    """Kind of the campaign of a run."""
    return MATERIAL if run.is_material else BOUNDARY


def material_choices(run: Run) -> list[dict[str, Any]]:
    """Sources of a material that can be chosen: selection, name and number of rows of each."""
    columns = run.columns(["source", "guided", "version"])
    found = [
        (f"source={source}", name, int((columns["source"] == source).sum()))
        for source, name in (("quench", "quenches"), ("given", "given structures"))
    ]
    found += [
        (f"guided={label}", label, int((columns["guided"] == label).sum()))
        for label in GUIDED_ORDER
    ]
    models = Counter(columns["version"][columns["source"] == "model"].tolist())
    found += [
        (f"source=model version={version}", f"model {version:02d}", num)
        for version, num in sorted(models.items())
    ]
    return [{"select": select, "name": name, "num": num} for select, name, num in found if num]


def rounds_table(run: Run) -> dict[str, Any]:
    """Table of the spectrum errors of each round."""
    cells = [error_cells(one) for one in errors_by_round(run)]
    return {"headings": ERROR_HEADINGS, "rows": cells, "about": ABOUT_ROUNDS}


def subject_facts(run: Run, spectra: MaterialSpectra | None) -> list[tuple[str, str]]:
    """The boundary or the material of a run in lines."""
    facts = material_facts(run, spectra) if run.is_material else boundary_facts(run)
    return list(facts.rows)


def spectra_record(
    spectra: MaterialSpectra | None, groups: dict[str, list[str]], name: str
) -> dict[str, Any]:
    """Curves of the view of spectra: target, means with bands, and that of one structure.

    Args:
        groups: ids of the structures of each group.
        name: id of the chosen structure; empty if none is.
    """
    if spectra is None:
        return {"energies": [], "curves": []}
    curves: list[dict[str, Any]] = []
    for group in GUIDED_ORDER:
        band = spectra.band(groups.get(group, []))
        if band is not None:
            label = f"{group}, mean of {band.num:,}"
            curves.append(_curve(group, label, band.mean, band.deviation))
    if name in spectra.means:
        error = spectra.atom_errors[name]
        curves.append(_curve("chosen", name, spectra.means[name], error))
    if spectra.target is not None:
        curves.append(_curve("target", "target", spectra.target, None))
    return {"energies": plain(spectra.energies_ev), "curves": curves}


def _curve(kind: str, name: str, values: Any, half_width: Any) -> dict[str, Any]:
    found = {"kind": kind, "name": name, "values": plain(values.round(DIGITS))}
    if half_width is not None:
        found["half_width"] = plain(half_width.round(DIGITS))
    return found
