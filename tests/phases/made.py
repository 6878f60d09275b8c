"""Records of measurements with made results, for tests of what reads them."""

from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord, structure_sha256


def made_record(
    phase: Phase, kind: str, results: dict, settings: dict | None = None
) -> MeasuredRecord:
    """The record of a measurement of a phase's lowest structure."""
    one = phase.representative
    return MeasuredRecord(
        kind=kind,
        phase=phase.name,
        candidate=one.id,
        structure_sha256=structure_sha256(one),
        potential_sha256=one.potential_sha256,
        settings=settings or {},
        version="1.0",
        date="2026-11-26T12:00:00+00:00",
        cpu_s=1.0,
        results=results,
    )
