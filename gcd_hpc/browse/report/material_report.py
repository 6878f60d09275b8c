"""Report of a campaign of a material as a document."""

from pathlib import Path

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.browse.listing import with_error
from gcd_hpc.browse.material_figures import (
    energies_figure,
    errors_figure,
    losses_figure,
    spectra_figure,
)
from gcd_hpc.browse.material_losses import read_losses
from gcd_hpc.browse.material_numbers import (
    ABOUT_ROUNDS,
    ABOUT_TWINS,
    ERROR_HEADINGS,
    bonds_of,
    error_cells,
    errors_by_round,
    groups_of,
    twin_differences,
)
from gcd_hpc.browse.material_spectra import MaterialSpectra, read_spectra
from gcd_hpc.browse.report.document import (
    Block,
    Document,
    Facts,
    Listing,
    Paragraph,
    Section,
    picture,
    table,
)
from gcd_hpc.browse.report.facts import (
    campaign_line,
    config_of,
    cost_line,
    dates,
    material_facts,
    origin_facts,
    potential_facts,
    state_line,
)
from gcd_hpc.browse.report.run_report import about, settings_note
from gcd_hpc.browse.summary import COST_HEADINGS, cost_rows
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.config.reader import write
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bonds import BOND_FACTOR, MAX_BONDS

NUM_LISTED = 20
"""Candidates that a report lists."""
METHOD = (
    "Structures of one density are sampled by a diffusion model, with and without guidance towards"
    " the target by a network that predicts spectra, and relaxed with the potential. The spectrum"
    " error is the root mean square difference between the target and the mean spectrum of a"
    " structure, both with a mean level of 1 over the window. The engine computes the spectra of"
    " some random atoms; by them the mean that the network predicts is corrected, so that the"
    " network reduces the scatter but does not decide the result. Candidates without guidance have"
    " the same density and are the control."
)
ABOUT_ERRORS = (
    "The models of later rounds have also learned from earlier candidates. The smallest"
    " of several errors is expected to lie below the true error of its structure, by about its"
    " standard error: label more of its atoms to know it."
)


def material_document(path: Path) -> Document:
    """Report of a run directory or of a file of results of a material.

    Raises:
        GcdError: if it cannot be read.
    """
    run = open_run(path, in_memory=True)
    state = read_state(path) if path.is_dir() else None
    config, spectra = config_of(run), read_spectra(run)
    material = config.get("material") or {}
    title = f"{run.element} at {material.get('density_g_cm3', '?')} g/cm³ by its spectrum"
    return Document(
        title,
        campaign_line(run, state),
        about(run),
        (
            Section("Summary", (_summary(run, state), Paragraph(METHOD, is_note=True))),
            Section("Material and target", (material_facts(run, spectra),)),
            Section("Potential", (potential_facts(run),)),
            Section("Origin", (origin_facts(run, state),)),
            Section("Spectra", _spectra(run, spectra)),
            Section("Spectrum errors by round", _errors(run)),
            Section("Training", _training(path)),
            Section("Candidates", _candidates(run)),
            Section("Bonds", _bonds(run)),
            Section("Cost", _cost(state)),
            Section("Settings", (settings_note(), Listing(write(config)))),
        ),
    )


def _summary(run: Run, state: State | None) -> Facts:
    rows: list[tuple[str, str]] = []
    for best in run.lowest(1):
        error = with_error(best.spectrum_error, best.spectrum_error_se)
        rows.append(("smallest spectrum error", f"{error}, `{best.id}`, {best.guided}"))
        rows.append(("its energy", f"{best.energy_ev_atom:.4f} eV an atom"))
    status = run.columns(["status"])["status"]
    counts = [f"{int((status == word).sum()):,} {word}" for word in ("ok", "invalid", "failed")]
    spent_s = float(sum(cost.core_s for cost in cost_of(state).stages.values())) if state else 0.0
    rows += [
        ("structures", f"{len(run):,}: {', '.join(counts)}"),
        ("state", state_line(state)),
        ("dates", dates(state)),
    ]
    return Facts((*rows, ("cost", cost_line(state, spent_s))) if state else tuple(rows))


