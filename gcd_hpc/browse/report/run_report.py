"""Report of one run as a document."""

from importlib.metadata import metadata
from pathlib import Path

from gcd_hpc.browse.report.asked import asked_section
from gcd_hpc.browse.report.certainty import certainty, tried
from gcd_hpc.browse.report.document import Document, Facts, Listing, Paragraph, Section
from gcd_hpc.browse.report.facts import (
    boundary_facts,
    campaign_line,
    config_of,
    cost_line,
    dates,
    origin_facts,
    potential_facts,
    state_line,
    title_of,
)
from gcd_hpc.browse.report.found import Found
from gcd_hpc.browse.report.measured import measurements
from gcd_hpc.browse.report.phase_blocks import energies, phases
from gcd_hpc.config.reader import write
from gcd_hpc.store.run import Run

METHOD = (
    "E_gb is the excess energy of the atoms between the free surfaces, over the crystal's, per area"
    " (eq. 7 of Lei et al., arXiv:2408.15601). The excess volume is that of the same atoms per"
    " area, in Å. Structures are relaxed at zero temperature with the bottom of the lower grain"
    " held; the upper grain may shift. [n] takes the number of atoms modulo those of a plane, so"
    " that 0 and 1 are the same."
)


def run_document(path: Path) -> Document:
    """Report of a run directory or of a file of results.

    Raises:
        GcdError: if it cannot be read.
    """
    found = Found.of(path)
    return Document(
        title_of(found.run),
        campaign_line(found.run, found.state),
        about(found.run),
        (
            Section("Summary", (summary(found), Paragraph(METHOD, is_note=True))),
            Section("Boundary", (boundary_facts(found.run),)),
            Section("Potential", (potential_facts(found.run),)),
            Section("Origin", (origin_facts(found.run, found.state),)),
            *asked_section(found),
            energies(found),
            phases(found),
            *measurements(found),
            tried(found),
            certainty(found),
            Section("Settings", (settings_note(), Listing(write(config_of(found.run))))),
        ),
    )


def settings_note() -> Paragraph:
    """What the listing of a campaign is."""
    return Paragraph(
        "The campaign file with every default. Of files on the author's machine the names are left."
    )


def about(run: Run) -> str:
    """The program that made a report, and of a boundary the paper of its method, on one line."""
    own = metadata("gcd-hpc")
    if run.is_material:
        return f"Made by gcd-hpc {own['Version']}"
    return f"Made by gcd-hpc {own['Version']}, the method of Lei et al., arXiv:2408.15601"


def summary(found: Found) -> Facts:
    """The result, the work and the state of a campaign."""
    rows: list[tuple[str, str]] = []
    if found.phases:
        best = min(found.phases, key=lambda one: one.gb_energy_j_m2)
        fresh = sum(member in found.independent_ids for member in best.members)
        times = f"found {best.num_found:,} times, {fresh:,} of them independently"
        energy = f"{best.gb_energy_j_m2:.4f} J/m², phase {best.name} (`{best.representative.id}`)"
        rows.append(("lowest energy", f"{energy}, {times}"))
        num_n = len({one.n_fraction for one in found.phases})
        rows.append(("[n] with structures", f"{num_n} of {best.representative.atoms_per_plane}"))
    status = found.run.columns(["status"])["status"]
    counts = [
        f"{int((status == word).sum()):,} {what}"
        for word, what in (("ok", "relaxed"), ("invalid", "refused"), ("failed", "failed"))
    ]
    rows += [
        ("candidates", f"{len(found.run):,} tried: {', '.join(counts)}"),
        ("cost", cost_line(found.state, found.core_s)),
        ("state", state_line(found.state)),
        ("dates", dates(found.state)),
    ]
    return Facts(tuple(rows))
