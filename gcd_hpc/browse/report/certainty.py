"""Part of a report on what was tried, what it cost, and how sure one can be of the result."""

from math import isfinite, isnan

import numpy as np
from matplotlib.figure import Figure

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.accounts.report import HOUR_S
from gcd_hpc.accounts.sources import improves
from gcd_hpc.accounts.unseen import Unseen, pace_at_end, unseen
from gcd_hpc.browse.campaign_figures import progress
from gcd_hpc.browse.figures import BLUE, GREY, RED, new_figure
from gcd_hpc.browse.report.document import Block, Paragraph, Section, picture, table
from gcd_hpc.browse.report.found import LOW_J_M2, MAX_TRIES, NUM_PER_N, Found
from gcd_hpc.browse.report.phase_blocks import nothing
from gcd_hpc.browse.sources import ABOUT, HEADINGS, source_cells
from gcd_hpc.browse.summary import COST_HEADINGS, cost_rows

END = 0.25
"""Last part of the processor time that counts as the end of a search."""


def tried(found: Found) -> Section:
    """What each source tried, cost and found, and where the time went."""
    blocks: list[Block] = [
        table(f"Work by source. {ABOUT}", HEADINGS, source_cells(found.sources), left=(0, 5))
    ]
    if found.state is not None:
        rows = cost_rows(cost_of(found.state))
        blocks.append(table("Where the time went.", COST_HEADINGS, rows))
    if len(found.relaxed):
        caption = (
            "Lowest energy of each [n] against the processor time of the whole campaign. A mark"
            " shows what made each improvement."
        )
        blocks.append(picture(progress(found.run), caption))
    return Section("What was tried", tuple(blocks))


def certainty(found: Found) -> Section:
    """Pace of new phases at the end, and estimates of what is unseen, with their assumptions."""
    title = "How sure one can be"
    if not found.phases:
        return Section(title, (nothing(found),))
    return Section(title, (*_pace(found), *_unseen(found)))


def _pace(found: Found) -> list[Block]:
    """How many of the listed phases were found late."""
    at_s, total_s = found.first_found_s(found.phases), found.core_s
    pace = pace_at_end(at_s, total_s, END) * HOUR_S
    num = int(np.sum(at_s > (1 - END) * total_s))
    last = _last_improvement_s(found)
    sentences = (
        f"Of the {len(found.phases)} phases listed ({NUM_PER_N} of each [n] at most), {num}"
        f" {'was' if num == 1 else 'were'} first found in the last {END:.0%} of the processor time"
        f"{'' if isnan(pace) else f': {pace:.3g} new ones per core-hour'}. The lowest energy of an"
        f" [n] was last lowered after {last / total_s:.0%} of it. A"
        " search whose curve below is still rising has not ended; one that is flat has found what"
        " its moves find, which need not be all."
    )
    caption = (
        f"Listed phases found so far against processor time, of rank 1 to {NUM_PER_N} by energy"
        " within their [n] and of rank 1 alone."
    )
    return [Paragraph(sentences), picture(discovery(found, at_s), caption)]


def _last_improvement_s(found: Found) -> float:
    """Processor time at the last noticeable lowering of a lowest energy, s."""
    chosen = np.isin(found.spending.order, found.relaxed.numbers)
    columns = found.run[found.spending.order[chosen]].columns(["n_index", "gb_energy_j_m2"])
    until = found.spending.until()[chosen][improves(columns)]
    return float(until.max(initial=0.0))


