"""In-painted windows: the share that relaxes to a low energy, in single and in 2 x 2 cells.

    OMP_NUM_THREADS=1 python benchmarks/windows.py RUN [RUN ...] [--num 200] [--hull E ...]

Each RUN holds a trained first model of one boundary; the first one's training set gives the parents
of all. Parents are drawn evenly over [n], then by rank; in the larger cell they are repeated 2 x 2.
Windows, starts and targets are drawn as the moves of explore draw them, the same for all runs. The
rivals in the same run change the same windows by hand: one atom removed, inserted, or both.

A structure counts as low within 0.2 J/m^2 of the hull, interpolated over [n]: the lowest energies
of the training set, or those of ``--hull``, in J/m^2 from [n] = 0 on in equal steps. It is new if
its energy is not its parent's, and better if it lies below the hull of the training set. What a bad
window adds is spread over four times the area in the larger cell, so that the energy above the
parent is given in eV as well. ``--append`` adds the table to benchmarks/RESULTS.md.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import SimulationError
from gcd_hpc.experiments.statistics import wilson
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.mosaics import Mosaics
from gcd_hpc.learning.painter import Painter
from gcd_hpc.learning.sampler import Sampler, objection
from gcd_hpc.search.moves import LOCAL_MOVES, tile
from gcd_hpc.search.windows import Parent, Window, draw_window, recentred
from gcd_hpc.seeds import generator
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import J_PER_M2, closest_pair, n_index
from gcd_hpc.voxels.channels import Sites

RESULTS = Path(__file__).with_name("RESULTS.md")
LOW_J_M2 = 0.2
"""Height above the lowest known energies up to which a structure counts as low."""
SAME_J_M2 = 0.002
"""Energies that differ by less belong to one structure."""
STARTS = (-2.0, -1.0, 0.0, 1.0)
"""lambda at which the solver starts from the partly noised parent."""
NUM_RANKS, MEAN_RANK = 6, 1.2
"""Parents are among so many lowest of their [n], by an exponential law of this mean."""
MOVES = ("remove", "insert", "exchange")


@dataclass(frozen=True)
class Case:
    """One parent with what is asked for, the same for all ways to change it."""

    parent: Parent
    energy_j_m2: float
    window: Window
    target: tuple[float, int]


Change = Callable[[Case, np.random.Generator], NDArray[np.float64]]
"""A way to change a parent: positions (N, 3) Å of the new structure, not relaxed."""


@dataclass
class Tally:
    """Outcomes of one way to change the parents."""

    seconds: list[float] = field(default_factory=list)
    """Processor time of each change, relaxation not included."""
    rises: list[float] = field(default_factory=list)
    """Energy above the parent's times area after relaxation, eV; infinite if refused or failed."""
    num_low: int = 0
    num_new: int = 0
    """Low structures of another energy than the parent's."""
    num_better: int = 0
    """Structures below the hull of the training set."""


@dataclass(frozen=True)
class Hull:
    """Lowest known energy as a function of [n], interpolated and periodic."""

    fractions: NDArray[np.float64]
    energies: NDArray[np.float64]

    @classmethod
    def of(cls, rows: list[Candidate]) -> "Hull":
        lowest: dict[float, float] = {}
        for row in rows:
            energy = lowest.get(row.n_fraction, np.inf)
            lowest[row.n_fraction] = min(energy, row.gb_energy_j_m2)
        fractions = sorted(lowest)
        return cls(np.array(fractions), np.array([lowest[one] for one in fractions]))

    def __call__(self, num_atoms: int, plane: int) -> float:
        fraction = n_index(num_atoms, plane) / plane
        return float(np.interp(fraction, self.fractions, self.energies, period=1.0))


def cases(
    system: BoundarySystem, rows: list[Candidate], hull: Hull, copies: int, num: int
) -> Iterator[Case]:
    """Parents in a cell of copies x copies with their windows, starts and targets."""
    larger, mosaics = system.replicated(copies, copies), Mosaics(system, rows, np.ones(len(rows)))
    config, plane = system.config, larger.bicrystal.atoms_per_plane
    indices = sorted({row.n_index for row in rows})
    for number in range(num):
        rng = generator(0, copies, number)
        wanted = indices[int(rng.integers(len(indices)))]
        ranked = sorted(
            (one for one in range(len(rows)) if rows[one].n_index == wanted),
            key=lambda one: rows[one].gb_energy_j_m2,
        )[:NUM_RANKS]
        index = ranked[min(int(rng.exponential(MEAN_RANK)), len(ranked) - 1)]
        single = recentred(mosaics.single(index).parent, system.frame)
        proposal = tile(single, system.bicrystal.cell, (copies, copies))
        excess = np.tile(single.excess_ev, copies * copies)
        parent = Parent(proposal.positions, excess, single.registry)
        num_wanted = len(parent.positions) + int(rng.integers(-1, 2))
        energy = hull(num_wanted, plane) - config.sampling.energy_margin_j_m2
        yield Case(
            parent,
            rows[index].gb_energy_j_m2,
            draw_window(parent, larger.frame, config.explore, rng),
            (energy, n_index(num_wanted, plane)),
        )


