"""What a report says of a run's boundary, potential, origin and state."""

from datetime import datetime, timezone
from pathlib import PurePath
from typing import Any

import numpy as np

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.accounts.report import HOUR_S
from gcd_hpc.browse.material_spectra import MaterialSpectra
from gcd_hpc.browse.report.document import Facts
from gcd_hpc.browse.status import MEANING, status_of
from gcd_hpc.campaign.portable import portable_config
from gcd_hpc.campaign.progress import clock
from gcd_hpc.campaign.state import State
from gcd_hpc.config.miller import spelled
from gcd_hpc.engines.library import citation_in
from gcd_hpc.errors import GcdError
from gcd_hpc.store.crystal import boundary_of, crystal_of, neighbor_distance
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.character import character_of, described

SOLVER_KEYS = ("preset", "screen", "outer_thickness")


def config_of(run: Run) -> dict[str, Any]:
    """Campaign of a run as plain data, without paths of the machine; empty if unknown."""
    return portable_config(campaign_of(run.provenance.get("config", "")), RunDirectory(run.path))


def crystal_of_run(run: Run) -> Bicrystal | None:
    """Bicrystal of a run at the lattice constant of its candidates; None if it is not known."""
    boundary = boundary_of(run.provenance.get("config"))
    if boundary is None or not len(run):
        return None
    columns = run[:1].columns(["cell", "axial_ratio"])
    return crystal_of(boundary, float(columns["cell"][0, 0]), float(columns["axial_ratio"][0]))


def title_of(run: Run) -> str:
    """The boundary in a few words, or the name of the run if the boundary is not known."""
    crystal = crystal_of_run(run)
    boundary = boundary_of(run.provenance.get("config"))
    if crystal is None or boundary is None:
        return run.path.absolute().stem
    return f"{'-'.join(run.elements)}: {with_signs(described(boundary, crystal))}"


def with_signs(text: str) -> str:
    """Words of ``described`` with the signs that papers have."""
    return text.replace("Sigma ", "Σ").replace(" degrees", "°")


def boundary_facts(run: Run) -> Facts:
    """Crystal, planes, misorientation and cell of the boundary."""
    crystal = crystal_of_run(run)
    boundary = boundary_of(run.provenance.get("config"))
    if crystal is None or boundary is None:
        return Facts((("boundary", "the files do not describe it"),))
    character = character_of(boundary, crystal)
    sigma = "no coincidence lattice" if character.sigma is None else f"Σ{character.sigma}"
    rows = [
        ("crystal", f"{'-'.join(run.elements)}, {crystal.lattice}, a = {crystal.a0:.5f} Å"),
        ("boundary", f"{character.kind}, {sigma}"),
        ("rotation", f"{character.angle_deg:.3f}° about {spelled(character.axis, '<>')}"),
    ]
    if character.planes is not None:
        lower, upper = (spelled(plane, "()") for plane in character.planes)
        rows.append(("planes", f"{lower} of the lower grain on {upper} of the upper grain"))
    (ax, _), (bx, by) = crystal.cell
    edges = f"{ax:.4f} × {by:.4f} Å" if not bx else f"({ax:.4f}, 0) and ({bx:.4f}, {by:.4f}) Å"
    heights = run.relaxed()[:1]
    rows += [
        ("cell in the plane", f"{edges}, {crystal.area:.2f} Å²"),
        ("atoms per plane", f"{crystal.atoms_per_plane}: [n] counts atoms modulo this number"),
        ("box", "periodic in the plane, free surfaces above and below; z is the normal"),
    ]
    if len(heights):
        slab = float(np.ptp(heights[0].positions[:, 2]))
        rows.append(("height of the bicrystal", f"{slab:.1f} Å"))
    return Facts(tuple(rows))


def material_facts(run: Run, spectra: MaterialSpectra | None) -> Facts:
    """Element, density, target, engine and guidance of a material."""
    config = config_of(run)
    material, target = (config.get(key) or {} for key in ("material", "target"))
    labelling = config.get("labelling") or {}
    guidance = (config.get("guidance") or [{}])[0]
    rows = [
        ("element", str(run.element)),
        ("density", f"{material.get('density_g_cm3')} g/cm³, the same for all candidates"),
        ("atoms", f"{material.get('num_atoms')} in a periodic cube"),
        ("target", f"`{target.get('file')}`"),
        ("engine", spectra.engine if spectra else str(labelling.get("engine"))),
        ("labelled atoms of a candidate", str(labelling.get("atoms_per_candidate"))),
        ("strength of the guidance", str(guidance.get("strength", "no guidance"))),
    ]
    if spectra is not None and spectra.shift_ev:
        rows.append(("further shift of the target", f"{spectra.shift_ev:+.2f} eV, found"))
    return Facts(tuple(rows))


