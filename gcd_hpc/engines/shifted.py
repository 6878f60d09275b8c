"""Relaxation of a bicrystal whose upper grain keeps its in-plane shift."""

import time
from dataclasses import replace
from typing import Literal

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import PRESETS, Relaxed, Slab
from gcd_hpc.engines.start_checks import check_distances, check_slab
from gcd_hpc.structures.bicrystal import Bicrystal

Freedom = Literal["normal", "all"]
"""What a relaxation at a given shift moves.

normal: every atom between the held layers moves along z only, and the upper grain's rigid layers
move along z as one body. No atom moves in the plane.
all: atoms between the held layers move along all axes. The rigid layers still move along z only,
so that they keep the shift.
"""


def relax_at_shift(
    child: Child,
    atoms: Atoms,
    bicrystal: Bicrystal,
    bulk: Bulk,
    config: RelaxationConfig,
    freedom: Freedom,
) -> Relaxed:
    """Relax a bicrystal slab to the campaign's preset while its grains keep their shift.

    Everything else is as in ``relax_boundary``: the bottom is held, the energy is summed over the
    same atoms, and the result passes the same checks.

    Raises:
        SimulationError: as ``relax_boundary``.
    """
    started_s = time.process_time()
    check_slab(atoms, bulk, config)
    slab = Slab.of(atoms, bicrystal, bulk, config)
    check_distances(slab.positions, np.asarray(atoms.cell), bicrystal.nearest_neighbor)
    upright = slab.rigid if freedom == "all" else np.ones(len(slab.positions), dtype=bool)
    job = slab.job(PRESETS[config.preset], slab.positions, None)
    result = child.relax(replace(job, upright=upright))
    if not result.has_energies:
        result = slab.shared(result, child, bicrystal)
    energies: dict[str, float] = {config.preset: slab.energy(result)}
    own_s = time.process_time() - started_s
    return slab.relaxed([result], energies, config.preset, own_s)
