"""Parts of a report from what was measured of phases: each, or the command that measures it."""

from collections.abc import Sequence

from gcd_hpc.browse.report.document import Block, Paragraph, Section, table
from gcd_hpc.browse.report.found import Found
from gcd_hpc.phases.measuring import measured
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord

RUN = "RUN"
"""Stands for the run directory in commands of a report."""


def measurements(found: Found) -> list[Section]:
    """Excess properties, stability at temperature, gamma surface and phase diagram."""
    return [excess(found), temperature(found), gamma(found), diagram(found)]


def missing(what: str, command: str) -> Paragraph:
    """What a report says of a measurement that was not made."""
    return Paragraph(f"{what}. `gcd-hpc {command}` measures it.", is_note=True)


def records(found: Found, kind: str) -> list[tuple[Phase, MeasuredRecord]]:
    """Phases with a measurement of this kind of their present structure."""
    pairs = [(phase, measured(found.run, phase, kind)) for phase in found.phases]
    return [(phase, record) for phase, record in pairs if record is not None]


def excess(found: Found) -> Section:
    """Excess properties of each phase."""
    title, known = "Excess properties", records(found, "excess")
    if not known:
        what = "The excess stress of the phases was not measured"
        return Section(title, (missing(what, f"phases {RUN} --measure"),))
    return Section(title, (values_table("Excess properties of the phases.", known),))


def temperature(found: Found) -> Section:
    """Free energies, and whether phases stay when they are held at a temperature."""
    title, known = "Stability at temperature", records(found, "free-energy")
    blocks: list[Block] = []
    if not known:
        blocks.append(missing("Free energies were not computed", f"free-energy {RUN}"))
    held = records(found, "hold")
    if not held:
        what = "No phase was held at a temperature by molecular dynamics"
        blocks.append(missing(what, f"hold {RUN} --phase NAME --temperature-k T"))
    return Section(title, tuple(blocks))


def gamma(found: Found) -> Section:
    """Energy against the rigid shift of the grains."""
    what = "The energy against the rigid shift of the grains was not computed"
    return Section("Gamma surface", (missing(what, f"gamma {RUN}"),))


def diagram(found: Found) -> Section:
    """The stable phase against temperature and strain."""
    what = "The stable phase against temperature and strain was not computed"
    return Section("Phase diagram", (missing(what, f"diagram {RUN}"),))


def values_table(caption: str, known: Sequence[tuple[Phase, MeasuredRecord]]) -> Block:
    """Table of the numbers and words that all measurements of a kind hold."""
    names = [
        name
        for name, value in known[0][1].results.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    ]
    rows = [
        (phase.name, *(_cell(record.results.get(name)) for name in names))
        for phase, record in known
    ]
    return table(caption, ("phase", *(name.replace("_", " ") for name in names)), rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return "" if value is None else str(value)
