"""Runs whose candidates are guided, and images of the structures of a search."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.guidance import CountGuidance, GuidanceTerm, ImageGuidance, ImageTarget
from gcd_hpc.experiments.boundary_numbers import joined
from gcd_hpc.experiments.boundary_tasks import (
    columns_of,
    is_phase,
    train_model,
    use_blocks,
)
from gcd_hpc.experiments.runs import VERSION, copied, lent, open_run
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop, core_s
from gcd_hpc.learning.boundary import load_boundary_system, placed_image
from gcd_hpc.learning.image_match import SAME, resemblance
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.seeds import REPRODUCE, generator
from gcd_hpc.stages.select import choose
from gcd_hpc.store.parts import read_columns, read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.projection import SEEN, Axis, Pixels, noisy, projected

PIXEL_A = 0.2
"""Edge of a pixel, Å."""
BLUR_A = 0.8
"""Resolution of an image, Å."""
NOISE = 0.1
"""Share of noise of an image."""
HEIGHT_A = 36.0
"""Height of an image, Å."""
NUM_REPEATS = 2
"""Repeats of the boundary along the rows of an image."""
OFFSET_A = (1.3, 0.7)
"""Where the image begins along its rows, and how far above the middle it is centred, Å."""
STRENGTH = 10.0
"""Factor of the image's term."""
NUM_SAMPLES, NUM_RESTARTS = 8, 2
"""Samples of which a candidate is the one that fits the image best, and how often they are
generated again.
"""
TOLERANCE_J_M2 = 0.01
"""Energy above that of a phase up to which a structure of a search is imaged as the phase."""
GREY = (200.0, 40.0)
"""Brightness of an image: that of no atoms, and of an atom per Å^2."""


def simulated(system_of: Path, row: Candidate, axis: Axis) -> np.ndarray:
    """Image (H, W) of a structure without noise, atoms per Å^2.

    Args:
        system_of: run directory of the boundary.
    """
    system = load_boundary_system(str(system_of))
    lengths = np.diag(np.asarray(system.bicrystal.cell))
    shape = (round(HEIGHT_A / PIXEL_A), round(NUM_REPEATS * lengths[SEEN[axis]] / PIXEL_A))
    left, above = OFFSET_A
    pixels = Pixels(shape, PIXEL_A, left, system.frame.centre + HEIGHT_A / 2 + above)
    return projected(row.positions, lengths, axis, pixels, BLUR_A)


def grey(image: np.ndarray, seed: int) -> np.ndarray:
    """An image in shades of grey of its own, with noise."""
    dark, bright = GREY
    return dark + bright * noisy(image, NOISE, generator(seed, REPRODUCE, 3))


def lowest_of_phase(searched: Path, num_chunks: int, fraction: float, energy: float) -> Candidate:
    """The structure of lowest energy among those of a phase that a search found.

    Raises:
        ValueError: if it found none.
    """
    rows = [
        row
        for chunk in range(num_chunks)
        for row in read_part(RunDirectory(searched).search_part(chunk))
        if row.status == "ok"
        and is_phase(row.n_fraction, row.gb_energy_j_m2, fraction, energy, TOLERANCE_J_M2)
    ]
    return min(rows, key=lambda row: (row.gb_energy_j_m2, row.id))


def image_terms(path: Path, axis: Axis) -> tuple[GuidanceTerm, ...]:
    """Guidance to an image, and to the numbers of atoms that fit it."""
    target = ImageTarget(file=str(path), axis=axis, pixel_a=PIXEL_A, blur_a=BLUR_A, noise=NOISE)
    return (
        CountGuidance(property="n_fraction"),
        ImageGuidance(
            property="image",
            target=target,
            strength=STRENGTH,
            best_of=NUM_SAMPLES,
            restarts=NUM_RESTARTS,
        ),
    )


def trained_model(
    workshop: Workshop, searched: Path, config: CampaignConfig, name: str
) -> tuple[Path, Arrays]:
    """Run directory of a model that learns from a search, and what its training task returns."""
    run = open_run(workshop.work, name, config)
    task = Task(f"train-{run.name}", train_model, (run, searched, workshop.device))
    (trained,) = workshop.run([task], on_device=True)
    return run, trained


