"""Processor time of relaxing a remove or insert move, against the area of the cell.

    OMP_NUM_THREADS=1 python benchmarks/move_cost.py [--moves NUM] [--append]

The lowest of some tries in a small cell is relaxed and tiled to cells of about 100, 400 and 1,600
Å^2. Each move is relaxed as in exploration: around its window (local), by the loose screen of the
whole slab (screen), and by the preset (tight). The table has medians: the processor time of
proposing a move with its window, and of each relaxation the processor time of LAMMPS and this
process, the force evaluations times atoms (in thousands, k), and the energy left above the preset's
in the whole cell. Exponents are slopes of log(cost) over log(area), of processor time and of
evaluations.
``--append`` adds the table to benchmarks/RESULTS.md.
"""

import argparse
import platform
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.local import Origin
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.errors import SimulationError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.search.moves import insert, remove, tile
from gcd_hpc.search.tries import search_start
from gcd_hpc.search.windows import Parent, draw_window
from gcd_hpc.structures.energetics import J_PER_M2

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("RESULTS.md")
W_SIGMA5 = ROOT / "campaigns" / "w_sigma5.yaml"
CU_SIGMA5_210 = [
    "name=cu_sigma5_210",
    "boundary.element=Cu",
    "boundary.lattice=fcc",
    "boundary.lower={x: [0, 0, 1], y: [1, -2, 0], z: [2, 1, 0]}",
    "boundary.upper={x: [0, 0, 1], y: [-1, -2, 0], z: [2, -1, 0]}",
    'potential.pair_coeff="* * {file} Cu"',
    "potential.file=Cu_mishin1.eam.alloy",
]
NUM_TRIES = 20
TILINGS = ((1, 1), (2, 2), (4, 4))


@dataclass(frozen=True)
class Case:
    """A boundary and the cells in which its moves are timed."""

    name: str
    overrides: list[str]
    small: tuple[int, int]
    """Replicas of the cell whose structure is tiled."""
    voxels: tuple[int, int, int]
    """Voxels of that cell."""
    tilings: tuple[tuple[int, int], ...]


CASES = (
    Case("W Sigma5 twist", [], (1, 1), (12, 12, 60), TILINGS),
    Case("Cu Sigma5(210)", CU_SIGMA5_210, (3, 1), (12, 8, 56), TILINGS),
)
KINDS = ("local", "screen", "tight")


def system_of(case: Case, tiling: tuple[int, int]) -> BoundarySystem:
    """The boundary in a cell of some replicas."""
    replicas = [one * other for one, other in zip(case.small, tiling, strict=True)]
    shape = [case.voxels[0] * tiling[0], case.voxels[1] * tiling[1], case.voxels[2]]
    cell = [f"boundary.replicas={replicas}", f"voxels.shape={shape}"]
    config: CampaignConfig = load_campaign(W_SIGMA5, [*case.overrides, *cell])
    return BoundarySystem.build(config, W_SIGMA5.parent)


def lowest_of_tries(system: BoundarySystem, child: LammpsChild) -> Parent:
    """The lowest of some random tries, relaxed by the preset."""
    found: list[tuple[Relaxed, np.ndarray]] = []
    for number in range(NUM_TRIES):
        rng = np.random.default_rng(number)
        atoms, registry, _ = search_start(system.frame, system.config.search, rng)
        try:
            found.append((relaxed_by(system, child, atoms.positions, "tight"), registry))
        except SimulationError:
            continue
    relaxed, registry = min(found, key=lambda one: one[0].gb_energy_j_m2)
    return parent_of(system, relaxed, registry)


def parent_of(system: BoundarySystem, relaxed: Relaxed, registry: np.ndarray) -> Parent:
    excess = relaxed.energies - system.bulk.cohesive_ev
    return Parent(relaxed.positions, excess, registry + relaxed.shift)


