"""Child process that runs FEFF10.

``process.EngineProcess`` starts it as ``python -m gcd_hpc.spectra.feff10_worker PARENT_PID HANDLE``
in a folder of its own. Each atom has a scratch folder within, which is deleted afterwards.
"""

import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import feff10
import numpy as np

from gcd_hpc.engines.serving import Arrays, serve
from gcd_hpc.errors import one_line
from gcd_hpc.processor import processor_s

_STAGES = {stage.executable_name: stage for stage in feff10.Stage.all()}
_NOT_CONVERGED = "Convergence not reached"


class Worker:
    """Answers jobs, which are input files of FEFF10 and the stages to be run."""

    def introduction(self) -> dict[str, Any]:
        """Version of the package."""
        return {"version": version("feff10-rs")}

    def answer(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Energies (M,) eV and absorption (M,) of the absorber, or why there are none."""
        before = processor_s()
        folder = Path(tempfile.mkdtemp(prefix="atom-", dir=".")).absolute()
        try:
            found = _absorption(folder, header)
            return {"cpu_s": processor_s() - before}, found
        except feff10.FeffError as error:
            stated = _first_line(str(error))
            said = {
                "error": one_line(f"{stated}: {_last_words(folder)}"),
                "killed": bool(re.search(r"signal: (9|15)\b", str(error))),
            }
            return said | {"cpu_s": processor_s() - before}, {}
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _absorption(folder: Path, header: dict[str, Any]) -> Arrays:
    """Run FEFF10 in a folder.

    Raises:
        feff10.FeffError: if a stage fails or the potentials do not converge.
    """
    stages = [_STAGES[name] for name in header["stages"]]
    given = feff10.FeffInput.parse_strict(header["input"])
    result = feff10.FeffPipeline(feff10.FeffConfig(str(folder), given, stages)).run()
    if _NOT_CONVERGED in _text(folder / "log1.dat"):
        raise feff10.FeffError("the self-consistent potentials did not converge")
    table = result.read_xmu(strict=True)
    return {"energies": np.array(table.column(0)), "absorption": np.array(table.column(3))}


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def _last_words(folder: Path) -> str:
    """Last lines of the log of the stage that ran last."""
    logs = sorted(folder.glob("log*.dat"), key=lambda path: path.stat().st_mtime_ns)
    lines = _text(logs[-1]).strip().splitlines() if logs else []
    return "; ".join(line.strip() for line in lines[-3:])


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


if __name__ == "__main__":
    serve(Worker, starts_others=True)