def discovery(found: Found, at_s: np.ndarray) -> Figure:
    """Number of listed phases found against processor time."""
    figure = new_figure(6.0, 2.9)
    axes = figure.add_subplot()
    is_long = found.core_s >= HOUR_S
    scale, unit = (HOUR_S, "core-hours") if is_long else (1.0, "core-seconds")
    is_first = np.array([one.name.endswith("-1") for one in found.phases])
    for chosen, colour, label in (
        (np.ones(len(at_s), dtype=bool), BLUE, "listed phases"),
        (is_first, RED, "lowest phase of each [n]"),
    ):
        times = np.concatenate([[0.0], np.sort(at_s[chosen]), [found.core_s]]) / scale
        counts = np.concatenate([np.arange(chosen.sum() + 1), [chosen.sum()]])
        axes.step(times, counts, where="post", color=colour, linewidth=1.4, label=label)
    axes.axvspan(
        (1 - END) * found.core_s / scale,
        found.core_s / scale,
        color="#ececec",
        linewidth=0,
        zorder=0,
        label=f"last {END:.0%}",
    )
    axes.set_xlim(0, found.core_s / scale or 1.0)
    axes.set_ylim(0, None)
    axes.set_xlabel(unit, fontsize=9)
    axes.set_ylabel("phases found", fontsize=9)
    axes.tick_params(labelsize=8, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _unseen(found: Found) -> list[Block]:
    """Good-Turing share and Chao's bound from independent tries, and what the moves add to them."""
    num_tries = int(found.independent.sum())
    if not num_tries:
        text = (
            "What is still unseen cannot be estimated, because no candidate was made independently"
            " of the others."
        )
        return [Paragraph(text, is_note=True)]
    seen = unseen((one.num_found for one in found.tried_phases), num_tries)
    rows = _unseen_rows(found, seen)
    caption = (
        f"Phases up to {1000 * LOW_J_M2:g} mJ/m² above the lowest known one of their [n], counted"
        " over random tries and models' candidates."
    )
    assumptions = Paragraph(
        "Assumptions. Good and Turing's share and Chao's bound hold for tries that are drawn one by"
        " one, independently, from the same distribution. Moves change known structures, so that a"
        " chain of them finds the same phase many times: they are left out, and only random tries"
        " (search and fresh) and candidates of models are counted. These still differ in kind, and"
        " a model has learned from what was found before, so that it finds known phases more often:"
        " the share is a little too small. It is that of tries like these, not of the moves, and"
        " says nothing of phases that neither can reach: of larger cells, other [n] or another"
        " potential. Chao's number is a lower bound, because phases that are rare enough leave no"
        " trace. The last line of the table checks both: what moves have found beyond the tries was"
        " unseen to them.",
        is_note=True,
    )
    many = len(found.low_tries) == MAX_TRIES
    more = f" Only the {MAX_TRIES:,} lowest tries of the run were compared." if many else ""
    sentence = Paragraph(_verdict(seen) + more)
    return [sentence, table(caption, ("what", "number"), rows), assumptions]


def _unseen_rows(found: Found, seen: Unseen) -> list[tuple[str, str]]:
    lowest = {one.n_fraction: one.gb_energy_j_m2 for one in reversed(found.phases)}
    low = [one for one in found.phases if one.gb_energy_j_m2 <= lowest[one.n_fraction] + LOW_J_M2]
    by_moves = sum(found.independent_ids.isdisjoint(one.members) for one in low)
    return [
        ("independent tries", f"{seen.num_tries:,}"),
        ("of them low in energy", f"{len(found.low_tries):,}"),
        ("low phases that they found", f"{seen.num_seen:,}"),
        ("found once, found twice", f"{seen.num_once:,}, {seen.num_twice:,}"),
        (
            "share of tries that would find an unseen low phase (Good-Turing)",
            f"{seen.share:.2%} ± {seen.share_error:.2%}" if seen.num_once else "0: no singles",
        ),
        ("low phases that tries have not seen, at least (Chao1)", f"{seen.least_unseen:.1f}"),
        ("listed low phases, of them found by moves alone", f"{len(low)}, {by_moves}"),
    ]


def _verdict(seen: Unseen) -> str:
    if not seen.num_seen:
        return (
            "No independent try came near to the lowest energies: the low phases were found by"
            " moves alone, and how many are unseen cannot be estimated from tries."
        )
    if not seen.num_once:
        return (
            "Independent tries found each of their low phases more than once: by their count, tries"
            " of this kind have hardly any low phase left to find."
        )
    one_in = 1 / seen.share if isfinite(seen.share) and seen.share else float("inf")
    return (
        f"About one independent try in {one_in:,.0f} would find a low phase that no independent try"
        f" has found, and at least {seen.least_unseen:.0f} such phases exist. Moves have found some"
        " of them already: the table of phases lists what was found in all."
    )
