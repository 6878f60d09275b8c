"""The seed search, chunk by chunk: try i is the same whichever worker takes its chunk (D4)."""

import time
from pathlib import Path

from gcd_hpc.seeds import SEARCH, generator
from gcd_hpc.simulation.child import LammpsChild
from gcd_hpc.simulation.search import search_start
from gcd_hpc.stages.layout import chunk_indices, search_part
from gcd_hpc.stages.relaxing import Worth, chunk_report, relax_candidate, worker_child
from gcd_hpc.stages.setting import Setting, load_setting
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.structures.energetics import closest_pair, n_fraction


def search_chunk(run_dir: str, chunk: int) -> dict:
    """Try and relax the structures of one chunk and write its part file."""
    started, setting = time.perf_counter(), load_setting(run_dir)
    config = setting.config
    worth = Worth(config.relaxation.screen_window_j_m2, {})
    indices = chunk_indices(config.search.num_tries, config.search.chunk_size, chunk)
    rows = [search_one(setting, worker_child(run_dir), index, worth) for index in indices]
    write_part(search_part(Path(run_dir), chunk), rows, campaign_provenance(config))
    return chunk_report(rows, time.perf_counter() - started)


def search_one(setting: Setting, child: LammpsChild, index: int, worth: Worth) -> Candidate:
    """Try ``index`` of the search, relaxed."""
    started, frame = time.perf_counter(), setting.frame
    atoms, registry, anneal = search_start(frame, setting.config.search, generator(setting.config.seed, SEARCH, index))
    candidate = Candidate(
        id=candidate_id("search", 0, index),
        source="search",
        version=0,
        round=0,
        index=index,
        seed=setting.config.seed,
        status="sampled",
        registry=registry,
        num_atoms=len(atoms),
        n_fraction=n_fraction(len(atoms), frame.bicrystal.atoms_per_plane),
        closest_pair_a=closest_pair(atoms.positions, frame.lengths),
        sample_s=time.perf_counter() - started,
        potential_sha256=setting.potential.sha256,
        cohesive_ev=setting.bulk.cohesive_ev,
        area_a2=frame.bicrystal.area,
        cell=frame.lengths,
        unrelaxed_positions=atoms.positions,
    )
    return relax_candidate(setting, child, candidate, worth, anneal)