def potential_facts(run: Run) -> Facts:
    """Potential or calculator, its hash and publication, and what the crystal is with it."""
    config = config_of(run)
    rows: list[tuple[str, str]] = []
    potential, calculator = config.get("potential"), config.get("calculator")
    if isinstance(potential, dict):
        lines = potential.get("pair_coeff") or ""
        texts = [lines] if isinstance(lines, str) else list(lines)
        names = [*filter(None, [potential.get("file")]), *(potential.get("files") or {}).values()]
        rows += [
            ("pair style", f"`{potential.get('pair_style')}`"),
            ("pair coefficients", "; ".join(f"`{text}`" for text in texts)),
            ("files", ", ".join(f"`{PurePath(str(name)).name}`" for name in names) or "none"),
        ]
        rows += [("publication", text) for text in _citations(run)]
    elif isinstance(calculator, dict):
        arguments = ", ".join(f"{key}={value}" for key, value in calculator["arguments"].items())
        rows.append(("ASE calculator", f"`{calculator.get('name')}({arguments})`"))
    if not rows:
        rows.append(("potential", "the files do not name it"))
    hashes = sorted(set(run.columns(["potential_sha256"])["potential_sha256"]) - {""})
    rows += [("SHA-256 of the potential", f"`{one}`") for one in hashes]
    first = run.relaxed()[:1]
    if len(first) and not run.is_material:
        nearest = neighbor_distance(
            run.provenance.get("config", ""), float(first[0].cell[0]), first[0].axial_ratio
        )
        rows += [
            ("cohesive energy", f"{first[0].cohesive_ev:.5f} eV an atom, computed"),
            ("nearest neighbours", f"{nearest:.4f} Å"),
            ("reach of the potential", f"{first[0].surface_depth_a:.3f} Å"),
        ]
    return Facts(tuple(rows))


def _citations(run: Run) -> list[str]:
    """Publications that the files of the potential name in their first lines."""
    if not run.path.is_dir():
        return []
    found = []
    for path in sorted(RunDirectory(run.path).potential.glob("*")):
        try:
            found.append(citation_in(path))
        except GcdError:  # the report is of the results, which do not need the file
            continue
    return [text for text in dict.fromkeys(found) if text]


def origin_facts(run: Run, state: State | None) -> Facts:
    """Dates, versions, seed and settings of the relaxations."""
    known = run.provenance
    rows = [("dates", dates(state))]
    if state is not None and state.account.sessions:
        packages = [one.package for one in state.account.sessions if one.package]
        rows += [("programs", "; ".join(dict.fromkeys(packages)))] if packages else []
    version = f"gcd-hpc {known.get('package_version', 'unknown')}"
    rows += [
        ("files written by", f"{version}, commit `{known.get('git_commit', 'unknown')[:12]}`"),
        ("layout of the files", f"schema {known.get('schema_version', 'unknown')}"),
        ("seed", str(known.get("seed", "unknown"))),
    ]
    relaxation = config_of(run).get("relaxation") or {}
    words = [f"{key}: {relaxation[key]}" for key in SOLVER_KEYS if key in relaxation]
    return Facts((*rows, *([("relaxation", ", ".join(words))] if words else [])))


def dates(state: State | None) -> str:
    """First and last day and time of a campaign, in UTC."""
    if state is None or not state.time:
        return "not known, because there is no ledger of the campaign"
    times = [one.time for one in state.account.sessions if one.time]
    first, last = min([*times, state.time]), state.time
    return f"{_moment(first)} to {_moment(last)} (UTC)"


def day(state: State | None) -> str:
    """Day of the last event of a campaign; empty if it is not known."""
    return "" if state is None or not state.time else f"{_date(state.time):%-d %B %Y}"


def campaign_line(run: Run, state: State | None) -> str:
    """Name of the campaign, or of the results if they name none, and their day if it is known."""
    name = str(config_of(run).get("name", "")) or run.path.absolute().stem
    when = day(state)
    return f"Campaign {name}" + (f", results of {when}" if when else "")


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _moment(seconds: float) -> str:
    return f"{_date(seconds):%-d %B %Y, %H:%M}"


def state_line(state: State | None) -> str:
    """State of the campaign in a sentence."""
    if state is None:
        return "not known, because there is no ledger of the campaign"
    status = status_of(state)
    reason = f" ({state.stopped})" if state.stopped else ""
    return f"{status}{reason}: {MEANING[status]}"


def cost_line(state: State | None, core_s: float) -> str:
    """Processor time, and wall time where the ledger knows it."""
    spent = f"{core_s / HOUR_S:.3g} core-hours of processor time"
    if state is None:
        return spent
    return f"{spent} in {clock(cost_of(state).elapsed_s)} of wall time"
