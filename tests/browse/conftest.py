"""A run of two model versions with known best energies."""

import pytest

from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from tests.store.synthetic import CONFIG, make_candidate


def candidates(source, version, energies_by_n):
    """Two candidates at each [n] of a plane of ten atoms: one at the energy, one 0.5 above; and a
    failed one.
    """
    found = []
    for num_extra, energy in energies_by_n.items():
        for above in (0.5, 0.0):
            index = len(found)
            more = {"gb_energy_j_m2": energy + above, "excess_volume_a": 0.35}
            found.append(make_candidate(index, source, version, num_atoms=30 + num_extra, **more))
    found.append(
        make_candidate(len(found), source, version, num_atoms=20, status="failed", reason="NaN")
    )
    return found


@pytest.fixture
def results(tmp_path):
    run = tmp_path / "run"
    provenance = {"config": CONFIG}
    write_part(
        run / "parts/search/part-00000.h5",
        candidates("search", 0, {0: 3.1, 2: 2.297, 3: 2.65}),
        provenance,
    )
    write_part(
        run / "parts/model-01/relaxed/part-00000.h5",
        candidates("model", 1, {0: 3.0, 2: 2.2971}),
        provenance,
    )
    write_part(
        run / "parts/model-02/relaxed/part-00000.h5",
        candidates("model", 2, {4: 2.469, 3: 2.7}),
        provenance,
    )
    return open_run(run)


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "parts").mkdir()
    return open_run(tmp_path)
