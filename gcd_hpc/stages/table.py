"""Table of the stages of a campaign. A new stage is one entry here and one module."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import core_schema

from gcd_hpc.config.site import Pool
from gcd_hpc.store.run_directory import RunDirectory

Stage = str
"""Name of a stage, a key of ``STAGES``."""
PhaseCounter = Annotated[
    Counter[tuple[Stage, int]],
    PlainSerializer(lambda counter: list(counter.items())),
    BeforeValidator(lambda pairs: {tuple(phase): num for phase, num in pairs}),
]
"""Number of something in each phase; a list of pairs in JSON, whose keys are text."""
Mode = Literal["barrier", "asynchronous"]
Kind = Literal["boundary", "material"]
"""What a campaign is about. Each kind has stages of its own."""
WHOLE = -1
"""Chunk number of a task that covers its whole stage."""
_LONGEST_NAME = 40


@dataclass(frozen=True)
class StageSpec:
    """Properties of a stage, for the driver, the workers and the tables."""

    name: Stage
    doing: str
    """Activity, for the progress line."""
    module: str
    function: str
    """Module function that runs one task in a worker; its first argument is the run directory."""
    pool: Pool
    """Pool of workers for the stage's tasks; see ``pool_of``."""
    unit: str
    """Unit of the stage's counts."""
    sections: tuple[str, ...]
    """Sections of the campaign file that determine the results, beside the earlier stages.

    The budget is not among them, so that a campaign can be extended.
    """
    product: Callable[[RunDirectory, int, int], Path]
    """Product of a task, from run directory, round and chunk."""
    colour: str
    """Colour in figures, from the Okabe-Ito palette for colour-blind readers."""
    arguments: Callable[[int, int, int], tuple[int, ...]] = lambda round, chunk, num_batches: (
        round,
        chunk,
    )
    """Further arguments, from round, chunk and number of relaxation batches of a chunk."""
    launcher: Literal["torchrun", "mpiexec"] | None = None
    """Launcher that runs the module as one parallel job.

    In asynchronous mode mpiexec is not used; the function is called chunk by chunk instead.
    """
    progress: Callable[[RunDirectory, int], Path] | None = None
    """File that a launched stage updates while it works, from run directory and round."""
    kind: Kind = "boundary"
    """Kind of campaign that the stage belongs to."""
    is_chunked: bool = False
    """True if each chunk is a task of its own in every mode."""
    is_counted: bool = False
    """True if the candidates of its tasks count as tried, and their best values are compared."""
    feeds: Stage | None = None
    """Stage whose task of the same round and chunk needs the product of this one alone."""
    is_once: bool = False
    """True if the stage runs once, before the first round, so that its tasks name no round."""