def relaxed_by(
    system: BoundarySystem,
    child: LammpsChild,
    positions: np.ndarray,
    kind: str,
    origin: Origin | None = None,
) -> Relaxed:
    return relax_boundary(
        child,
        system.frame.atoms(positions),
        system.bicrystal,
        system.bulk,
        system.config.relaxation,
        kind == "tight",
        origin=origin if kind == "local" else None,
        quick=True,
    )


def timed_moves(
    system: BoundarySystem, child: LammpsChild, parent: Parent, num_moves: int
) -> tuple[np.ndarray, np.ndarray]:
    """Processor time in s of proposing each move, and what its relaxations cost and left.

    Returns:
        (moves,), and (kinds of relaxation, 3, moves): processor time in s, evaluations times
        atoms, and E_gb in J/m^2.
    """
    timed, proposed_s = [], []
    origin = Origin(parent.positions, parent.excess_ev + system.bulk.cohesive_ev)
    for number in range(num_moves):
        rng = np.random.default_rng(number)
        begun_s = time.process_time()
        window = draw_window(parent, system.frame, ExploreConfig(), rng)
        proposal = (remove, insert)[number % 2](parent, system.frame, window, rng)
        proposed_s.append(time.process_time() - begun_s)
        try:
            done = {
                kind: relaxed_by(system, child, proposal.positions, kind, origin) for kind in KINDS
            }
        except SimulationError:
            continue  # an atom inserted too near to others
        timed.append(
            [(one.cpu_s, one.atom_evaluations, one.gb_energy_j_m2) for one in done.values()]
        )
    return np.array(proposed_s), np.array(timed).transpose(1, 2, 0)


def rows_of(case: Case, num_moves: int) -> list[str]:
    """Table rows of one boundary, and a row of exponents."""
    areas, costs, rows = [], [], []
    small = system_of(case, (1, 1))
    with LammpsChild(small.potential, 60.0) as child:
        start = lowest_of_tries(small, child)
        for tiling in case.tilings:
            system = system_of(case, tiling)
            tiled = tile(start, small.frame.cell, tiling)
            relaxed = relaxed_by(system, child, tiled.positions, "tight")
            parent = parent_of(system, relaxed, tiled.registry)
            proposed_s, timed = timed_moves(system, child, parent, num_moves)
            area = system.bicrystal.area
            cost = np.median(timed[:, :2], axis=2)  # (kinds, 2)
            left_ev = np.median(timed[:, 2] - timed[-1, 2], axis=1) * area / J_PER_M2
            areas.append(area)
            costs.append(cost)
            rows.append(
                f"| {case.name} {case.small[0] * tiling[0]}x{case.small[1] * tiling[1]}"
                f" | {area:,.0f} | {len(parent.positions):,} |"
                f" {1000 * np.median(proposed_s):.1f} ms |"
                + "".join(
                    f" {1000 * spent[0]:.1f} ms, {spent[1] / 1000:.1f} k, {left:.2f} eV |"
                    for spent, left in zip(cost, left_ev, strict=True)
                )
            )
    logs = np.log(np.array(costs)).reshape(len(areas), -1)
    slopes = np.polyfit(np.log(areas), logs, 1)[0].reshape(len(KINDS), 2)
    ends = "".join(f" {slope[0]:.2f}, {slope[1]:.2f} |" for slope in slopes)
    return [*rows, f"| {case.name}: exponents | | | |{ends}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=20, help="moves in each cell")
    parser.add_argument("--append", action="store_true", help="add the table to RESULTS.md")
    chosen = parser.parse_args()
    lines = [
        "| cell | area (Å^2) | atoms | proposal | local | screen | tight |",
        "|---|---|---|---|---|---|---|",
        *(row for case in CASES for row in rows_of(case, chosen.moves)),
    ]
    table = "\n".join(lines)
    print(table)
    if chosen.append:
        heading = f"## Cost of a move against the area ({date.today()}, {platform.machine()})"
        with RESULTS.open("a") as file:
            file.write(f"\n{heading}\n\n{table}\n")


if __name__ == "__main__":
    main()
