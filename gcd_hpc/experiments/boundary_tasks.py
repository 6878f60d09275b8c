"""Tasks of the boundary experiments: search, training, sampling, relaxation and rivals.

Every task uses the stages of a campaign in a prepared run directory, so that commands such as
``gcd-hpc top`` can read it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.experiments.runs import VERSION
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import boundary_fingerprint, new_candidate, with_structure
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.sources import low_energy_weights
from gcd_hpc.learning.training import Process
from gcd_hpc.search.tries import search_start
from gcd_hpc.seeds import REPRODUCE, SEARCH, generator
from gcd_hpc.stages.ranking import lowest_learned
from gcd_hpc.stages.relax import relax_chunk
from gcd_hpc.stages.relaxing import ScreenWindow, relax_candidate, worker_child
from gcd_hpc.stages.search import search_chunk, search_one
from gcd_hpc.stages.select import choose, unique
from gcd_hpc.stages.train import train
from gcd_hpc.store.parts import read_columns, read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.fingerprint import distance
from gcd_hpc.structures.periodic import Neighbors, cartesian, wrap

COLUMNS = ("status", "n_fraction", "gb_energy_j_m2", "screen_gb_energy_j_m2")
RATTLES_A = (0.1, 0.2, 0.3, 0.4)
"""Standard deviations of rattled structures, taken in turn, Å."""

Variation = Literal["again", "rattled", "mutated"]
AGAIN_AND_OTHERS: tuple[Variation, ...] = ("again", "rattled", "mutated")


def search_chunks(run_dir: Path, first: int, last: int, report: Report) -> Arrays:
    """Search chunks ``first`` to ``last - 1``; existing chunks are read, not made again."""
    for chunk in range(first, last):
        if not RunDirectory(run_dir).search_part(chunk).exists():
            search_chunk(str(run_dir), chunk)
        report((chunk + 1 - first) / (last - first))
    return columns_of([RunDirectory(run_dir).search_part(chunk) for chunk in range(first, last)])


def train_model(run_dir: Path, searched: Path, device: str, report: Report) -> Arrays:
    """Select the training set of this run from the search in ``searched``, and train on it.

    Returns:
        n_fraction and gb_energy_j_m2 of the training set, (M,); validation_loss and sha256 of the
        model.
    """
    system = load_boundary_system(str(run_dir))
    chosen_path = RunDirectory(run_dir).training_set(VERSION)
    if not chosen_path.exists():
        chosen_path.parent.mkdir(parents=True, exist_ok=True)
        write_part(
            chosen_path,
            choose(system, RunDirectory(searched).known_parts(VERSION)),
            campaign_provenance(system.config),
        )
    if not RunDirectory(run_dir).model_file(VERSION).exists():
        train(
            run_dir,
            VERSION,
            Process(torch.device(device)),
            on_step=lambda step, num: report(step / num),
        )
    _, card = load_model(RunDirectory(run_dir).model_file(VERSION))
    chosen = read_columns([chosen_path], ["n_fraction", "gb_energy_j_m2"])
    return {
        **chosen,
        "validation_loss": np.array(card.validation_loss),
        "sha256": np.array(card.sha256),
    }


def sample_block(run_dir: Path, block: int, device: str, report: Report) -> Arrays:
    """Sample the candidates of one chunk, which has its own random streams."""
    path = RunDirectory(run_dir).sampled_part(VERSION, block)
    config = load_boundary_system(str(run_dir)).config
    if not path.exists():
        indices = chunk_indices(config.sampling.num_candidates, config.sampling.chunk_size, block)
        write_part(
            path,
            Sampler.load(run_dir, VERSION, device).sample(indices),
            campaign_provenance(config),
        )
    report(1.0)
    return columns_of([path])


def relax_block(run_dir: Path, block: int, report: Report) -> Arrays:
    """Relax the candidates of one chunk."""
    path = RunDirectory(run_dir).relaxed_part(VERSION, block)
    if not path.exists():
        relax_chunk(str(run_dir), VERSION, block)
    report(1.0)
    return columns_of([path])


def use_blocks(
    workshop: Workshop, blocks: Sequence[tuple[Path, int]]
) -> tuple[list[Arrays], list[Arrays]]:
    """Sample and relax blocks of runs; return the arrays of both, in the order of the blocks."""
    samples = [
        Task(f"sample-{run.name}-{block}", sample_block, (run, block, workshop.device))
        for run, block in blocks
    ]
    sampled = workshop.run(samples, on_device=True)
    relaxations = [
        Task(f"relax-{run.name}-{block}", relax_block, (run, block)) for run, block in blocks
    ]
    return sampled, workshop.run(relaxations)


def search_more(
    run_dir: Path, start: int, stop: int, md_probability: float, report: Report
) -> Arrays:
    """Search tries ``start`` to ``stop - 1`` with a given share of dynamics; no parts are kept."""
    system = load_boundary_system(str(run_dir))
    search = system.config.search.model_copy(
        update={"md": system.config.search.md.model_copy(update={"probability": md_probability})}
    )
    system = replace(system, config=system.config.model_copy(update={"search": search}))
    window = ScreenWindow(system.config.relaxation.screen_window_j_m2, {})
    child = worker_child(str(run_dir))
    rows = (search_one(system, child, index, window, run_dir) for index in range(start, stop))
    return to_arrays(reported(rows, stop - start, report))


def with_training_set(run_dir: Path) -> tuple[BoundarySystem, list[Candidate]]:
    """Boundary system of a run, and the training structures of its model."""
    learnt = read_part(RunDirectory(run_dir).training_set(VERSION))
    return load_boundary_system(str(run_dir)), learnt


def search_at_known_registries(run_dir: Path, start: int, stop: int, report: Report) -> Arrays:
    """Search without dynamics, at registries drawn from the training structures."""
    system, learnt = with_training_set(run_dir)
    weights = low_energy_weights(
        np.array([row.gb_energy_j_m2 for row in learnt]), system.config.selection.preference_j_m2
    )
    jitter = system.config.sampling.registry_jitter

    def begun(index: int) -> Candidate:
        rng = generator(system.config.seed, REPRODUCE, SEARCH, index)
        known = np.asarray(learnt[rng.choice(len(learnt), p=weights)].registry_relaxed)
        registry = system.frame.reduced(known + jitter * rng.standard_normal(3))
        atoms, _, _ = search_start(system.frame, system.config.search, rng, registry)
        return with_structure(
            system, new_candidate(system, "search", index), atoms.positions, registry
        )

    return relax_rows(
        run_dir, system, (begun(index) for index in range(start, stop)), stop - start, report
    )


def relax_varied(
    run_dir: Path, variation: Variation, start: int, stop: int, report: Report
) -> Arrays:
    """Relax training structures: unchanged, rattled, or with atoms inserted or removed."""
    system, learnt = with_training_set(run_dir)

    def begun(index: int) -> Candidate:
        rng = generator(
            system.config.seed, REPRODUCE, AGAIN_AND_OTHERS.index(variation) + 100, index
        )
        origin = learnt[index % len(learnt)]
        return with_structure(
            system,
            new_candidate(system, "search", index),
            varied(system, origin, variation, index // len(learnt), rng),
            np.asarray(origin.registry_relaxed),
        )

    return relax_rows(
        run_dir, system, (begun(index) for index in range(start, stop)), stop - start, report
    )


def varied(
    system: BoundarySystem,
    origin: Candidate,
    variation: Variation,
    turn: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Positions (N, 3), Å, of a training structure after a variation of its boundary atoms."""
    positions: NDArray[np.float64] = origin.positions.copy()
    reach = 2.0 * system.bicrystal.nearest_neighbor
    if variation == "again":
        return positions
    if variation == "mutated":
        near = np.flatnonzero(
            np.abs(positions[:, 2] - system.frame.centre) < system.bicrystal.nearest_neighbor
        )
        number = int(rng.integers(1, 4))
        if rng.random() < 0.5:
            positions = np.delete(
                positions, rng.choice(near, size=min(number, len(near)), replace=False), axis=0
            )
        else:
            low, high = system.frame.centre + np.array([-0.5, 0.5]) * reach
            put = np.zeros((number, 3))
            drawn = rng.random((number, 3))
            put[:, :2] = cartesian(drawn[:, :2], system.bicrystal.cell)
            put[:, 2] = drawn[:, 2] * (high - low) + low
            positions = np.concatenate([positions, put])
    shaken = np.abs(positions[:, 2] - system.frame.centre) < reach
    positions[shaken] += RATTLES_A[turn % len(RATTLES_A)] * rng.standard_normal(
        (int(shaken.sum()), 3)
    )
    return system.bicrystal.wrap(positions)