def ways(painter: Painter) -> dict[str, Change]:
    """Ways of a model to change a parent."""

    def painted(has_window: bool, start: float | None) -> Change:
        def change(case: Case, rng: np.random.Generator) -> NDArray[np.float64]:
            window = case.window if has_window else None
            positions = case.parent.positions
            sites = Sites(positions, painter.system.numbers_of(positions))
            return painter.paint(sites, window, start, case.target, rng).sites.positions

        return change

    return {
        f"{part} from {'noise' if start is None else start}": painted(part == "window", start)
        for part in ("window", "whole")
        for start in (None, *STARTS)
    }


def moved(name: str, system: BoundarySystem) -> Change:
    """A move by hand."""

    def change(case: Case, rng: np.random.Generator) -> NDArray[np.float64]:
        return LOCAL_MOVES[name](case.parent, system.frame, case.window, rng).positions

    return change


def measure(
    system: BoundarySystem,
    child: LammpsChild,
    hull: Hull,
    known: Hull,
    drawn: list[Case],
    change: Change,
) -> Tally:
    """Change all parents, relax the results as a campaign does, and count what came of them."""
    tally, plane = Tally(), system.bicrystal.atoms_per_plane
    for number, case in enumerate(drawn):
        started = time.process_time()
        positions = change(case, generator(1, number))
        tally.seconds.append(time.process_time() - started)
        energy = relaxed_energy(system, child, hull, positions)
        rise = energy - case.energy_j_m2
        tally.rises.append(rise * system.bicrystal.area / J_PER_M2)
        is_low = energy <= hull(len(positions), plane) + LOW_J_M2
        tally.num_low += is_low
        tally.num_new += is_low and abs(rise) > SAME_J_M2
        tally.num_better += energy < known(len(positions), plane) - SAME_J_M2
    return tally


def relaxed_energy(
    system: BoundarySystem, child: LammpsChild, hull: Hull, positions: NDArray[np.float64]
) -> float:
    """Boundary energy after the screen and, if it is low enough, the preset; J/m^2 or infinite."""
    closest = closest_pair(positions, system.frame.cell)
    if objection(system, len(positions), closest):
        return np.inf
    limit = hull(len(positions), system.bicrystal.atoms_per_plane) + 0.35
    try:
        relaxed = relax_boundary(
            child,
            system.frame.atoms(positions),
            system.bicrystal,
            system.bulk,
            system.config.relaxation,
            lambda _, energy: energy <= limit,
        )
    except SimulationError as error:
        print(f"not relaxed: {error}", file=sys.stderr, flush=True)
        return np.inf
    return relaxed.gb_energy_j_m2


def line(run: str, cell: str, way: str, tally: Tally) -> str:
    """One line of the table."""
    num = len(tally.rises)
    shares = (wilson(hits, num) for hits in (tally.num_low, tally.num_new, tally.num_better))
    cells = " | ".join(f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%})" for one in shares)
    return (
        f"| {run} | {cell} | {way} | {num} | {cells} | {np.median(tally.rises):.2f} |"
        f" {np.mean(tally.seconds):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--hull", type=float, nargs="+")
    parser.add_argument("--only", default="", help="ways to change a parent, as a pattern")
    parser.add_argument("--append", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    first = load_boundary_system(str(options.runs[0]))
    rows = read_part(RunDirectory(options.runs[0]).training_set(1))
    hull = known = Hull.of(rows)
    if options.hull:
        fractions = np.arange(len(options.hull)) / len(options.hull)
        hull = Hull(fractions, np.array(options.hull))
    lines = [
        f"## {date.today()}: in-painted windows",
        "",
        "| run | cell | change | tries | low | low and new | better | rise, eV | core-s |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    print("\n".join(lines))
    with LammpsChild(first.potential, first.config.relaxation.timeout_s) as child:
        for copies in options.copies:
            system, cell = first.replicated(copies, copies), f"{copies} x {copies}"
            drawn = list(cases(first, rows, known, copies, options.num))
            changes = {("by hand", name): moved(name, system) for name in MOVES}
            for run in options.runs:
                painter = Painter.of(Sampler.load(run, 1, "cpu")).replicated(copies, copies)
                changes |= {(run.name, way): change for way, change in ways(painter).items()}
            for (run_name, way), change in changes.items():
                if not re.search(options.only, way):
                    continue
                tally = measure(system, child, hull, known, drawn, change)
                lines.append(line(run_name, cell, way, tally))
                print(lines[-1], flush=True)
    if options.append:
        with RESULTS.open("a") as stream:
            stream.write("\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
