"""A run of a copper boundary whose candidates were asked for an [n] and an image."""

from dataclasses import replace

import numpy as np

from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.boundary import load_boundary_system, prepare
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.projection import Pixels, noisy, projected, write_image
from tests.browse.sets import make_set

TERMS = (
    "guidance=[{property: n_fraction}, {property: image, target: {file: a.npy, axis: x,"
    " pixel_a: 0.2, blur_a: 0.8}}]"
)
REGISTRIES = ((1.0, 2.0, 2.0), (1.0, 0.6, 2.0), (1.0, 3.4, 2.0))
"""Shifts of the grains of the candidates, which are perfect crystals up to the boundary, Å."""
TRIES = (REGISTRIES[0], REGISTRIES[1], REGISTRIES[0])
"""The same of random tries; the last has an [n] of its own."""
TRUE = "model-01-000002"


def candidate(row, index, positions):
    """A row of a model with other atoms; the first two have the [n] that they were asked for."""
    num = len(positions)
    fraction = 0.5
    return replace(
        row,
        id=f"model-01-{index:06d}",
        source="model",
        version=1,
        round=1,
        index=index,
        num_atoms=num,
        n_fraction=fraction,
        target_n_fraction=fraction if index < 2 else 0.0,
        gb_energy_j_m2=1.0 + index / 100,
        unrelaxed_positions=positions,
        positions=positions,
        energies_ev=np.full(num, row.cohesive_ev),
        numbers=np.full(num, 29),
    )


def random_try(row, index, positions):
    """A random try, which was asked for nothing."""
    return replace(
        candidate(row, index, positions),
        id=f"search-{index:06d}",
        source="search",
        version=0,
        round=0,
        n_fraction=0.0 if index == 2 else 0.5,
        target_n_fraction=np.nan,
        gb_energy_j_m2=2.0 + index / 100,
    )


def write_guided_run(folder):
    """Run directory of tilt boundaries of copper as candidates of a model that was asked for an [n]
    and an image, and of random tries.
    """
    run = RunDirectory(make_set(folder)).member("s5_210")
    plain = load_campaign(run.config)
    prepare(run.path, plain, folder)
    system = load_boundary_system(str(run.path))
    (part,) = run.search_parts()
    row = next(row for row in read_part(part) if row.status == "ok")
    places = [system.frame.join(np.array(registry)).positions for registry in REGISTRIES]
    made = [candidate(row, index, positions) for index, positions in enumerate(places)]
    shown = next(one for one in made if one.id == TRUE)
    lengths = np.diag(np.asarray(system.bicrystal.cell))
    pixels = Pixels((140, round(2 * lengths[1] / 0.2)), 0.2, 0.0, system.frame.centre + 14.0)
    clean = projected(shown.positions, lengths, "x", pixels, 0.8)
    run.targets.mkdir()
    write_image(run.targets / "a.npy", noisy(clean, 0.1, np.random.default_rng(0)))
    config = dump(load_campaign(run.config, [TERMS]))
    run.config.write_text(config)
    load_boundary_system.cache_clear()
    part.unlink()
    tries = [system.frame.join(np.array(registry)).positions for registry in TRIES]
    write_part(
        part,
        [random_try(row, index, positions) for index, positions in enumerate(tries)],
        {"config": config},
    )
    write_part(run.relaxed_part(1, 0), made, {"config": config})
    return run.path
