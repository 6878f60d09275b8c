"""Parts of a report about energies, phases and what was measured of them."""

from collections.abc import Sequence
from math import isfinite

from gcd_hpc.browse.figures import egb_vs_n
from gcd_hpc.browse.phases import relation
from gcd_hpc.browse.report.document import Block, Paragraph, Picture, Section, picture, table
from gcd_hpc.browse.report.found import NUM_PER_N, Found
from gcd_hpc.browse.report.pictures import HALF_HEIGHT, TOP, colour_limit, three_views
from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.crystal import neighbor_distance
from gcd_hpc.store.makers import maker_name
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2

MAX_PICTURES = 10
"""Phases that a report shows from three sides."""


def energies(found: Found) -> Section:
    """Energy of every relaxed candidate against [n]."""
    if not len(found.relaxed):
        return Section("Energies", (nothing(found),))
    caption = (
        "Energy of every relaxed boundary against [n], the number of atoms at the boundary modulo"
        " those of a plane, as a fraction. Lines join the lowest of each [n]; clouds of the search,"
        " the exploration and the models stand side by side at the same [n]."
    )
    return Section("Energies", (picture(egb_vs_n(found.run), caption),))


def nothing(found: Found) -> Paragraph:
    """What a report of a run without relaxed candidates says."""
    what = "no candidate was relaxed yet" if len(found.run) else "no candidate was tried yet"
    return Paragraph(f"There are no structures: {what}.", is_note=True)


def phases(found: Found) -> Section:
    """Table of the phases, and the lowest of them from three sides."""
    if not found.phases:
        return Section("Phases", (nothing(found),))
    about = Paragraph(
        "A phase is one structure: candidates that agree in [n], in energy to"
        f" {1000 * SAME_ENERGY_J_M2:g} mJ/m² and in the distances around their atoms, whatever"
        " symmetry operation of the boundary or repetition of the cell lies between them. Its name"
        f" is [n] and its rank by energy. The {NUM_PER_N} lowest of each [n] are listed."
    )
    return Section("Phases", (about, phase_table(found), *pictures(found)))


def phase_table(found: Found) -> Block:
    """One row for each phase."""
    rows = []
    lowest = {one.n_fraction: one.gb_energy_j_m2 for one in reversed(found.phases)}
    for one in found.phases:
        first = one.representative
        fresh = sum(member in found.independent_ids for member in one.members)
        rows.append(
            (
                one.name,
                f"{one.gb_energy_j_m2:.4f}",
                f"{1000 * (one.gb_energy_j_m2 - lowest[one.n_fraction]):.1f}",
                number(one.excess_volume_a, 4),
                str(first.num_atoms),
                f"{one.num_found:,}",
                f"{fresh:,}",
                one.layer_group,
                f"`{first.id}`",
                maker_name(first.source, first.version, first.move),
                relation(one),
            )
        )
    headings = (
        *("phase", "E_gb (J/m²)", "above lowest of [n] (mJ/m²)", "excess volume (Å)"),
        *("atoms", "found", "independent", "layer group", "structure", "made by", "relation"),
    )
    caption = (
        "Phases. Found: candidates that are this phase; independent: random tries and models'"
        " candidates among them, which change no known structure. Relation: a lower phase with"
        " point defects, and the energy of each. Structures that did not converge are marked by *."
    )
    marked = [
        (row[0] + ("" if one.representative.converged else "*"), *row[1:])
        for row, one in zip(rows, found.phases, strict=True)
    ]
    return table(caption, headings, marked, left=(0, 7, 8, 9, 10))


def number(value: float, digits: int) -> str:
    """A number, or a dash where it is not known."""
    return f"{value:.{digits}f}" if isfinite(value) else "–"


def pictures(found: Found) -> list[Picture]:
    """The lowest phase of each [n], of as many as a report shows, lowest first."""
    first = {one.n_fraction: one for one in reversed(found.phases)}
    chosen = sorted(first.values(), key=lambda one: one.gb_energy_j_m2)[:MAX_PICTURES]
    return views_of(found, chosen)


def views_of(found: Found, chosen: Sequence[Phase]) -> list[Picture]:
    """Phases from three sides, with one scale of colours."""
    candidates = [one.representative for one in chosen]
    limit = colour_limit(candidates)
    shown = []
    for phase, candidate in zip(chosen, candidates, strict=True):
        caption = (
            f"Phase {phase.name}, {phase.gb_energy_j_m2:.4f} J/m²: atoms up to {HALF_HEIGHT:g} Å"
            f" from the boundary, coloured by excess energy (the colours end at ±{limit:.2f} eV,"
            f" the {TOP:g}th percentile of all pictures). The frame is one cell."
        )
        figure = three_views(candidate, _neighbour(found, candidate), limit, _numbers(candidate))
        shown.append(picture(figure, caption))
    return shown


def _neighbour(found: Found, candidate: RunCandidate) -> float:
    config = found.run.provenance.get("config", "")
    known = neighbor_distance(config, float(candidate.cell[0]), candidate.axial_ratio)
    return known if isfinite(known) else 2.7


def _numbers(candidate: RunCandidate) -> list[int]:
    return sorted({int(one) for one in candidate.numbers})
