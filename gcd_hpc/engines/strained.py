"""Response of a grain that is strained in the boundary plane and free along the normal.

Its energy and strain are the reference for the strained part of a boundary.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.box import box_around
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.jobs import Minimizer, RelaxJob
from gcd_hpc.engines.layout import Layout, lay_out
from gcd_hpc.engines.relaxation import LINE_SEARCH
from gcd_hpc.engines.surfaces import check_surfaces
from gcd_hpc.errors import PotentialError, SimulationError
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.grain import Response
from gcd_hpc.structures.periodic import minimum_image

MINIMIZER = Minimizer(
    etol=0.0, ftol=1e-6, max_evaluations=100_000, commands=LINE_SEARCH, max_force=1e-3
)
MIDDLE = 8.0
"""Half the height over which the relaxed grain is measured, Å."""
REACH = 12.0
"""Distance between the held layers and the measured ones, over which their influence decays, Å."""
TIMEOUT_S = 300.0


def measured_layout(
    config: CampaignConfig, potential: Engine, bulk: Bulk, cache: Path | None = None
) -> Layout:
    """Layout of a campaign on a bulk crystal that was measured before.

    The response of a strained grain is measured here if the cache does not hold it.

    Raises:
        ConfigError: as ``lay_out``.
        PotentialError: as ``check_surfaces`` and ``measure_response``.
    """
    a0 = config.boundary.a0 or bulk.a0
    layout = lay_out(config, a0, config.name, bulk.reach, c0=bulk.c0)
    check_surfaces(potential, layout.bicrystal)
    if not any(layout.bicrystal.strain):
        return layout
    response = measure_response(potential, layout.bicrystal, bulk, layout.outer, cache)
    bicrystal = layout.bicrystal.relaxed(response)
    frame = Frame.build(bicrystal, layout.slab_heights, layout.frame.height)
    return replace(layout, bicrystal=bicrystal, frame=frame)


def measure_response(
    potential: Engine,
    bicrystal: Bicrystal,
    bulk: Bulk,
    outer_thickness: float,
    cache: Path | None = None,
) -> Response:
    """Relax a slab of the strained upper grain alone, its top moving as one rigid body.

    Args:
        outer_thickness: thickness of the held layers, Å.
        cache: JSON file that stores the result; replaced for another potential, boundary or bulk
            crystal.

    Raises:
        PotentialError: if LAMMPS cannot relax the strained crystal.
    """
    grain = bicrystal.upper
    question = f"{potential.sha256} {grain.directions} {grain.repeats} {grain.strain} {bulk}"
    if cache is not None and (known := _read(cache, question)):
        return known
    with Child(potential, TIMEOUT_S) as child:
        try:
            response = _measure(child, bicrystal, bulk, outer_thickness)
        except SimulationError as error:
            raise PotentialError(
                f"the upper grain under a strain of {max(grain.strain, key=abs):.2g}: {error}"
            ) from error
    if cache is not None:
        write_checked_json(cache, {"question": question, "response": asdict(response)})
    return response


def _measure(child: Child, bicrystal: Bicrystal, bulk: Bulk, outer_thickness: float) -> Response:
    height = 2 * (outer_thickness + REACH + MIDDLE)
    positions, numbers = bicrystal.lattice_sites("upper", (0.0, 0.0, 0.0), 0.0, height)
    z = positions[:, 2]
    box = box_around(positions, bicrystal.cell)
    fixed, rigid = z < z.min() + outer_thickness, z > z.max() - outer_thickness
    several = bulk.chemistry is not None
    result = child.relax(
        RelaxJob(positions, box, fixed, rigid, MINIMIZER, numbers=numbers if several else None)
    )
    moved = minimum_image(result.positions - positions, bicrystal.cell)  # (N, 3) Å
    middle = np.abs(z - (z.min() + z.max()) / 2) < MIDDLE
    # Far from the held layers the displacements are linear in the height.
    slopes = np.polyfit(z[middle], moved[middle], 1)[0]
    energies = result.energies
    if bulk.chemistry is not None:
        energies = bulk.chemistry.compared(energies, numbers, bulk.cohesive_ev)
    energy = float(energies[middle].mean()) - bulk.cohesive_ev
    shear_x, shear_y, normal = slopes.tolist()
    return Response(normal, shear_x, shear_y, energy)


def _read(cache: Path, question: str) -> Response | None:
    """Read a cached response; None if its inputs differ or the file is damaged."""
    try:
        content = checked_content(json.loads(cache.read_text())) or {}
        return Response(**content["response"]) if content["question"] == question else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
