"""Relaxation of generated candidates, chunk by chunk."""

import time
from pathlib import Path

from gcd_hpc.stages.layout import relaxed_part, sampled_part, training_set
from gcd_hpc.stages.relaxing import Worth, chunk_report, relax_candidate, worker_child
from gcd_hpc.stages.setting import load_setting
from gcd_hpc.store.parts import read_columns, read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance


def relax_chunk(run_dir: str, version: int, chunk: int) -> dict:
    """Relax the sampled structures of one chunk of a model version; invalid ones pass through, failed ones keep their reason."""
    started, setting, folder = time.perf_counter(), load_setting(run_dir), Path(run_dir)
    known = read_columns([training_set(folder, version)], ["n_fraction", "gb_energy_j_m2"])
    worth = Worth(setting.config.relaxation.screen_window_j_m2, {})
    for fraction, energy in zip(known["n_fraction"], known["gb_energy_j_m2"], strict=True):
        worth.learn(fraction, energy)
    child = worker_child(run_dir)
    rows = [
        relax_candidate(setting, child, row, worth) if row.status == "sampled" else row
        for row in read_part(sampled_part(folder, version, chunk))
    ]
    write_part(relaxed_part(folder, version, chunk), rows, campaign_provenance(setting.config))
    return chunk_report(rows, time.perf_counter() - started)
