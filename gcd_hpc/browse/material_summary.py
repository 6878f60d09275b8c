"""Summary page of a campaign of a material: its spectrum errors, energies and costs."""

from collections.abc import Sequence
from pathlib import Path

from gcd_hpc.accounts.cost import Cost
from gcd_hpc.browse.listing import with_error
from gcd_hpc.browse.material_numbers import (
    ABOUT_TWINS,
    CONFIDENCE,
    ERROR_HEADINGS,
    energies_of_first,
    error_cells,
    errors_by_round,
    twin_differences,
)
from gcd_hpc.browse.summary import cost_markdown
from gcd_hpc.files import replacing
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_directory import RunDirectory

NUM_LISTED = 10
"""Candidates that the summary lists."""
ALT_TEXTS = {
    "spectra": "Target and mean spectra with and without guidance",
    "errors": "Spectrum error of each candidate by round",
}
"""Texts in place of the figures, by the names of their files."""
ABOUT = (
    "The spectrum error is the root mean square difference to the target, both with a mean level of"
    f" 1. Means have {CONFIDENCE:.0%} intervals over the candidates by Student's t."
)


def write_material_summary(run: Run, cost: Cost, figures: Sequence[Path]) -> Path:
    """Write RUN/summary.md: errors by round, nearest candidates, energies, costs, figures.

    Args:
        run: all structures of a run directory.
        figures: files in the run directory that the summary shows.
    """
    config = campaign_of(run.provenance.get("config", ""))
    blocks = [
        f"# {config.get('name', run.path.name)}",
        *(f"![{ALT_TEXTS[figure.stem]}]({figure.name})" for figure in figures),
        "## Spectrum errors by round",
        ABOUT,
        _errors(run),
        *_twins(run),
        "## Candidates of the smallest spectrum error",
        _lowest(run),
        "## Energies of the first structures",
        _energies(run),
        "## Where the time went",
        cost_markdown(cost),
    ]
    path = RunDirectory(run.path).summary
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


def _errors(run: Run) -> str:
    rows = [error_cells(one) for one in errors_by_round(run)]
    return _table(ERROR_HEADINGS, rows, "--:|---|--:|--:|--:|--:|--:")


def _twins(run: Run) -> tuple[str, ...]:
    rows = [(name, str(one.num), str(one)) for name, one in twin_differences(run).items()]
    if not rows:
        return ()
    headings = ("round", "pairs", "guided less unguided")
    return (ABOUT_TWINS, _table(headings, rows, "--:|--:|--:"))


def _lowest(run: Run) -> str:
    rows = [
        (
            f"`{one.id}`",
            one.guided,
            with_error(one.spectrum_error, one.spectrum_error_se),
            f"{one.energy_ev_atom:.4f}",
        )
        for one in run.lowest(NUM_LISTED)
    ]
    headings = ("candidate", "guidance", "spectrum error", "energy (eV/atom)")
    return _table(headings, rows, "---|---|--:|--:")


def _energies(run: Run) -> str:
    rows = [
        (f"{density:.2f}", str(energy.num), str(energy))
        for density, energy in energies_of_first(run).items()
    ]
    return _table(("density (g/cm³)", "number", "energy (eV/atom)"), rows, "--:|--:|--:")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], sides: str) -> str:
    lines = [f"| {' | '.join(headings)} |", f"|{sides}|"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join(lines)
