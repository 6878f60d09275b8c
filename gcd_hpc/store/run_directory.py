"""The files of a run directory: the only place that knows their names.

Chunks are named by their number, so that a chunk on disk is a chunk done.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.errors import CheckpointError
from gcd_hpc.files import is_leftover

_LEVELS = 4
"""Folders that a file of candidates may lie below its run directory: RUN/parts/model-01/relaxed."""


@dataclass(frozen=True, init=False)
class RunDirectory:
    """Paths of one run. Nothing here looks at the disk, except the methods that list files and
    ``model_in_use``.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))

    @classmethod
    def around(cls, file: Path) -> "RunDirectory | None":
        """The run directory that a file of candidates lies in, or None."""
        for folder in list(file.absolute().parents)[:_LEVELS]:
            run = cls(folder)
            if run.config.is_file() or run.bulk.is_file():
                return run
        return None

    def is_run(self) -> bool:
        """Whether this is the folder of a run, at least of some of its candidates."""
        known = (self.config, self.ledger, self.results, self._parts(""))
        return any(path.exists() for path in known)

    def remove_leftovers(self) -> int:
        """Delete what killed writers left, only where a run has files, and return how many. Only
        while nobody writes there.
        """
        folders = (
            self.path / name for name in ("parts", "models", "tasks", "potential", "quarantine")
        )
        hidden = [*self.path.glob(".*"), *(path for one in folders for path in one.rglob(".*"))]
        leftovers = [path for path in hidden if is_leftover(path)]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    # The campaign as a whole.

    @property
    def config(self) -> Path:
        """Resolved campaign file."""
        return self.path / "campaign.yaml"

    @property
    def ledger(self) -> Path:
        """Log of the campaign: one event a line."""
        return self.path / "events.jsonl"

    @property
    def inputs(self) -> Path:
        """Hashes of what the products of the campaign depend on."""
        return self.path / "inputs.json"

    @property
    def bulk(self) -> Path:
        """The bulk crystal as it was measured: lattice constant, cohesive energy and cutoff."""
        return self.path / "bulk.json"

    @property
    def potential(self) -> Path:
        """Folder with copies of all files of the potential, which the stages read."""
        return self.path / "potential"

    @property
    def strained(self) -> Path:
        """Measured response of the upper grain to the strain that makes it fit."""
        return self.path / "strained.json"

    @property
    def pause(self) -> Path:
        """There while a driver wants training to write a checkpoint and end."""
        return self.path / "pause"

    @property
    def results(self) -> Path:
        """All relaxed candidates in one file, written when the campaign ends."""
        return self.path / "results.h5"

    @property
    def summary(self) -> Path:
        """What the campaign found, in one page."""
        return self.path / "summary.md"

    @property
    def figure(self) -> Path:
        """Boundary energy against [n], drawn when the campaign ends."""
        return self.path / "egb_vs_n.png"

    # Candidates in parts.

    def search_part(self, chunk: int) -> Path:
        """Relaxed structures of one chunk of the seed search."""
        return self._parts("search") / part_name(chunk)

    def sampled_part(self, version: int, chunk: int) -> Path:
        """Decoded, unrelaxed structures of one chunk of model ``version``."""
        return self.sampled_dir(version) / part_name(chunk)

    def relaxed_part(self, version: int, chunk: int) -> Path:
        """The same chunk after relaxation."""
        return self._parts(f"model-{version:02d}") / "relaxed" / part_name(chunk)

    def sampled_dir(self, version: int) -> Path:
        """Folder of the sampled structures of model ``version``."""
        return self._parts(f"model-{version:02d}") / "sampled"

    def search_parts(self) -> list[Path]:
        """Parts of the seed search on disk."""
        return parts_in(self._parts("search"))

    def sampled_parts(self, version: int) -> list[Path]:
        """Parts on disk of what model ``version`` sampled."""
        return parts_in(self.sampled_dir(version))

    def relaxed_parts(self, version: int) -> list[Path]:
        """Parts on disk of what was relaxed of model ``version``."""
        return parts_in(self.relaxed_part(version, 0).parent)

    def known_parts(self, version: int) -> list[Path]:
        """Relaxed parts on disk of the search and of all models before ``version``; in
        asynchronous mode those models go on meanwhile.
        """
        return self.search_parts() + [
            part for earlier in range(1, version) for part in self.relaxed_parts(earlier)
        ]

    def all_relaxed_parts(self) -> list[Path]:
        """All relaxed parts on disk: the search's first, then each model's."""
        return self.known_parts(max(self.versions(), default=0) + 1)

    def part_folders(self) -> list[Path]:
        """Folders of parts: the search's, then those of each model."""
        return [
            self._parts("search"),
            *(self.sampled_dir(version) for version in self.versions()),
            *(self.relaxed_part(version, 0).parent for version in self.versions()),
        ]

    def versions(self) -> list[int]:
        """Versions of the models that have sampled."""
        names = (folder.name.removeprefix("model-") for folder in self._parts("").glob("model-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _parts(self, folder: str) -> Path:
        return self.path / "parts" / folder

    # Models.

    def model_dir(self, version: int) -> Path:
        """Folder of everything about one model."""
        return self.path / "models" / f"{version:02d}"

    def training_set(self, version: int) -> Path:
        """Structures that model ``version`` learns from."""
        return self.model_dir(version) / "training.h5"

    def training_sets(self) -> list[Path]:
        """Training sets on disk."""
        return sorted(self.path.glob("models/*/training.h5"))

    def training_state(self, version: int) -> Path:
        """Checkpoint of a training that is not over."""
        return self.model_dir(version) / "state.pt"

    def training_progress(self, version: int) -> Path:
        """Steps, loss and seconds of a training, renewed while it goes on."""
        return self.model_dir(version) / "progress.json"

    def training_progresses(self) -> list[Path]:
        """Progress of all trainings on disk."""
        return sorted(self.path.glob("models/*/progress.json"))

    def model_file(self, version: int) -> Path:
        """Weights and model card."""
        return self.model_dir(version) / "model.safetensors"

    def promotion(self, version: int) -> Path:
        """Verdict on model ``version``: is it promoted, and which model is in use since."""
        return self.model_dir(version) / "promotion.json"

    @property
    def decoder_file(self) -> Path:
        """The learned decoder, if the campaign uses one; all models share it."""
        return self.path / "models" / "decoder.safetensors"

    def model_in_use(self, version: int) -> int:
        """The model that round ``version`` samples with: itself if it was promoted, else the one
        in use before.

        The first model is in use as soon as it is trained, for there is no other.

        Raises:
            CheckpointError: if a later model was not compared with the one before yet, or if what
                is written of it cannot be read.
        """
        path = self.promotion(version)
        try:
            return int(json.loads(path.read_text())["model"])
        except FileNotFoundError:
            if version == 1:
                return 1
            raise CheckpointError(
                f"{path}: expected the verdict on model {version}, got no such file; promote it"
                " first"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: expected the model in use, got {error!r}; remove the file and promote"
                " again"
            ) from error

    # Tasks and processes.

    def begun(self, task: str) -> Path:
        """Heartbeat file of a running task; a worker that was killed leaves it behind."""
        return self.path / "tasks" / f"{task}.begun"

    def begun_tasks(self) -> list[str]:
        """Names of the tasks that have a heartbeat file."""
        return sorted(path.stem for path in (self.path / "tasks").glob("*.begun"))

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    def log(self, task: str) -> Path:
        """What a launched task wrote to its terminal."""
        return self.logs / f"{task}.log"

    @property
    def workers_log(self) -> Path:
        """Log of the pools of workers."""
        return self.logs / "parsl.log"

    @property
    def workers_files(self) -> Path:
        """Folder of the files that the pools of workers write for themselves."""
        return self.path / "runinfo"

    def quarantine(self, candidate: str) -> Path:
        """Folder that keeps a candidate on which our own code failed."""
        return self.path / "quarantine" / candidate


def part_name(chunk: int) -> str:
    """File name of the part that holds a chunk."""
    return f"part-{chunk:05d}.h5"


def parts_in(folder: Path) -> list[Path]:
    """Parts in one folder, in the order of their chunks."""
    return sorted(folder.glob("part-*.h5"))


def part_number(part: Path) -> int:
    """Number of the chunk that a part holds."""
    return int(part.stem.removeprefix("part-"))


def chunk_indices(num: int, chunk_size: int, chunk: int) -> range:
    """Indices of the items in one chunk."""
    return range(chunk * chunk_size, min(num, (chunk + 1) * chunk_size))


def num_chunks(num: int, chunk_size: int) -> int:
    """Chunks that hold all items."""
    return -(-num // chunk_size)
