"""Processor time of ``gcd-hpc check``, against starting its libraries alone.

    python benchmarks/check.py [--num 5]

Checks every campaign of the package and every file that ``tests/config/cases`` says is refused, and
prints the medians of both kinds and the slowest file. The rival imports numpy, pydantic, YAML and
typer and does nothing with them.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
CHECK = [sys.executable, "-m", "gcd_hpc.cli", "check"]
RIVAL = [sys.executable, "-c", "import numpy, pydantic, typer, yaml"]
KINDS = {
    "sound campaigns of the package": sorted((ROOT / "campaigns").glob("*.yaml")),
    "refused files": sorted((ROOT / "tests" / "config" / "cases" / "refused").glob("*.yaml")),
}


def processor_s(line: list[str]) -> float:
    """Processor time of a process and its children, s."""
    before = os.times()
    subprocess.run(line, capture_output=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=5, help="runs of each command (default: 5)")
    num = parser.parse_args().num

    def typical_s(line: list[str]) -> float:
        return median(processor_s(line) for _ in range(num))

    rival_s = typical_s(RIVAL)
    print("| what | files | median, s | slowest, s | median / rival |\n|---|--:|--:|--:|--:|")
    print(f"| rival: libraries alone | | {rival_s:.2f} | | |")
    for kind, files in KINDS.items():
        seconds = {file.name: typical_s([*CHECK, str(file)]) for file in files}
        typical = median(seconds.values())
        slowest, most = max(seconds.items(), key=lambda item: item[1])
        print(
            f"| {kind} | {len(files)} | {typical:.2f} | {most:.2f} ({slowest}) |"
            f" {typical / rival_s:.1f} |"
        )


if __name__ == "__main__":
    main()
