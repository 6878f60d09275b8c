"""Boundaries with a potential, for measurements without a campaign."""

from pathlib import Path

import numpy as np

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.box import box_around
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.engines.resolve import find_engine
from gcd_hpc.engines.strained import measured_layout
from gcd_hpc.phases.measuring import Results, Settings, Subject
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.periodic import edges_and_tilt, in_plane


def copper_twin(**boundary: object) -> CampaignConfig:
    """Campaign of the coherent twin of copper, with further keys of its boundary."""
    grains = {
        "lower": {"x": [1, -1, 0], "y": [1, 1, -2], "z": [1, 1, 1]},
        "upper": {"x": [-1, 1, 0], "y": [-1, -1, 2], "z": [1, 1, 1]},
    }
    potential = {
        "pair_style": "eam/alloy",
        "pair_coeff": "* * {file} Cu",
        "file": "Cu_mishin1.eam.alloy",
    }
    return CampaignConfig.model_validate(
        {
            "name": "cu_twin",
            "boundary": {"element": "Cu", "lattice": "fcc"} | grains | boundary,
            "potential": potential,
            "search": {"num_tries": 1},
            "sampling": {"num_candidates": 1},
            "budget": {"rounds": 0},
        }
    )


def system_of(config: CampaignConfig) -> PhaseSystem:
    """The boundary of a campaign with its potential and crystal."""
    boundary = config.boundary
    potential = find_engine(config, Path())
    bulk = measure_bulk(potential, boundary.symbols, boundary.lattice, boundary.a0)
    layout = measured_layout(config, potential, bulk)
    return PhaseSystem(config, potential, bulk, layout.bicrystal, layout.frame, layout.outer)


def joined(child: LammpsChild, system: PhaseSystem, registry: tuple) -> Relaxed:
    """Two perfect grains, joined at a registry (3,) Å and relaxed."""
    atoms = system.frame.join(registry)
    return relax_boundary(child, atoms, system.bicrystal, system.bulk, system.config.relaxation)


def row_of(system: PhaseSystem, relaxed: Relaxed) -> Candidate:
    """A relaxed structure as a row of a run."""
    edges, tilt = edges_and_tilt(system.frame.cell)
    num_atoms = len(relaxed.positions)
    return Candidate(
        *("search-000000", "search", 0, 0, 0, 7, "ok"),
        num_atoms=num_atoms,
        gb_energy_j_m2=relaxed.gb_energy_j_m2,
        excess_volume_a=relaxed.excess_volume,
        cohesive_ev=system.bulk.cohesive_ev,
        surface_depth_a=system.bulk.reach,
        potential_sha256=system.potential.sha256,
        cell=edges,
        tilt_a=tilt,
        positions=relaxed.positions,
        energies_ev=relaxed.energies,
        numbers=np.full(num_atoms, system.bicrystal.numbers[0]),
    )


def subject_of(child: LammpsChild, system: PhaseSystem, row: Candidate) -> Subject:
    """A row as the input of a measurement."""
    candidate = RunCandidate(**vars(row), element=system.config.boundary.symbols[0])
    return Subject("0-1", candidate, system, child, Path("nowhere"))


def total_energy(subject: Subject, settings: Settings) -> Results:
    """A measurement: the energy of the stored structure, eV, times a factor of the settings."""
    candidate = subject.candidate
    box = box_around(candidate.positions, in_plane(candidate.box))
    total = subject.child.evaluate(candidate.positions, box).total_ev
    return Results({"total_ev": total * settings.get("factor", 1)})
