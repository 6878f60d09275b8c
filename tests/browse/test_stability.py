"""Tables of free energies."""

import io

from rich.console import Console

from gcd_hpc.browse.stability import free_energy_tables
from gcd_hpc.phases.record import MeasuredRecord


def measured(name, *energies):
    results = {
        "temperatures_k": [0.0, 500.0, 1000.0],
        "free_energy_j_m2": list(energies),
        "error_j_m2": [0.001] * 3,
    }
    names = ("candidate", "structure_sha256", "potential_sha256", "version", "date")
    words = dict.fromkeys(names, "x")
    return MeasuredRecord(kind="free", phase=name, settings={}, cpu_s=1.0, results=results, **words)


def printed(*records):
    screen = Console(file=io.StringIO(), width=80)
    screen.print(*free_energy_tables({record.phase: record for record in records}))
    return screen.file.getvalue()


def test_two_phases_that_never_change_places_are_said_to_have_no_transition():
    text = printed(measured("1/5-1", 2.3, 2.2, 2.1), measured("2/5-1", 2.5, 2.45, 2.4))
    assert "no two phases have equal free energies from 0 to 1000 K" in text
    assert "2.3000 ± 0.0010" in text


def test_a_transition_is_listed_with_its_temperature():
    text = printed(measured("1/5-1", 2.3, 2.2, 2.1), measured("2/5-1", 2.4, 2.2, 2.0))
    assert "temperatures at which two phases have equal free energies" in text
    assert "500" in text.splitlines()[-1]
