"""The command that checks the machine."""

from pathlib import Path

import typer

from gcd_hpc.cli.options import Json
from gcd_hpc.cli.output import print_json, say


def doctor(json: Json = False) -> None:
    """Check what this machine lacks for a campaign and how to get it.

    Tests torch and its GPUs, MPI, LAMMPS and its packages, and looks for potentials, a scheduler
    and a writable folder. The exit code is 1 if something is missing.

    \b
    Example:
      gcd-hpc doctor
    """
    from dataclasses import asdict

    from gcd_hpc.workers.doctor import examine

    findings = examine(Path.cwd())
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            say(finding.line())
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)