_SPECS = (
    StageSpec(
        "search",
        doing="searching at random",
        module="gcd_hpc.stages.search",
        function="search_chunk",
        arguments=lambda round, chunk, num_batches: (chunk,),
        pool="relaxation",
        unit="tries",
        sections=(
            "boundary",
            "engine",
            "potential",
            "calculator",
            "search",
            "ranking",
            "relaxation",
            "seed",
        ),
        product=lambda run, round, chunk: run.search_part(chunk),
        colour="#0072b2",
        is_chunked=True,
        is_counted=True,
        is_once=True,
    ),
    StageSpec(
        "select",
        doing="selecting the training set",
        module="gcd_hpc.stages.select",
        function="select",
        arguments=lambda round, chunk, num_batches: (round,),
        pool="relaxation",
        unit="training sets",
        sections=("selection", "seed"),
        product=lambda run, round, chunk: run.training_set(round),
        colour="#e69f00",
    ),
    StageSpec(
        "train",
        doing="training the model",
        module="gcd_hpc.stages.train",
        function="train",
        arguments=lambda round, chunk, num_batches: (round,),
        pool="training",
        unit="steps",
        sections=("voxels", "decoder", "diffusion", "network", "training", "explore", "seed"),
        product=lambda run, round, chunk: run.model_file(round),
        colour="#cc79a7",
        launcher="torchrun",
        progress=RunDirectory.training_progress,
    ),
    StageSpec(
        "promote",
        doing="comparing it with the model before",
        module="gcd_hpc.stages.promote",
        function="promote",
        arguments=lambda round, chunk, num_batches: (round,),
        pool="sampling",
        unit="canaries",
        sections=("promotion", "sampling", "guidance", "relaxation", "diffusion", "seed"),
        product=lambda run, round, chunk: run.promotion(round),
        colour="#b59f00",
    ),
    StageSpec(
        "sample",
        doing="sampling the model",
        module="gcd_hpc.stages.sample",
        function="sample_task",
        pool="sampling",
        unit="candidates",
        sections=("sampling", "guidance", "decoder", "seed"),
        product=lambda run, round, chunk: run.sampled_part(round, chunk),
        colour="#d55e00",
        launcher="mpiexec",
    ),
    StageSpec(
        "relax",
        doing="relaxing its candidates",
        module="gcd_hpc.stages.relax",
        function="relax_chunk",
        arguments=lambda round, chunk, num_batches: (round, chunk, num_batches),
        pool="relaxation",
        unit="candidates",
        sections=("relaxation", "seed"),
        product=lambda run, round, chunk: run.relaxed_part(round, chunk),
        colour="#009e73",
        is_chunked=True,
        is_counted=True,
    ),
    StageSpec(
        "explore",
        doing="exploring from the best structures",
        module="gcd_hpc.stages.explore",
        function="explore_chunk",
        pool="relaxation",
        unit="moves",
        sections=("explore", "guidance", "search", "ranking", "relaxation", "seed"),
        product=lambda run, round, chunk: run.explored_part(round, chunk),
        colour="#56b4e9",
        is_chunked=True,
        is_counted=True,
    ),
    StageSpec(
        "quench",
        doing="quenching melts",
        module="gcd_hpc.stages.material_quench",
        function="quench",
        pool="relaxation",
        unit="tasks",
        sections=("material", "potential", "structures", "quench", "relaxation", "seed"),
        product=lambda run, round, chunk: run.quenched_part(chunk),
        colour="#0072b2",
        kind="material",
        feeds="label",
        is_chunked=True,
        is_counted=True,
        is_once=True,
    ),
    StageSpec(
        "label",
        doing="computing spectra of the quenches",
        module="gcd_hpc.stages.material_label",
        function="label",
        pool="relaxation",
        unit="tasks",
        sections=("labelling", "target", "seed"),
        product=lambda run, round, chunk: run.labelled_part(chunk),
        colour="#56b4e9",
        kind="material",
        is_chunked=True,
        is_once=True,
    ),
    StageSpec(
        "gather",
        doing="gathering the training set",
        module="gcd_hpc.stages.material_gather",
        function="gather",
        pool="relaxation",
        unit="training sets",
        sections=("selection", "seed"),
        product=lambda run, round, chunk: run.training_set(round),
        colour="#e69f00",
        kind="material",
    ),
    StageSpec(
        "fit",
        doing="training the prior and the property network",
        module="gcd_hpc.stages.material_fit",
        function="fit",
        pool="training",
        unit="steps",
        sections=("prior", "property_network", "target", "seed"),
        product=lambda run, round, chunk: run.model_file(round),
        colour="#cc79a7",
        launcher="torchrun",
        progress=RunDirectory.training_progress,
        kind="material",
    ),
    StageSpec(
        "guide",
        doing="sampling with and without guidance",
        module="gcd_hpc.stages.material_guide",
        function="guide",
        pool="sampling",
        unit="samples",
        sections=("sampling", "guidance", "seed"),
        product=lambda run, round, chunk: run.sampled_part(round, chunk),
        colour="#d55e00",
        kind="material",
        feeds="settle",
        is_chunked=True,
    ),
    StageSpec(
        "settle",
        doing="relaxing the samples",
        module="gcd_hpc.stages.material_settle",
        function="settle",
        pool="relaxation",
        unit="samples",
        sections=("relaxation", "seed"),
        product=lambda run, round, chunk: run.settled_part(round, chunk),
        colour="#009e73",
        kind="material",
        feeds="verify",
        is_chunked=True,
    ),
    StageSpec(
        "verify",
        doing="computing spectra of the samples",
        module="gcd_hpc.stages.material_verify",
        function="verify",
        pool="relaxation",
        unit="samples",
        sections=("labelling", "seed"),
        product=lambda run, round, chunk: run.relaxed_part(round, chunk),
        colour="#b59f00",
        kind="material",
        is_chunked=True,
        is_counted=True,
    ),
)
STAGES: dict[Stage, StageSpec] = {spec.name: spec for spec in _SPECS}
"""Stages of each kind in order. Those of a boundary: the first runs once, the others once a round.
Before the first round there is exploration and, in a campaign that starts from a model, sampling
and relaxation.
"""


