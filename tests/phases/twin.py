"""The coherent twin of copper in its smallest cell, as the subject of measurements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.simulation import PotentialConfig
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.phases.measuring import Subject
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from tests.store.synthetic import make_candidate

TWIN = BoundaryConfig(element="Cu", lattice="fcc", sigma=3, axis=(1, -1, 0), plane=(1, 1, 1))


@contextmanager
def made_twin(folder: Path, choose: Callable[..., Relaxed] = min) -> Iterator[Subject]:
    """The lowest of some registries, relaxed, or the highest with ``max``."""
    config = PotentialConfig(
        pair_style="eam/alloy", pair_coeff="* * {file} Cu", file="Cu_mishin1.eam.alloy"
    )
    potential = find_potential(config, ("Cu",), Path())
    bulk = measure_bulk(potential, "Cu", "fcc")
    bicrystal = Bicrystal.build(TWIN, bulk.a0)
    frame = Frame.build(bicrystal, (23.0, 23.0), 54.0)
    relaxation = RelaxationConfig(preset="tight")
    (ax, _), (_, by) = bicrystal.cell
    shifts = [(i * ax / 2, j * by / 6, 0.0) for i in range(2) for j in range(6)]
    with LammpsChild(potential, 60.0) as child:
        relaxed = choose(
            (
                relax_boundary(child, frame.join(shift), bicrystal, bulk, relaxation)
                for shift in shifts
            ),
            key=lambda one: one.gb_energy_j_m2,
        )
        row = make_candidate(
            1,
            num_atoms=len(relaxed.positions),
            positions=relaxed.positions,
            unrelaxed_positions=relaxed.positions,
            energies_ev=relaxed.energies,
            gb_energy_j_m2=relaxed.gb_energy_j_m2,
            cell=frame.cell.diagonal(),
            cohesive_ev=bulk.cohesive_ev,
            area_a2=bicrystal.area,
        )
        candidate = RunCandidate(**vars(row), element="Cu")
        campaign = SimpleNamespace(relaxation=relaxation)
        system = PhaseSystem(campaign, potential, bulk, bicrystal, frame, 6.0)  # type: ignore[arg-type]
        yield Subject("0-1", candidate, system, child, folder)