def _spectra(run: Run, spectra: MaterialSpectra | None) -> tuple[Block, ...]:
    if spectra is None:
        why = (
            "Spectra are in the run directory, and this is a report of its results alone."
            if not run.path.is_dir()
            else "No spectra were computed yet."
        )
        return (Paragraph(why, is_note=True),)
    best = [one.id for one in run.lowest(1)]
    caption = (
        "Target, and mean spectra of the candidates of all rounds by the engine, with a band of one"
        " standard deviation from structure to structure. The mean of a structure is here that of"
        " its labelled atoms alone, and scatters more than its spectrum error does."
    )
    blocks: list[Block] = []
    if best:
        caption += f" Dotted: `{best[0]}`, the candidate of the smallest spectrum error."
    blocks.append(picture(spectra_figure(spectra, run, "".join(best)), caption))
    if spectra.target is None:
        blocks.append(Paragraph("The target cannot be read from the run.", is_note=True))
    return tuple(blocks)


def _errors(run: Run) -> tuple[Block, ...]:
    rounds = errors_by_round(run)
    if not any(one.error.num for one in rounds):
        return (Paragraph("No candidate was compared with the target yet.", is_note=True),)
    rows = [error_cells(one) for one in rounds]
    return (
        picture(errors_figure(rounds), "Spectrum error of each candidate by round."),
        table(ABOUT_ROUNDS, ERROR_HEADINGS, rows, left=(1,)),
        *_twins(run),
        Paragraph(ABOUT_ERRORS, is_note=True),
    )


def _twins(run: Run) -> tuple[Block, ...]:
    """Differences of guided and unguided candidates with the same random numbers."""
    known = twin_differences(run)
    rows = [(name, str(one.num), str(one)) for name, one in known.items()]
    headings = ("round", "pairs", "guided less unguided")
    return (table(ABOUT_TWINS, headings, rows),) if rows else ()


def _training(path: Path) -> tuple[Block, ...]:
    losses = read_losses(RunDirectory(path)) if path.is_dir() else []
    if not losses:
        return (Paragraph("No losses of a training are known.", is_note=True),)
    caption = (
        "Mean loss over a hundred steps of the particle model, whose loss is 1 if it moves nothing,"
        " and over a hundredth of the training of the property network, whose loss is 1 if it"
        " predicts the mean spectrum for every atom."
    )
    return (picture(losses_figure(losses), caption),)


def _candidates(run: Run) -> tuple[Block, ...]:
    best = run.lowest(NUM_LISTED)
    if not len(best):
        return (Paragraph("No candidate was compared with the target yet.", is_note=True),)
    rows = [
        (
            f"`{one.id}`",
            one.guided,
            with_error(one.spectrum_error, one.spectrum_error_se),
            f"{one.predicted_error:.4f}" if one.predicted_error == one.predicted_error else "-",
            f"{one.energy_ev_atom:.4f}",
            f"{one.density_g_cm3:.3f}",
        )
        for one in best
    ]
    headings = (
        *("candidate", "guidance", "spectrum error", "predicted error", "energy (eV/atom)"),
        "density (g/cm³)",
    )
    caption = (
        f"The {len(best)} candidates of smallest spectrum error, with its standard error from the"
        " choice of atoms. The predicted error is that of the network that guides, and no judge."
    )
    map_caption = (
        "Spectrum error against energy: low in both is a structure that has the spectrum and is"
        " plausible. Bars are standard errors from the choice of atoms."
    )
    figure = picture(energies_figure(run), map_caption)
    return (figure, table(caption, headings, rows, left=(0, 1)))


def _bonds(run: Run) -> tuple[Block, ...]:
    rows = []
    for name, ids in groups_of(run).items():
        shares, errors = bonds_of(run, ids)
        cells = [f"{share:.1%} ± {error:.1%}" for share, error in zip(shares, errors, strict=True)]
        rows.append((name, str(len(ids)), *cells))
    if not rows:
        return (Paragraph("No structure was relaxed yet.", is_note=True),)
    counts = [str(num) for num in range(MAX_BONDS)] + [f"{MAX_BONDS} or more"]
    caption = (
        "Share of atoms by their number of bonds in relaxed structures, with standard errors over"
        f" structures. Atoms are bonded up to {BOND_FACTOR:g} times the sum of their covalent"
        " radii. Quenches are of all their densities."
    )
    return (table(caption, ("structures", "number", *counts), rows),)


def _cost(state: State | None) -> tuple[Block, ...]:
    if state is None:
        return (Paragraph("Not known, because there is no ledger of the campaign.", is_note=True),)
    return (table("Where the time went.", COST_HEADINGS, cost_rows(cost_of(state))),)