def stages_of(kind: Kind) -> list[Stage]:
    """Stages of one kind of campaign, in order."""
    return [spec.name for spec in _SPECS if spec.kind == kind]


SEARCH, *ROUND = stages_of("boundary")
"""First stage of the campaign of a boundary, and the stages of each round."""
QUENCH, LABEL = "quench", "label"
MATERIAL_ROUND = stages_of("material")[2:]
"""Stages before the first round of the campaign of a material, and those of each round."""
EXPLORE = "explore"
SAMPLES: tuple[Stage, ...] = ("sample", "relax")
"""Stages that make the candidates of a model."""
SHARED: tuple[Stage, ...] = ("train", "promote")
"""Stages that a set of boundaries runs once for all of them."""
MODULES: dict[Stage, str] = {spec.name: spec.module for spec in _SPECS}


@dataclass(frozen=True, order=True)
class Task:
    """Unit of work: one chunk, or a whole stage, of one round (0 before the first)."""

    stage: Stage
    round: int = 0
    chunk: int = WHOLE

    @property
    def name(self) -> str:
        """Name of the task and its log: ``search-00012``, ``train-01``, ``relax-01-00003``."""
        round = f"-{self.round:02d}" if not STAGES[self.stage].is_once else ""
        return f"{self.stage}{round}" + (f"-{self.chunk:05d}" if self.chunk != WHOLE else "")

    @property
    def phase(self) -> tuple[Stage, int]:
        """Stage and round of the task."""
        return self.stage, self.round

    def needing(self) -> "Iterator[Task]":
        """Tasks that need this one and no other, and those that need them."""
        stage = STAGES[self.stage].feeds
        if stage is not None:
            task = Task(stage, self.round, self.chunk)
            yield task
            yield from task.needing()

    @property
    def is_whole_sampling(self) -> bool:
        """True if one parallel job makes all chunks of a round, each with its own record."""
        return self.chunk == WHOLE and STAGES[self.stage].launcher == "mpiexec"

    @classmethod
    def parse(cls, name: str) -> "Task":
        """Parse the name of a task.

        Raises:
            ValueError: if no task has this name.
        """
        stage, *numbers = name.split("-")
        if stage in STAGES and len(name) < _LONGEST_NAME and all(map(_is_number, numbers)):
            values = [int(number) for number in numbers]
            round_and_chunk = [*([0] if STAGES[stage].is_once else []), *values, WHOLE]
            task = cls(stage, *round_and_chunk[:2])
            has_chunk = task.chunk != WHOLE or not STAGES[stage].is_chunked
            if task.name == name and has_chunk:
                return task
        raise ValueError(f"expected the name of a task, got {name[:_LONGEST_NAME]!r}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Schema for JSON, where a task is written as its name."""
        return core_schema.no_info_after_validator_function(
            cls.parse,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda task: task.name),
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def is_launched(stage: Stage, mode: Mode) -> bool:
    """True if a stage runs as one parallel job, false if as function calls in workers."""
    launcher = STAGES[stage].launcher
    return launcher == "torchrun" or (launcher == "mpiexec" and mode == "barrier")


def pool_of(stage: Stage, mode: Mode) -> Pool:
    """Pool that runs a stage's tasks; in barrier mode relaxation workers run all functions."""
    if mode == "barrier" and not is_launched(stage, mode):
        return "relaxation"
    return STAGES[stage].pool


def phase_name(stage: Stage, round: int) -> str:
    """Name of a phase, a stage of one round, such as ``search`` or ``train-01``.

    ``explore`` is that before the first round, and ``sample-00`` samples the model that the
    campaign starts from.
    """
    return f"{stage}-{round:02d}" if round or stage in SAMPLES else stage


def phase_order(phase: tuple[Stage, int]) -> tuple[int, int]:
    """Sort key that puts phases in the order of their execution."""
    stage, round = phase
    return round, list(STAGES).index(stage)