def relax_rows(
    run_dir: Path, system: BoundarySystem, rows: Iterable[Candidate], num: int, report: Report
) -> Arrays:
    """Relax structures like candidates, screened by the lowest energies of the training set."""
    lowest = lowest_learned(run_dir, VERSION)
    window = ScreenWindow(system.config.relaxation.screen_window_j_m2, lowest)
    child = worker_child(str(run_dir))
    relaxed = (relax_candidate(system, child, row, window, run_dir=run_dir) for row in rows)
    return to_arrays(reported(relaxed, num, report))


def reported(rows: Iterable[Candidate], num: int, report: Report) -> Iterator[Candidate]:
    for done, row in enumerate(rows, start=1):
        yield row
        report(done / num)


def to_arrays(rows: Iterable[Candidate]) -> Arrays:
    """Arrays of the COLUMNS of rows that are not written to a file."""
    kept = list(rows)
    return {name: np.array([getattr(row, name) for row in kept]) for name in COLUMNS}


def columns_of(parts: Sequence[Path]) -> Arrays:
    """Arrays of the COLUMNS of part files."""
    columns = read_columns(parts, COLUMNS)
    return {**columns, "status": columns["status"].astype(str)}


def novelty(
    run_dir: Path,
    num_blocks: int,
    phases: tuple[tuple[float, float], ...],
    tolerance: float,
    report: Report,
) -> Arrays:
    """Distance of each discovery of a withheld phase from the training set, and best structures.

    Args:
        phases: ([n], E_gb in J/m^2) of each; a discovery lies at most ``tolerance`` above.

    Returns:
        phase, nearest (fingerprint distance to the nearest training structure), gb_energy_j_m2:
            (K,) of all discoveries; positions-P (N, 3), energies-P (N,), cell (3,) of the lowest of
            phase P, if any;
        training_spread: median nearest-neighbour distance within the training set.
    """
    system, learnt = with_training_set(run_dir)
    marks = [boundary_fingerprint(system, row) for row in learnt]
    spread = [
        min((distance(mark, other) for other in marks if other is not mark), default=np.nan)
        for mark in marks
    ]
    rows = [
        row
        for block in range(num_blocks)
        for row in read_part(RunDirectory(run_dir).relaxed_part(VERSION, block))
    ]
    found: dict[str, list[Any]] = {"phase": [], "nearest": [], "gb_energy_j_m2": []}
    structures: Arrays = {}
    for number, (fraction, energy) in enumerate(phases):
        hits = [
            row
            for row in rows
            if row.status == "ok"
            and is_phase(row.n_fraction, row.gb_energy_j_m2, fraction, energy, tolerance)
        ]
        for row in hits:
            mark = boundary_fingerprint(system, row)
            found["phase"].append(number)
            found["nearest"].append(min(distance(mark, other) for other in marks))
            found["gb_energy_j_m2"].append(row.gb_energy_j_m2)
        if hits:
            best = min(hits, key=lambda row: (row.gb_energy_j_m2, row.id))
            structures |= {
                f"positions-{number}": best.positions,
                f"energies-{number}": best.energies_ev,
                "cell": np.asarray(best.cell),
            }
        report((number + 1) / len(phases))
    return {
        **{name: np.array(values) for name, values in found.items()},
        **structures,
        "training_spread": np.array(np.median(spread)),
    }