def given_model(work: Path, searched: Path, config: CampaignConfig, name: str, model: Path) -> Path:
    """Run directory of a model file that knows the structures of a search, and learned none."""
    run = open_run(work, name, config)
    files = RunDirectory(run)
    if not files.training_set(VERSION).exists():
        known = choose(load_boundary_system(str(run)), RunDirectory(searched).known_parts(VERSION))
        files.training_set(VERSION).parent.mkdir(parents=True, exist_ok=True)
        write_part(files.training_set(VERSION), known, campaign_provenance(config))
    copied(model, files.model_file(VERSION))
    return run


def guided_run(
    work: Path, name: str, config: CampaignConfig, trained: Path, guidance: tuple[GuidanceTerm, ...]
) -> Path:
    """Run directory of guided candidates of a model that another run has trained."""
    return lent(work, name, config.model_copy(update={"guidance": guidance}), trained)


def candidates(
    workshop: Workshop, amounts: Mapping[Path, int]
) -> tuple[dict[str, float], dict[Path, Arrays]]:
    """Sample and relax blocks of candidates.

    Args:
        amounts: blocks of each run.

    Returns:
        Core-seconds by kind, and relaxed candidates of each run.
    """
    blocks = [(run, block) for run, num in amounts.items() for block in range(num)]
    sampled, relaxed = use_blocks(workshop, blocks)
    by_run = {
        run: joined([rows for (one, _), rows in zip(blocks, relaxed, strict=True) if one == run])
        for run in amounts
    }
    return {"sampling": core_s(sampled), "relaxation": core_s(relaxed)}, by_run


def asked_block(run_dir: Path, block: int, report: Report) -> Arrays:
    """What the relaxed candidates of a chunk were asked for, and what they are."""
    path = RunDirectory(run_dir).relaxed_part(VERSION, block)
    report(1.0)
    return {
        **columns_of([path]),
        "target_n_fraction": read_columns([path], ["target_n_fraction"])["target_n_fraction"],
    }


def judged_block(
    run_dir: Path,
    block: int,
    guided: Path,
    clean: Path,
    phase: tuple[float, float],
    tolerance: float,
    report: Report,
) -> Arrays:
    """Compare the relaxed candidates of a chunk with the structure in an image.

    Args:
        guided: run directory whose image it is. The boundary of both runs is the same.
        clean: the image without noise.
        phase: [n] and energy in J/m^2 of the structure.
        tolerance: energy above it up to which a candidate may be the structure, J/m^2.

    Returns:
        as_it_lies: (N,) resemblance of the candidates with the [n] of the phase; else NaN.
        turned: (N,) the same in the best of the symmetric variants, or in the first one that is the
            structure, for the candidates with its energy too; else NaN.
        generated, relaxed: (H, W) atoms per Å^2 of the candidate that resembles it most, before and
            after relaxation; zero if none has the [n].
    """
    system = load_boundary_system(str(guided))
    image = placed_image(system, RunDirectory(guided))
    assert image is not None, "the run has an image"
    image = replace(image, density=np.load(clean))
    rows = read_part(RunDirectory(run_dir).relaxed_part(VERSION, block))
    as_it_lies, turned = np.full((2, len(rows)), np.nan)
    for number, row in enumerate(rows):
        if row.status == "ok" and np.isclose(row.n_fraction, phase[0]):
            as_it_lies[number] = resemblance(image, row.positions)
            if is_phase(row.n_fraction, row.gb_energy_j_m2, *phase, tolerance):
                for operation in system.bicrystal.symmetry_operations:
                    found = resemblance(image, row.positions, [operation])
                    turned[number] = np.fmax(turned[number], found)
                    if found > SAME:
                        break
        report((number + 1) / len(rows))
    pictures = np.zeros((2, *image.density.shape))
    if np.isfinite(as_it_lies).any():
        best, lengths = rows[int(np.nanargmax(as_it_lies))], np.diag(system.frame.cell)
        pictures = np.stack(
            [
                projected(positions, lengths, image.target.axis, image.pixels, BLUR_A)
                for positions in (best.unrelaxed_positions, best.positions)
            ]
        )
    return {
        "as_it_lies": as_it_lies,
        "turned": turned,
        "generated": pictures[0],
        "relaxed": pictures[1],
    }


def placement(run_dir: Path, report: Report) -> Arrays:
    """Where the sampler of a run puts its image, and the shares of [n] that fit it."""
    image = Sampler.load(run_dir, VERSION, "cpu").image
    assert image is not None, "the run has an image"
    report(1.0)
    return {
        "density": image.density,
        "registry": image.registry,
        "shares": image.shares,
        "correlation": np.array(image.correlation),
        "num_atoms": np.array(image.num_atoms),
    }
