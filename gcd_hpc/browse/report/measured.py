"""Parts of a report from what was measured of phases: each, or the command that measures it."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from gcd_hpc.browse.diagram_figure import diagram_figure
from gcd_hpc.browse.figures import GREY, new_figure
from gcd_hpc.browse.gamma_figure import gamma_map
from gcd_hpc.browse.report.document import Block, Paragraph, Section, picture, table
from gcd_hpc.browse.report.found import Found
from gcd_hpc.phases.diagram_inputs import AXES, read_diagram
from gcd_hpc.phases.diagram_inputs import KIND as DIAGRAM
from gcd_hpc.phases.free_energy import transitions
from gcd_hpc.phases.gamma import CUT, read_surface, surfaces_of
from gcd_hpc.phases.measuring import measured, system_of
from gcd_hpc.phases.record import MeasuredRecord
from gcd_hpc.phases.registries import places_of
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.fingerprint import SAME_FINGERPRINT

RUN = "RUN"
"""Stands for the run directory in commands of a report."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""Marks of curves, so that they can be told in greyscale."""
EXCESS_DIGITS = 4


def measurements(found: Found) -> list[Section]:
    """Excess properties, stability at temperature and gamma surfaces."""
    return [excess(found), temperature(found), gamma(found), diagram(found)]


def missing(what: str, command: str) -> Paragraph:
    """What a report says of a measurement that was not made."""
    return Paragraph(f"{what}. `gcd-hpc {command}` measures it.", is_note=True)


def records(found: Found, kind: str) -> dict[str, MeasuredRecord]:
    """Measurements of this kind of the phases' present structures, by the phase's name."""
    pairs = [(phase.name, measured(found.run, phase, kind)) for phase in found.phases]
    return {name: record for name, record in pairs if record is not None}


def of_settings(known: Mapping[str, MeasuredRecord]) -> str:
    """Version, day and settings of the measurements, in words."""
    first = next(iter(known.values()))
    cpu_s = sum(one.cpu_s for one in known.values())
    words = [f"{key} {_word(value)}" for key, value in first.settings.items()]
    return (
        f"Measured by gcd-hpc {first.version} on {first.date[:10]} with {', '.join(words)};"
        f" {cpu_s:,.0f} s of processor time."
    )


def _word(value: object) -> str:
    """A value of a setting; of a long list its ends."""
    if not isinstance(value, list):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if len(value) > 4:
        return f"{value[0]:g} to {value[-1]:g} ({len(value)} values)"
    return ", ".join(map(_word, value))


def excess(found: Found) -> Section:
    """Excess energy, volume and stress of each phase, in a slab thick enough."""
    title, known = "Excess properties", records(found, "excess")
    if not known:
        what = "The excess stress of the phases was not measured"
        return Section(title, (missing(what, f"phases {RUN} --measure"),))
    rows = []
    for name, record in known.items():
        one = record.results
        rows.append(
            (
                name,
                f"{one['gb_energy_j_m2']:.4f}",
                f"{one['excess_volume_a']:.4f}",
                *(f"{value:.{EXCESS_DIGITS}f}" for value in one["excess_stress_n_m"]),
                *(f"{value:.{EXCESS_DIGITS}f}" for value in one["excess_stress_by_strain_n_m"]),
            )
        )
    parts = ("xx", "yy", "xy")
    headings = (
        *("phase", "E_gb (J/m²)", "excess volume (Å)"),
        *(f"stress {part} (N/m)" for part in parts),
        *(f"{part} by strain (N/m)" for part in parts),
    )
    caption = (
        "Excess properties of phases in slabs thick enough for their strain fields. The excess"
        " stress, positive under tension, is that of the atoms' virials and, as a check, the"
        " derivative of the energy against in-plane strain."
    )
    return Section(title, (table(caption, headings, rows), Paragraph(of_settings(known), True)))


def temperature(found: Found) -> Section:
    """Free energies, and whether phases stay when they are held at a temperature."""
    blocks = _free_energies(found)
    held = records(found, "hold")
    if held:
        caption = (
            "Distance of the fingerprint of the quenched structure from that of the phase, which is"
            " 0 for equal structures, against the time at the temperature. Below the line two"
            " structures of equal energy count as one."
        )
        shown = picture(held_figure(held), caption)
        blocks += [_held_table(held), shown, Paragraph(of_settings(held), is_note=True)]
    else:
        what = "No phase was held at a temperature by molecular dynamics"
        blocks.append(missing(what, f"hold {RUN} --phase NAME --temperature 0.3Tm"))
    return Section("Stability at temperature", tuple(blocks))