def is_phase(
    n: NDArray[Any] | float,
    energy: NDArray[Any] | float,
    fraction: float,
    phase_energy: float,
    tolerance: float,
) -> NDArray[Any] | bool:
    """Mask of the structures with a phase's [n] and an energy at most ``tolerance`` above it."""
    return np.isclose(n, fraction) & (np.asarray(energy) <= phase_energy + tolerance)


def num_distinct(run_dir: Path, num_chunks: int, report: Report) -> Arrays:
    """Number of distinct structures of a search, at all energies."""
    system = load_boundary_system(str(run_dir))
    rows = [
        row
        for chunk in range(num_chunks)
        for row in read_part(RunDirectory(run_dir).search_part(chunk))
        if row.status == "ok"
    ]
    fractions = sorted({row.n_fraction for row in rows})
    counts = []
    for done, fraction in enumerate(fractions, start=1):
        same = sorted(
            (row for row in rows if row.n_fraction == fraction),
            key=lambda row: (row.gb_energy_j_m2, row.id),
        )
        counts.append(len(unique(system, same, len(same))))
        report(done / len(fractions))
    return {"n_fraction": np.array(fractions), "num_distinct": np.array(counts)}


def lowest_structure(run_dir: Path, num_chunks: int, reach: float, report: Report) -> Arrays:
    """Lowest structure of a search, cut at ``reach`` Å from the boundary.

    Returns:
        positions (N, 3) in the box that is left, lengths (3,), misfit (N,): distance of each atom
            from the nearest site of its grain; Å; gb_energy_j_m2.
    """
    system = load_boundary_system(str(run_dir))
    parts = [RunDirectory(run_dir).search_part(chunk) for chunk in range(num_chunks)]
    columns = columns_of(parts)
    energies = np.where(columns["status"] == "ok", columns["gb_energy_j_m2"], np.inf)
    best = [row for part in parts for row in read_part(part)][int(energies.argmin())]
    frame, cell = system.frame, system.bicrystal.cell
    middle = frame.centre + best.registry_relaxed[2] / 2
    grains = (
        frame.lower(frame.centre + reach),
        frame.upper(best.registry_relaxed, frame.centre - reach),
    )
    distances = [Neighbors(grain, cell).nearest(best.positions)[0] for grain in grains]
    shown = np.abs(best.positions[:, 2] - middle) < reach
    misfit = np.where(best.positions[:, 2] < middle, *distances)[shown]
    report(1.0)
    lengths = np.array([*np.diag(cell), 2 * reach])
    positions = wrap(best.positions[shown] - np.array([0.0, 0.0, middle - reach]), lengths)
    return {
        "positions": positions,
        "lengths": lengths,
        "misfit": misfit,
        "gb_energy_j_m2": energies.min(),
    }
