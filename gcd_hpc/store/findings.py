"""Checks of a file or a run, and the report of their findings."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

CHECKS = {
    "structure": (
        "every dataset of the schema is there, with its type, shape and place among the atoms"
    ),
    "units": "units and labels are those of the schema",
    "checksums": "every number and text is the one that was written",
    "ids": "ids are unique and follow from source, round and index",
    "status": "status, reason and results agree",
    "n": "[n] follows from the number of atoms and the boundary",
    "energies": "E_gb follows from its own stored energies",
    "atoms": "atoms are inside the box, apart, and where the row says",
    "relaxation": "converged, stop reason and forces agree",
    "potential": "all structures have one potential and bulk crystal: those that the run keeps",
    "shards": "every file that was finished is there, whole and with its candidates",
    "results": "results.h5 holds what the parts hold",
}
"""What each check asserts, in the order in which checks are shown."""
KEPT = 100
"""Findings of one check that are kept in full; further ones are only counted."""
Status = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One violation: its place, the expected value and the actual one."""

    check: str
    file: str
    row: str
    """Id of the candidate; empty if it is about the file."""
    field: str
    """Dataset, attribute or column; empty if it is about the file."""
    expected: str
    got: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.row, self.field) if part)
        return f"{where}: expected {self.expected}, got {self.got}"


@dataclass
class Outcome:
    """Result of one check over all files or candidates."""

    num: int = 0
    """Number of files or candidates checked."""
    num_wrong: int = 0
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Reasons why the check was not possible for some of them."""

    @property
    def status(self) -> Status:
        """Verdict: failed with any finding, ok without, not checked if it was never applied."""
        if self.num_wrong:
            return "failed"
        return "ok" if self.num else "not checked"


class Report:
    """The outcomes of all checks."""

    def __init__(self) -> None:
        self.outcomes = {name: Outcome() for name in CHECKS}

    @property
    def is_sound(self) -> bool:
        """Whether no check has a finding."""
        return not any(outcome.num_wrong for outcome in self.outcomes.values())

    def looked_at(self, check: str, num: int = 1) -> None:
        """Count files or candidates that a check was applied to."""
        self.outcomes[check].num += num

    def found(
        self,
        check: str,
        expected: object,
        got: object,
        *,
        file: object,
        row: str = "",
        field: str = "",
    ) -> None:
        """Add a finding."""
        outcome = self.outcomes[check]
        outcome.num_wrong += 1
        if len(outcome.findings) < KEPT:
            outcome.findings.append(Finding(check, str(file), row, field, str(expected), str(got)))

    def skipped(self, check: str, reason: str) -> None:
        """Note that a check was not possible, and why."""
        outcome = self.outcomes[check]
        if len(outcome.skipped) < KEPT:
            outcome.skipped.append(reason)

    def findings(self) -> Iterator[Finding]:
        """Findings of all checks, at most KEPT of each."""
        for outcome in self.outcomes.values():
            yield from outcome.findings

    def record(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        checks = [
            {
                "check": name,
                "meaning": CHECKS[name],
                "status": outcome.status,
                "num_checked": outcome.num,
                "num_findings": outcome.num_wrong,
                "not_checked": outcome.skipped,
            }
            for name, outcome in self.outcomes.items()
        ]
        findings = [{**asdict(finding), "sentence": str(finding)} for finding in self.findings()]
        return {"ok": self.is_sound, "checks": checks, "findings": findings}