def _free_energies(found: Found) -> list[Block]:
    known = records(found, "free-energy")
    if not known:
        return [missing("Free energies were not computed", f"free-energy {RUN}")]
    caption = (
        "Harmonic free energy of the boundary against temperature (quantum statistics; dashed:"
        " classical), with its error from the size of the cell, the displacements and the thickness"
        " of the slab. Atoms that another [n] has more or less are taken from the crystal."
    )
    blocks: list[Block] = [picture(free_energy_figure(known), caption)]
    crossings = transitions(known)
    rows = [
        (one.below, one.above, f"{one.temperature_k:.0f}", f"{one.from_k:.0f} to {one.to_k:.0f}")
        for one in crossings
    ]
    if rows:
        headings = ("stable below", "stable above", "T (K)", "within the errors (K)")
        words = "Temperatures at which two of these phases have equal free energies."
        blocks.append(table(words, headings, rows, left=(0, 1)))
    elif len(known) > 1:
        blocks.append(Paragraph("No two of these phases have equal free energies in this range."))
    return [*blocks, Paragraph(of_settings(known), is_note=True)]


def free_energy_figure(known: Mapping[str, MeasuredRecord]) -> Figure:
    """Free energy of each phase against temperature, with error bars."""
    figure = new_figure(5.6, 3.6)
    axes = figure.add_subplot()
    for place, (name, record) in enumerate(known.items()):
        one = record.results
        kelvin, mark = one["temperatures_k"], MARKS[place % len(MARKS)]
        drawn = axes.errorbar(
            kelvin,
            one["free_energy_j_m2"],
            one["error_j_m2"],
            label=name,
            marker=mark,
            markersize=4,
            linewidth=1.2,
            capsize=2,
        )
        colour = drawn.lines[0].get_color()
        axes.plot(kelvin, one["classical_free_energy_j_m2"], "--", color=colour, linewidth=0.8)
    axes.set_xlabel("temperature (K)")
    axes.set_ylabel("free energy of the boundary (J/m$^2$)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, title="phase", title_fontsize=8)
    return figure


def held_figure(held: Mapping[str, MeasuredRecord]) -> Figure:
    """Distance of each held phase from what it was, against time."""
    figure = new_figure(5.6, 2.8)
    axes = figure.add_subplot()
    for place, (name, record) in enumerate(held.items()):
        one, kelvin = record.results, record.settings["temperature_k"]
        mark = MARKS[place % len(MARKS)]
        label = f"{name} at {kelvin:g} K"
        axes.plot(one["time_ps"], one["distances"], marker=mark, markersize=4, label=label)
    axes.axhline(SAME_FINGERPRINT, color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlabel("time (ps)", fontsize=9)
    axes.set_ylabel("distance of fingerprints", fontsize=9)
    axes.set_ylim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def gamma(found: Found) -> Section:
    """Energy against the rigid shift of the grains, with the registries of the phases."""
    title, path = "Gamma surface", found.run.path
    names = surfaces_of(path) if path.is_dir() else []
    known = {phase.file_name for phase in found.phases if measured(found.run, phase, "gamma")}
    blocks: list[Block] = []
    for name in names:
        if name != CUT and name not in known:
            continue  # it is of a structure that is no listed phase any more
        surface = read_surface(path, name)
        places = places_of(found.phases, surface, system_of(path).bicrystal)
        of_what = "the two perfect grains" if name == CUT else f"phase {surface.phase}"
        low = surface.energies_j_m2[surface.lowest]
        high = surface.energies_j_m2[surface.highest]
        caption = (
            f"Energy of {of_what} against the rigid shift of the upper grain, from {low:.4f} to"
            f" {high:.4f} J/m². Rings are the registries of phases of this [n]."
        )
        blocks.append(picture(gamma_map(surface, places), caption))
    if blocks:
        return Section(title, tuple(blocks))
    what = "The energy against the rigid shift of the grains was not computed"
    return Section(title, (missing(what, f"gamma {RUN}"),))


def diagram(found: Found) -> Section:
    """The stable phase against temperature and strain."""
    title, path = "Phase diagram", found.run.path
    blocks: list[Block] = []
    for axis in AXES if path.is_dir() else ():
        if not RunDirectory(path).measured(DIAGRAM, axis).is_file():
            continue
        known = read_diagram(path, axis)
        caption = (
            f"Stable phase against {known.axis.label}. Phases that were not measured are not in it:"
            " the diagram is of those that were."
        )
        blocks.append(picture(diagram_figure(known), caption))
    if blocks:
        return Section(title, tuple(blocks))
    what = "The stable phase against temperature and strain was not computed"
    return Section(title, (missing(what, f"diagram {RUN}"),))


def _held_table(held: Mapping[str, MeasuredRecord]) -> Block:
    """Whether each phase stayed, and how far its fingerprint was from its own at the end."""
    rows = []
    for name, record in held.items():
        how, one = record.settings, record.results
        rows.append(
            (
                name,
                f"{how['temperature_k']:g}",
                f"{how['ps']:g}",
                "×".join(map(str, how["replicas"])),
                str(how["ends"]),
                f"{one['last_distance']:.4f}",
                str(one["verdict"]),
            )
        )
    headings = ("phase", "T (K)", "time (ps)", "cells", "ends", "last distance", "verdict")
    caption = (
        "Phases held at a temperature by molecular dynamics. The distance is that of the"
        " fingerprints of the quenched last snapshot and of the phase, 0 for equal structures."
    )
    return table(caption, headings, rows, left=(0, 4, 6))
