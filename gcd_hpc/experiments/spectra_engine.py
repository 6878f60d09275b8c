"""FEFF10's view of guided carbon: spectra of some atoms, computed by physics and not by a network.

FEFF10's energy scale and level differ from those of the data. Atoms of true frames, whose spectra
the data hold, give the scale (two numbers), the level (one), and a line that turns the place that
FEFF10 sees into that of the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from gcd_hpc.errors import LaunchError
from gcd_hpc.experiments.carbon_data import load_frames
from gcd_hpc.experiments.spectra_numbers import Line, Mean, bootstrap
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.learning.particles import Lengths
from gcd_hpc.seeds import CARBON, generator
from gcd_hpc.spectra.align import correlations
from gcd_hpc.spectra.feff10 import Feff10, Feff10Settings, installed_version

Array = NDArray[np.float64]

CHOOSE, RESAMPLE_ATOMS = 32, 33
"""Purposes of the random streams that choose atoms, and that draw them again for the errors."""
REFERENCES = ("d2.0_1", "d0.0_11")
"""True frames of 2.0 and 3.0 g/cm^3, whose atoms tie FEFF10's scale to the data's."""
ATOMS_PER_TASK = 10
SETTINGS = Feff10Settings(window_ev=(270.0, 312.0, 0.2))
BINS = slice(18, 85)
"""Energy bins of the data within this window, from below the edge on."""
WIDTHS_EV = np.arange(0.38, 0.4701, 0.01)
ORIGINS_EV = np.arange(264.0, 278.01, 0.1)
"""Widths of a bin and energies of bin 0 that are tried."""


@dataclass(frozen=True)
class Alignment:
    """FEFF10's energy of the data's bins, the level, and the line from its place to the data's."""

    origin_ev: float
    width_ev: float
    level: float
    slope: float
    intercept: float
    """The place by FEFF10 is about slope times that of the data plus intercept."""

    def onto_bins(self, spectra: Array) -> Array:
        """Spectra (A, K) at FEFF10's energies -> (A, B) at ``BINS``, in the unit of the data."""
        return self.level * _at_bins(spectra, self.origin_ev, self.width_ev)

    def place(self, spectra: Array, line: Line) -> Array:
        """Place (A,) on the data's line."""
        return (restricted(line).place(self.onto_bins(spectra)) - self.intercept) / self.slope


def version() -> str | None:
    """Version of FEFF10; None where it is not installed."""
    try:
        return installed_version()
    except LaunchError:
        return None


def frame_tasks(workshop: Workshop, num: int, num_sources: int) -> list[Task]:
    """Tasks that compute ``num`` atoms of each of the true frames, which wait for no network.

    Args:
        num_sources: of cells, after which the frames' random streams are counted.
    """
    tasks = []
    for number, name in enumerate(REFERENCES, start=num_sources):
        for first in range(0, num, ATOMS_PER_TASK):
            what = (name, number, num, first, workshop.seed)
            tasks.append(Task(f"spectra-feff10-{name}-{first}", label_frame, what))
    return tasks


def cell_tasks(
    workshop: Workshop, sources: Sequence[Path], lengths: Lengths, num: int
) -> list[Task]:
    """Tasks that compute ``num`` atoms of each source of cells."""
    tasks = []
    for number, source in enumerate(sources):
        for first in range(0, num, ATOMS_PER_TASK):
            what = (source, lengths, number, num, first, workshop.seed)
            tasks.append(Task(f"spectra-feff10-{number}-{first}", label_cells, what))
    return tasks


def label_cells(
    source: Path, lengths: Lengths, number: int, num: int, first: int, seed: int, report: Report
) -> Arrays:
    """Spectra of atoms ``first`` and on of ``num`` drawn atoms, evenly over the source's cells.

    Returns "values" (A, K), NaN where FEFF10 failed, and "cell" and "atom" (A,).
    """
    positions = np.load(source)["positions"]
    order = generator(seed, CARBON, CHOOSE, number).permutation(positions.shape[1])
    chosen = np.arange(first, min(first + ATOMS_PER_TASK, num))
    cells, atoms = chosen % len(positions), order[chosen]
    structures = [_atoms(positions[cell], lengths) for cell in cells]
    values = _spectra(list(zip(structures, atoms.tolist(), strict=True)), report)
    return {"values": values, "cell": cells, "atom": atoms}


