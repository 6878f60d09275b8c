"""Paths of the files in a run directory; no other module knows their names.

A part file is named by its chunk's number and exists only once the chunk is complete.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.files import is_leftover

_LEVELS = 4
"""Number of folders searched upwards for the run directory: RUN/parts/model-01/relaxed."""


@dataclass(frozen=True, init=False)
class RunDirectory:
    """Paths of one run; methods that list, test or delete, and ``first_model``, read the disk."""

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
        """Whether the folder holds a campaign or at least candidates of one."""
        return any(map(Path.exists, (self.config, self.ledger, self.results, self._parts(""))))

    def is_set(self) -> bool:
        """Whether the folder is the run directory of a set of boundaries."""
        return self.config.is_file() and self.boundaries.is_dir()

    def remove_leftovers(self) -> int:
        """Delete temporary files of killed writers, while nobody writes; return their number."""
        names = ("parts", "models", "tasks", "potential", "targets", "quarantine", "phases")
        folders = (self.path / name for name in names)
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
        """Computed bulk crystal: lattice constant, cohesive energy and cutoff."""
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
    def targets(self) -> Path:
        """Folder with copies of the measured files that guidance names."""
        return self.path / "targets"

    @property
    def tiles(self) -> Path:
        """Structures of smaller cells, repeated to this one, that the search begins with."""
        return self.path / "tiles.h5"

    @property
    def pause(self) -> Path:
        """Flag file of the driver: while it exists, training writes a checkpoint and ends."""
        return self.path / "pause"

    @property
    def results(self) -> Path:
        """All relaxed candidates in one file, written when the campaign ends."""
        return self.path / "results.h5"

    @property
    def summary(self) -> Path:
        """Summary page of the results, in Markdown."""
        return self.path / "summary.md"

    @property
    def figure(self) -> Path:
        """Boundary energy against [n], drawn when the campaign ends."""
        return self.path / "egb_vs_n.png"

    @property
    def overview(self) -> Path:
        """Boundary energy against misorientation, drawn when the campaign of a set ends."""
        return self.path / "overview.png"

    def rescored(self, engine: str) -> Path:
        """Candidates of this run as another engine relaxed them."""
        return self.path / "rescored" / f"{engine}.h5"

    # Phases.

    @property
    def phases(self) -> Path:
        """Folder of what was measured of the run's phases."""
        return self.path / "phases"

    def measured(self, kind: str, phase: str) -> Path:
        """Record of one measurement of a phase; its arrays lie beside it.

        Args:
            kind: of the measurement, such as ``excess``.
            phase: name of the phase as ``Phase.file_name`` spells it, such as ``1of5-1``.
        """
        return self.phases / kind / f"{phase}.json"

    def measured_arrays(self, kind: str, phase: str) -> Path:
        """Arrays of one measurement of a phase."""
        return self.measured(kind, phase).with_suffix(".h5")

    def measuring(self, kind: str, phase: str, question: str) -> Path:
        """Folder of what an unfinished measurement has found so far.

        Args:
            question: hash of what is measured, so that other settings have another folder.
        """
        return self.phases / kind / f"{phase}-{question[:12]}.unfinished"

    def kept_files(self) -> list[Path]:
        """Files of a run that an archive keeps as they are.

        Records of the crystal, the inputs, the potential, the models and what was measured or
        computed beside the candidates. An archive holds campaign, ledger and candidates otherwise.
        """
        single = (self.bulk, self.inputs, self.strained, self.tiles, self.summary, self.figure)
        folders = ("potential/*", "rescored/*.h5", "phases/*/*")
        models = ("models/*.safetensors", "models/*/model.safetensors", "models/*/promotion.json")
        found = [path for pattern in (*folders, *models) for path in self.path.glob(pattern)]
        return sorted(
            path for path in (*single, *found) if path.is_file() and not is_leftover(path)
        )

    # Members of a set.

    @property
    def boundaries(self) -> Path:
        """Folder of a set's members, each of which has a run directory in it."""
        return self.path / "boundaries"

    def member(self, name: str) -> "RunDirectory":
        """Run directory of one member of a set."""
        return RunDirectory(self.boundaries / name)

    @property
    def around_member(self) -> "RunDirectory | None":
        """Run directory of the set that this one is a member of, or None."""
        folder = self.path.absolute().parent
        whole = RunDirectory(folder.parent)
        is_member = folder == whole.boundaries and whole.is_set()
        return whole if is_member else None

    # Candidates in parts.

    def search_part(self, chunk: int) -> Path:
        """Relaxed structures of one chunk of the seed search."""
        return self._parts("search") / part_name(chunk)

    def sampled_part(self, version: int, chunk: int) -> Path:
        """Decoded, unrelaxed structures of one chunk of model ``version``."""
        return self.sampled_dir(version) / part_name(chunk)

    def relaxed_part(self, version: int, chunk: int) -> Path:
        """Relaxed structures of one chunk of model ``version``."""
        return self._parts(f"model-{version:02d}") / "relaxed" / part_name(chunk)

    def explored_part(self, round: int, chunk: int) -> Path:
        """Relaxed structures of one chunk of the exploration in a round."""
        return self._parts(f"explore-{round:02d}") / part_name(chunk)

    def quenched_part(self, chunk: int) -> Path:
        """Quenched or given structures of one chunk, with which a material's campaign begins."""
        return self._parts("quench") / part_name(chunk)

    def labelled_part(self, chunk: int) -> Path:
        """Spectra of atoms of the structures of one chunk of ``quenched_part``."""
        return self._parts("label") / part_name(chunk)

    def settled_part(self, version: int, chunk: int) -> Path:
        """Relaxed samples of one chunk of model ``version`` of a material, before verification."""
        return self._parts(f"model-{version:02d}") / "settled" / part_name(chunk)

    def verified_spectra(self, version: int, chunk: int) -> Path:
        """Spectra of atoms of the samples in one chunk of ``settled_part``."""
        return self._parts(f"model-{version:02d}") / "spectra" / part_name(chunk)

    def sampled_dir(self, version: int) -> Path:
        """Folder of the sampled structures of model ``version``."""
        return self._parts(f"model-{version:02d}") / "sampled"

    def search_parts(self) -> list[Path]:
        """Parts of the seed search on disk."""
        return parts_in(self._parts("search"))

    def quenched_parts(self) -> list[Path]:
        """Parts on disk with quenched or given structures."""
        return parts_in(self._parts("quench"))

    def sampled_parts(self, version: int) -> list[Path]:
        """Parts on disk with sampled structures of model ``version``."""
        return parts_in(self.sampled_dir(version))

    def relaxed_parts(self, version: int) -> list[Path]:
        """Parts on disk with relaxed structures of model ``version``."""
        return parts_in(self.relaxed_part(version, 0).parent)

    def explored_parts(self, round: int) -> list[Path]:
        """Parts on disk of the exploration in a round."""
        return parts_in(self.explored_part(round, 0).parent)

    def known_parts(self, version: int) -> list[Path]:
        """Relaxed parts on disk of all rounds before ``version``; search and quench are in round 0.

        In asynchronous mode earlier rounds may still add parts.
        """
        return [part for earlier in range(version) for part in self._relaxed_in(earlier)]

    def all_relaxed_parts(self) -> list[Path]:
        """All relaxed parts on disk: those of the search and of each round."""
        return self.known_parts(max([*self.versions(), *self.explored_rounds()], default=0) + 1)

    def _relaxed_in(self, round: int) -> list[Path]:
        first = [] if round else self.search_parts() + self.quenched_parts()
        return first + self.relaxed_parts(round) + self.explored_parts(round)

    def part_folders(self) -> list[Path]:
        """Folders of part files: search or quench, those of each model, explored."""
        return [
            self._parts("search"),
            self._parts("quench"),
            *(self.sampled_dir(version) for version in self.versions()),
            *(self.settled_part(version, 0).parent for version in self.versions()),
            *(self.relaxed_part(version, 0).parent for version in self.versions()),
            *(self.explored_part(round, 0).parent for round in self.explored_rounds()),
        ]

    def versions(self) -> list[int]:
        """Ascending versions of the models that have folders of parts."""
        return self._numbers_of("model")

    def explored_rounds(self) -> list[int]:
        """Ascending rounds that have a folder of explored parts."""
        return self._numbers_of("explore")

    def _numbers_of(self, kind: str) -> list[int]:
        names = (one.name.removeprefix(f"{kind}-") for one in self._parts("").glob(f"{kind}-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _parts(self, folder: str) -> Path:
        return self.path / "parts" / folder

    # Models.

    def model_dir(self, version: int) -> Path:
        """Folder of one model: training set, checkpoint, weights and verdict."""
        return self.path / "models" / f"{version:02d}"

    def training_set(self, version: int) -> Path:
        """Training set of model ``version``."""
        return self.model_dir(version) / "training.h5"

    def sources(self, version: int) -> Path:
        """Boundaries of a set whose training sets model ``version`` learns from."""
        return self.model_dir(version) / "sources.json"

    def training_sets(self) -> list[Path]:
        """Training sets on disk."""
        return sorted(self.path.glob("models/*/training.h5"))

    def training_state(self, version: int) -> Path:
        """Checkpoint of an unfinished training."""
        return self.model_dir(version) / "state.pt"

    def training_progress(self, version: int) -> Path:
        """Steps, loss and seconds of a training, updated while it runs."""
        return self.model_dir(version) / "progress.json"

    def training_progresses(self) -> list[Path]:
        """Progress files of all trainings on disk."""
        return sorted(self.path.glob("models/*/progress.json"))

    def model_file(self, version: int) -> Path:
        """Weights and model card; version 0 is a copy of the model that a campaign starts from."""
        return self.model_dir(version) / "model.safetensors"

    def property_model(self, version: int) -> Path:
        """Property network of round ``version`` of a material, written before ``model_file``."""
        return self.model_dir(version) / "property.safetensors"

    def property_losses(self, version: int) -> Path:
        """Course of the loss of the property network of a round, written when it is trained."""
        return self.model_dir(version) / "property_losses.json"

    @property
    def first_model(self) -> int:
        """Version of the first model: 0 if the campaign started from one."""
        return 0 if self.model_file(0).exists() else 1

    def promotion(self, version: int) -> Path:
        """Verdict on model ``version``: whether it is promoted, and the model in use since."""
        return self.model_dir(version) / "promotion.json"

    @property
    def decoder_file(self) -> Path:
        """Learned decoder, shared by all models of a campaign that uses one."""
        return self.path / "models" / "decoder.safetensors"

    @property
    def energy_model(self) -> Path:
        """Copy of the energy model of the campaign."""
        return self.path / "models" / "energy.safetensors"

    # Tasks and processes.

    def begun(self, task: str) -> Path:
        """Heartbeat file of a running task: the time of its begin, s since the epoch, and cores."""
        return self.path / "tasks" / f"{task}.begun"

    def begun_tasks(self) -> list[str]:
        """Names of the tasks that have a heartbeat file; a killed worker leaves its own behind."""
        return sorted(path.stem for path in (self.path / "tasks").glob("*.begun"))

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    def log(self, task: str) -> Path:
        """Standard output and standard error of a launched task."""
        return self.logs / f"{task}.log"

    @property
    def workers_log(self) -> Path:
        """Log of the worker pools (Parsl)."""
        return self.logs / "parsl.log"

    @property
    def workers_files(self) -> Path:
        """Folder of Parsl's own files."""
        return self.path / "runinfo"

    def quarantine(self, candidate: str) -> Path:
        """Folder of a candidate on which gcd-hpc itself failed, with input and traceback."""
        return self.path / "quarantine" / candidate


def part_name(chunk: int) -> str:
    """File name of the part of a chunk."""
    return f"part-{chunk:05d}.h5"


def parts_in(folder: Path) -> list[Path]:
    """Parts in one folder, in the order of their chunks."""
    return sorted(folder.glob("part-*.h5"))


def part_number(part: Path) -> int:
    """Chunk number of a part."""
    return int(part.stem.removeprefix("part-"))


def chunk_indices(num: int, chunk_size: int, chunk: int) -> range:
    """Indices of the items in one chunk; the last chunk may be shorter than ``chunk_size``."""
    return range(chunk * chunk_size, min(num, (chunk + 1) * chunk_size))


def num_chunks(num: int, chunk_size: int) -> int:
    """Number of chunks that ``num`` items fill, rounded up."""
    return -(-num // chunk_size)
