"""The stages of a campaign, one entry each: a new stage is one entry here and one module."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic_core import core_schema

from gcd_hpc.store.run_directory import RunDirectory

Stage = str
"""The name of a stage: a key of ``STAGES``."""
Mode = Literal["barrier", "asynchronous"]
Pool = Literal["training", "sampling", "relaxation"]
POOLS: tuple[Pool, ...] = ("training", "sampling", "relaxation")
WHOLE = -1
"""Chunk of a task that is all of its stage."""
_LONGEST_NAME = 40


@dataclass(frozen=True)
class StageSpec:
    """Everything that the driver, the workers and the tables know of a stage."""

    name: Stage
    doing: str
    """Words for the progress line."""
    module: str
    function: str
    """Function of the module that carries out one task in a worker: its first argument is the run
    directory.
    """
    arguments: Callable[[int, int, int], tuple[int, ...]]
    """Further arguments of the function, from version, chunk and relaxation batches of a chunk."""
    pool: Pool
    """Workers that the stage's tasks are for; see ``pool_of``."""
    unit: str
    """Things that the stage counts."""
    sections: tuple[str, ...]
    """Sections of the campaign file that the stage's results depend on, beside the stages before
    it. The budget is in none of them, so that a campaign may grow.
    """
    product: Callable[[RunDirectory, int, int], Path]
    """File that a task leaves, from run directory, version and chunk."""
    colour: str
    """Colour in figures, from the set of Okabe and Ito, which the colour-blind can tell apart."""
    launcher: Literal["torchrun", "mpiexec"] | None = None
    """Program that starts the module as one parallel job; in asynchronous mode mpiexec is not used
    and the function is called chunk by chunk.
    """
    progress: Callable[[RunDirectory, int], Path] | None = None
    """File that a launched stage writes anew from time to time, beside its log: from run directory
    and version.
    """
    is_relaxation: bool = False
    """One task for each chunk; its candidates are relaxed and count as tried."""


_SPECS = (
    StageSpec(
        "search",
        doing="searching at random",
        module="gcd_hpc.stages.search",
        function="search_chunk",
        arguments=lambda version, chunk, num_batches: (chunk,),
        pool="relaxation",
        unit="tries",
        sections=("boundary", "potential", "search", "relaxation", "seed"),
        product=lambda run, version, chunk: run.search_part(chunk),
        colour="#0072b2",
        is_relaxation=True,
    ),
    StageSpec(
        "select",
        doing="selecting the training set",
        module="gcd_hpc.stages.select",
        function="select",
        arguments=lambda version, chunk, num_batches: (version,),
        pool="relaxation",
        unit="training sets",
        sections=("selection", "seed"),
        product=lambda run, version, chunk: run.training_set(version),
        colour="#e69f00",
    ),
    StageSpec(
        "train",
        doing="training the model",
        module="gcd_hpc.stages.train",
        function="train",
        arguments=lambda version, chunk, num_batches: (version,),
        pool="training",
        unit="steps",
        sections=("voxels", "decoder", "diffusion", "network", "training", "seed"),
        product=lambda run, version, chunk: run.model_file(version),
        colour="#cc79a7",
        launcher="torchrun",
        progress=RunDirectory.training_progress,
    ),
    StageSpec(
        "promote",
        doing="comparing it with the model before",
        module="gcd_hpc.stages.promote",
        function="promote",
        arguments=lambda version, chunk, num_batches: (version,),
        pool="sampling",
        unit="canaries",
        sections=("promotion", "sampling", "relaxation", "diffusion", "seed"),
        product=lambda run, version, chunk: run.promotion(version),
        colour="#b59f00",
    ),
    StageSpec(
        "sample",
        doing="sampling the model",
        module="gcd_hpc.stages.sample",
        function="sample_task",
        arguments=lambda version, chunk, num_batches: (version, chunk),
        pool="sampling",
        unit="candidates",
        sections=("sampling", "decoder", "seed"),
        product=lambda run, version, chunk: run.sampled_part(version, chunk),
        colour="#d55e00",
        launcher="mpiexec",
    ),
    StageSpec(
        "relax",
        doing="relaxing its candidates",
        module="gcd_hpc.stages.relax",
        function="relax_chunk",
        arguments=lambda version, chunk, num_batches: (version, chunk, num_batches),
        pool="relaxation",
        unit="candidates",
        sections=("relaxation", "seed"),
        product=lambda run, version, chunk: run.relaxed_part(version, chunk),
        colour="#009e73",
        is_relaxation=True,
    ),
)
STAGES: dict[Stage, StageSpec] = {spec.name: spec for spec in _SPECS}
"""In the order in which they take turns: the first once, the others once a round."""
SEARCH, *ROUND = STAGES
"""The stage that begins a campaign; the stages of each round."""
MODULES: dict[Stage, str] = {spec.name: spec.module for spec in _SPECS}


@dataclass(frozen=True, order=True)
class Task:
    """One unit of work: a chunk of the search, or of version ``version`` of the model everything
    else.
    """

    stage: Stage
    version: int = 0
    chunk: int = WHOLE

    @property
    def name(self) -> str:
        """``search-00012``, ``train-01`` or ``relax-01-00003``: the name in the ledger and of the
        log file.
        """
        version = f"-{self.version:02d}" if self.stage != SEARCH else ""
        return f"{self.stage}{version}" + (f"-{self.chunk:05d}" if self.chunk != WHOLE else "")

    @property
    def phase(self) -> tuple[Stage, int]:
        """Stage and version: what the task is a part of."""
        return self.stage, self.version

    @property
    def is_whole_sampling(self) -> bool:
        """One parallel job makes all chunks of a round, each a file with its own record."""
        return self.chunk == WHOLE and STAGES[self.stage].launcher == "mpiexec"

    @classmethod
    def parse(cls, name: str) -> "Task":
        """The task of a name.

        Raises:
            ValueError: if no task has this name.
        """
        stage, *numbers = name.split("-")
        if stage in STAGES and len(name) < _LONGEST_NAME and all(map(_is_number, numbers)):
            values = [int(number) for number in numbers]
            version_and_chunk = [*([0] if stage == SEARCH else []), *values, WHOLE]
            task = cls(stage, *version_and_chunk[:2])
            has_chunk = task.chunk != WHOLE or not STAGES[stage].is_relaxation
            if task.name == name and has_chunk:
                return task
        raise ValueError(f"expected the name of a task, got {name[:_LONGEST_NAME]!r}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """In JSON a task is its name."""
        return core_schema.no_info_after_validator_function(
            cls.parse,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda task: task.name),
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def is_launched(stage: Stage, mode: Mode) -> bool:
    """True if the stage runs as one parallel job of its own, not as function calls in workers."""
    launcher = STAGES[stage].launcher
    return launcher == "torchrun" or (launcher == "mpiexec" and mode == "barrier")


def pool_of(stage: Stage, mode: Mode) -> Pool:
    """Workers that a stage's tasks belong to: where stages take turns, functions are called by the
    relaxation workers.
    """
    if mode == "barrier" and not is_launched(stage, mode):
        return "relaxation"
    return STAGES[stage].pool


def phase_name(stage: Stage, version: int) -> str:
    """``search``, ``train-01``: a stage of one round."""
    return f"{stage}-{version:02d}" if version else stage


def phase_order(phase: tuple[Stage, int]) -> tuple[int, int]:
    """Key to sort phases by, in the order in which they take turns."""
    stage, version = phase
    return version, list(STAGES).index(stage)
