"""The figure of how well FEFF10 follows other spectra: ``python docs/draw_feff10.py``.

It computes the spectra of 50 atoms of amorphous carbon, ten of each density, drawn at random, and
compares them with the spectra of the public data, which are from density functional theory. It
takes three minutes and needs the extra ``spectra``. The atoms are kept in build/feff10.h5.
"""

from pathlib import Path

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

from gcd_hpc.browse.figures import BLUE, GREY, RED, new_figure, save
from gcd_hpc.experiments.carbon_data import OTHER_NORMALISATION, Frame, load_frames
from gcd_hpc.spectra.align import correlations
from gcd_hpc.spectra.engine import labelled_by
from gcd_hpc.spectra.feff10 import Feff10
from gcd_hpc.spectra.table import SpectrumTable
from gcd_hpc.spectra.table_file import read_labelled, write_labelled

HERE = Path(__file__).parent
KEPT = HERE.parent / "build" / "feff10.h5"
PER_DENSITY = 10
SHIFTS_EV = np.arange(262, 274, 0.1)
WIDTHS_EV = np.arange(0.36, 0.485, 0.01)
"""Energy of the data's first bin on FEFF10's scale, and widths of a bin, that are tried."""


def structure_of(frame: Frame) -> Atoms:
    numbers = np.full(len(frame.positions), 6)
    return Atoms(numbers, frame.positions, cell=frame.lengths, pbc=True, info={"name": frame.name})


def drawn(frames: list[Frame]) -> list[tuple[int, int]]:
    """Frame and atom of some atoms of each density."""
    rng = np.random.default_rng(0)
    places = []
    for density in sorted({frame.nominal_density for frame in frames}):
        own = [place for place, one in enumerate(frames) if one.nominal_density == density]
        for _ in range(PER_DENSITY):
            frame = int(rng.choice(own))
            places.append((frame, int(rng.integers(len(frames[frame].positions)))))
    return places


def computed(frames: list[Frame]) -> SpectrumTable:
    if not KEPT.exists():
        structures, places = [structure_of(frame) for frame in frames], drawn(frames)
        with Feff10() as engine:
            results = [engine.spectrum(structures[frame], atom) for frame, atom in places]
        write_labelled(KEPT, labelled_by(engine, structures, places, results))
    return read_labelled(KEPT).table


def on_bins(table: SpectrumTable, first_ev: float, width_ev: float, num: int) -> np.ndarray:
    """Spectra (A, num) at the bins of the data, NaN where FEFF10's window does not reach."""
    energies = first_ev + width_ev * np.arange(num)
    rows = [
        np.interp(energies, table.energies_ev, one, left=np.nan, right=np.nan)
        for one in table.values
    ]
    return np.stack(rows)


def both(
    table: SpectrumTable, data: np.ndarray, first_ev: float, width_ev: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins that both reach, and the spectra of both there."""
    ours = on_bins(table, first_ev, width_ev, data.shape[1])
    bins = np.flatnonzero(np.isfinite(ours).all(axis=0))
    return bins, ours[:, bins], data[:, bins]


def deviations(spectra: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Spectra (A, K) less the mean of all, or of the group (A,) that each belongs to."""
    if groups is None:
        return spectra - spectra.mean(axis=0)
    means = {group: spectra[groups == group].mean(axis=0) for group in set(groups)}
    return spectra - np.array([means[group] for group in groups])


def fitted(table: SpectrumTable, data: np.ndarray) -> tuple[float, float]:
    """First energy and width of the bins at which the spectra correlate best, one for all atoms."""
    grid = [(first, width) for first in SHIFTS_EV.tolist() for width in WIDTHS_EV.tolist()]
    means = []
    for first, width in grid:
        bins, ours, theirs = both(table, data, first, width)
        means.append(correlations(ours, theirs).mean() if len(bins) > 80 else -1.0)
    return grid[int(np.argmax(means))]


def report(
    table: SpectrumTable, densities: np.ndarray, ours: np.ndarray, theirs: np.ndarray
) -> None:
    """Print the numbers of the page."""
    within = [deviations(some, densities) for some in (ours, theirs)]
    compared = {
        "spectra": correlations(ours, theirs),
        "deviations from the mean of all": correlations(deviations(ours), deviations(theirs)),
        "deviations from the mean of a density": correlations(*within),
    }
    for name, values in compared.items():
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
        print(f"correlation of {name}: median {middle:.2f}, 10 to 90 %: {low:.2f} to {high:.2f}")
    num = len(ours)
    each = np.corrcoef(deviations(ours), deviations(theirs))[:num, num:]  # (A, A)
    rank = (each > each.diagonal()[:, None]).sum(axis=1)
    print(
        f"the right one of {num} spectra is the nearest for {np.mean(rank == 0):.0%} of the atoms,"
        f" among the five nearest for {np.mean(rank < 5):.0%}"
    )
    seconds = table.seconds
    print(f"{seconds.mean():.1f} core-seconds an atom, {seconds.min():.1f} to {seconds.max():.1f}")
    for density in sorted(set(densities)):
        print(f"{density} g/cm^3: {seconds[densities == density].mean():.1f} core-seconds")


def figure_of(table: SpectrumTable, frames: list[Frame]) -> Figure:
    """Figure of six atoms, from the one that agrees worst to the one that agrees best."""
    print(f"{len(table)} atoms, of which {(~table.is_ok).sum()} failed")
    table = table.rows(table.is_ok)
    places = list(zip(table.structure.tolist(), table.atom.tolist(), strict=True))
    data = np.array([frames[frame].spectra[atom] for frame, atom in places], dtype=float)
    densities = np.array([frames[frame].nominal_density for frame, _ in places])
    first, width = fitted(table, data)
    print(f"first bin at {first:.1f} eV on the scale of FEFF10, {width:.2f} eV a bin")
    bins, ours, theirs = both(table, data, first, width)
    report(table, densities, ours, theirs)
    scale = (ours * theirs).sum() / (ours**2).sum()
    each = correlations(ours, theirs)
    figure = new_figure(9.0, 5.4)
    shown = np.argsort(each)[np.linspace(0, len(each) - 1, 6).round().astype(int)]
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for place, one in zip(axes.flat, shown, strict=True):
        place.plot(bins, theirs[one], color=GREY, linewidth=1.4, label="public data (DFT)")
        place.plot(bins, scale * ours[one], color=RED, linewidth=1.2, label="FEFF10")
        title = f"{densities[one]:.1f} g/cm$^3$, correlation {each[one]:.2f}"
        place.set_title(title, fontsize=9, color=BLUE)
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.supxlabel(f"bin of the data, about {width:.2f} eV", fontsize=9)
    figure.supylabel("absorption, one scale for all atoms", fontsize=9)
    return figure


if __name__ == "__main__":
    known = [one for one in load_frames(has_duplicates=True) if one.name != OTHER_NORMALISATION]
    save(figure_of(computed(known), known), HERE / "figures" / "feff10.png")