def label_frame(name: str, number: int, num: int, first: int, seed: int, report: Report) -> Arrays:
    """The same of a true frame, and "known" (A, 100), the data's spectra of these atoms."""
    frame = next(frame for frame in load_frames() if frame.name == name)
    order = generator(seed, CARBON, CHOOSE, number).permutation(len(frame.positions))
    atoms = order[first : min(first + ATOMS_PER_TASK, num)]
    structure = _atoms(frame.positions, tuple(frame.lengths))
    values = _spectra([(structure, atom) for atom in atoms.tolist()], report)
    return {"values": values, "known": frame.spectra[atoms], "atom": atoms}


def engine_numbers(
    spectra: Mapping[str, Array], references: Sequence[Arrays], line: Line, seed: int
) -> dict[str, Any]:
    """What FEFF10 says of two or more conditions, of which the first and the last are compared.

    Args:
        spectra: of each condition, (A, K), NaN where FEFF10 failed.
        references: results of ``label_frame``.
    """
    computed = np.concatenate([result["values"] for result in references])
    true = np.concatenate([result["known"] for result in references])
    ok = np.isfinite(computed).all(axis=1)
    alignment = align(computed[ok], true[ok], line)
    places = {
        name: alignment.place(values[np.isfinite(values).all(axis=1)], line)
        for name, values in spectra.items()
    }
    first, *_, last = places
    rng = generator(seed, CARBON, RESAMPLE_ATOMS)
    aligned, bins = alignment.onto_bins(computed[ok]), true[ok][:, BINS]
    return {
        "version": version(),
        "alignment": asdict(alignment),
        "num_reference_atoms": int(ok.sum()),
        "median_correlation": float(np.median(correlations(aligned, bins))),
        "median_correlation_of_deviations": float(
            np.median(correlations(aligned - aligned.mean(axis=0), bins - bins.mean(axis=0)))
        ),
        "num_failed": int(
            sum((~np.isfinite(values).all(axis=1)).sum() for values in spectra.values())
        ),
        "a": {name: asdict(bootstrap(place, rng)) for name, place in places.items()},
        "apart": asdict(difference(places[first], places[last], rng)),
    }


def difference(first: Array, last: Array, rng: np.random.Generator) -> Mean:
    """Mean of the last minus mean of the first, both resampled."""
    means = [bootstrap(places, rng) for places in (first, last)]
    error = float(np.hypot(means[0].standard_error, means[1].standard_error))
    value = means[1].value - means[0].value
    return Mean(value, error, value - 1.96 * error, value + 1.96 * error)


def align(computed: Array, true: Array, line: Line) -> Alignment:
    """Scale, level and line that fit FEFF10's spectra (A, K) of atoms to the data's (A, 100).

    The scale and the level have the least squares over a grid of widths and origins.
    """
    known = true[:, BINS]
    fits = []
    for width, origin in product(WIDTHS_EV.tolist(), ORIGINS_EV.tolist()):
        found = _at_bins(computed, origin, width)
        level = float((found * known).sum() / np.square(found).sum())
        fits.append((float(np.square(level * found - known).sum()), origin, width, level))
    _, origin, width, level = min(fits)
    at_bins = restricted(line)
    seen, of_data = at_bins.place(level * _at_bins(computed, origin, width)), at_bins.place(known)
    slope, intercept = np.polyfit(of_data, seen, 1)
    return Alignment(origin, width, level, float(slope), float(intercept))


def restricted(line: Line) -> Line:
    """The line within ``BINS``."""
    return Line(line.start[BINS], line.end[BINS])


def _at_bins(spectra: Array, origin_ev: float, width_ev: float) -> Array:
    """Spectra (A, K) at the energies of ``BINS``, (A, B)."""
    onto = origin_ev + width_ev * np.arange(BINS.start, BINS.stop)
    return np.stack([np.interp(onto, SETTINGS.energies_ev, values) for values in spectra])


def _spectra(chosen: Sequence[tuple[Atoms, int]], report: Report) -> Array:
    """Spectra (A, K) of atoms of structures; NaN where FEFF10 failed."""
    values = np.full((len(chosen), len(SETTINGS.energies_ev)), np.nan)
    with Feff10(SETTINGS) as engine:
        for row, (structure, atom) in enumerate(chosen):
            found = engine.spectrum(structure, atom).values
            if found is not None:
                values[row] = found
            report((row + 1) / len(chosen))
    return values


def _atoms(positions: Array, lengths: Sequence[float]) -> Atoms:
    return Atoms(f"C{len(positions)}", positions, cell=lengths, pbc=True)
