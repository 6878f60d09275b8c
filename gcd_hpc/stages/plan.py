"""Plan of a campaign: its phases, their tasks, and the numbers that the policy decides by."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.stages.merit import MERITS, Merit
from gcd_hpc.stages.result import Count
from gcd_hpc.stages.table import (
    EXPLORE,
    LABEL,
    MATERIAL_ROUND,
    QUENCH,
    ROUND,
    SAMPLES,
    SEARCH,
    STAGES,
    Kind,
    Mode,
    Stage,
    Task,
    is_launched,
    phase_name,
    phase_order,
    stages_of,
)
from gcd_hpc.store.run_directory import num_chunks

ENOUGH_OF_THE_SEARCH = 0.95
Positive = Annotated[int, Field(ge=1, le=10**9)]


@dataclass(frozen=True)
class Plan:
    """Numbers that the policy decides by: chunks of each stage, budget, and pool sizes."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )

    num_search_chunks: Count
    num_sample_chunks: Count
    rounds: Count
    wall_time_s: float | None = None
    target_energy_j_m2: float | None = None
    plateau_rounds: int = 0
    max_quarantined: float = 0.05
    until: str | None = None
    """Last phase to run, such as ``search`` or ``train-01``; None for all."""
    mode: Mode = "barrier"
    num_batches: Positive = 1
    """Number of relaxation tasks of one sampled chunk."""
    relaxation_workers: Positive = 1
    sampling_workers: Positive = 1
    retrain_after: int = 40
    max_model_lag: int = 1
    chunk_sizes: dict[str, int] = field(default_factory=dict)
    """Number of candidates of one task, by stage."""
    num_explore_chunks: Count = 0
    """Number of exploration tasks of one generation."""
    generations: Count = 0
    """Largest number of generations of exploration in a round."""
    patience: Count = 0
    """Number of generations in a row without an improvement that end a round's exploration."""
    has_model: bool = False
    """True if the campaign starts from a model, which round 0 samples."""
    kind: Kind = "boundary"
    num_quench_chunks: Count = 0
    """Number of tasks that make the first structures of a material, and as many that label them."""
    target_error: float | None = None
    """Spectrum error at which the campaign of a material ends."""

    @classmethod
    def of(
        cls, config: CampaignConfig | MaterialConfig, site: SiteConfig, until: str | None = None
    ) -> "Plan":
        """Plan of a campaign on a resolved site.

        Raises:
            LaunchError: if ``until`` names no phase of this campaign.
        """
        if isinstance(config, MaterialConfig):
            plan = cls._of_material(config, site, until)
        else:
            plan = cls._of_boundary(config, site, until)
        known = [phase_name(stage, round) for stage, round in plan.all_phases()]
        if until is not None and until not in known:
            raise LaunchError(
                f"--until {until} is no phase of this campaign; choose one of"
                f" {', '.join(known[:7])}{' ...' if len(known) > 7 else ''}"
            )
        return plan

    @classmethod
    def _of_material(cls, config: MaterialConfig, site: SiteConfig, until: str | None) -> "Plan":
        budget = config.budget
        relaxation_workers, sampling_workers = _num_workers(site)
        return cls(
            num_search_chunks=0,
            num_sample_chunks=config.num_sample_chunks,
            rounds=budget.rounds,
            wall_time_s=budget.wall_time_s,
            max_quarantined=budget.max_quarantined,
            until=until,
            relaxation_workers=relaxation_workers,
            sampling_workers=sampling_workers,
            # Tasks that need one that was set aside are set aside too, and only these counted.
            chunk_sizes={
                LABEL: 1 if config.quench is None else config.quench.chunk_size,
                "verify": config.sampling.chunk_size,
            },
            kind="material",
            num_quench_chunks=config.num_quench_chunks,
            target_error=budget.target_error,
        )

    @classmethod
    def _of_boundary(cls, config: CampaignConfig, site: SiteConfig, until: str | None) -> "Plan":
        budget, sampling = config.budget, config.sampling
        is_split = site.mode == "asynchronous"
        batch = min(sampling.relax_batch, sampling.chunk_size) if is_split else sampling.chunk_size
        relaxation_workers, sampling_workers = _num_workers(site)
        return cls(
            num_search_chunks=num_chunks(config.search.num_tries, config.search.chunk_size),
            num_sample_chunks=num_chunks(sampling.num_candidates, sampling.chunk_size),
            rounds=budget.rounds,
            wall_time_s=budget.wall_time_s,
            target_energy_j_m2=budget.target_energy_j_m2,
            plateau_rounds=budget.plateau_rounds,
            max_quarantined=budget.max_quarantined,
            until=until,
            mode=site.mode,
            num_batches=num_chunks(sampling.chunk_size, sampling.relax_batch) if is_split else 1,
            relaxation_workers=relaxation_workers,
            sampling_workers=sampling_workers,
            retrain_after=config.selection.retrain_after,
            max_model_lag=sampling.max_model_lag,
            chunk_sizes={
                SEARCH: config.search.chunk_size,
                "sample": sampling.chunk_size,
                "relax": batch,
                EXPLORE: config.explore.moves_per_task,
            },
            num_explore_chunks=config.explore.tasks_per_generation,
            generations=config.explore.generations,
            patience=config.explore.patience,
            has_model=config.model is not None,
        )

    @property
    def needs_mpi(self) -> bool:
        """True if a stage of this kind of campaign is launched with MPI."""
        return any(STAGES[stage].launcher == "mpiexec" for stage in stages_of(self.kind))

    @property
    def merit(self) -> Merit:
        """Figure of merit of the candidates."""
        return MERITS[self.kind]

    @property
    def target(self) -> float | None:
        """Figure of merit at which the campaign ends."""
        return self.target_error if self.kind == "material" else self.target_energy_j_m2

    def exploration_note(self, explore: ExploreConfig) -> str:
        """Sentence about workers that a generation of exploration has no task for, or ""."""
        num_tasks, num_workers = explore.tasks_per_generation, self.relaxation_workers
        if not self.generations or num_workers <= num_tasks:
            return ""
        cure = "more explore.chains would use more"
        if explore.chains_per_task > 1:
            cure = f"explore.chains_per_task: 1 makes it {explore.chains}, " + cure
        return (
            f"Exploration uses {num_tasks} of {num_workers} workers, for a generation has"
            f" {num_tasks} tasks; {cure}."
        )

    def num_tasks(self, stage: Stage) -> int:
        """Number of tasks of a stage in one round, as far as known in advance."""
        if not STAGES[stage].is_chunked:
            return 1
        if stage == EXPLORE:
            return self.generations * self.num_explore_chunks
        first = {SEARCH: self.num_search_chunks, QUENCH: self.num_quench_chunks}
        first[LABEL] = self.num_quench_chunks
        return first.get(stage, self.num_sample_chunks)

    def num_needed(self, stage: Stage) -> int:
        """Number of tasks after which the next stage may begin.

        In asynchronous mode the last tasks of the search do not delay it, except before the samples
        of round 0, whose targets follow from the whole search.
        """
        num = self.num_tasks(stage)
        is_whole = self.mode == "barrier" or self.until is not None or self.has_model
        return ceil(num * ENOUGH_OF_THE_SEARCH) if stage == SEARCH and not is_whole else num

    def tasks(self, stage: Stage, round: int) -> list[Task]:
        """Tasks of one phase."""
        if not STAGES[stage].is_chunked:
            return [Task(stage, round)]
        return [Task(stage, round, chunk) for chunk in range(self.num_tasks(stage))]

    def generation(self, task: Task) -> int:
        """Generation of an exploration task within its round; 0 for all other tasks.

        The tasks of a generation need all earlier generations.
        """
        return task.chunk // max(1, self.num_explore_chunks) if task.stage == EXPLORE else 0

    def order(self, task: Task) -> tuple[int, int, int]:
        """Sort key that puts tasks in the order in which they need each other."""
        return (*phase_order(task.phase), self.generation(task))

    def is_turn(self, stage: Stage, num_done: int) -> bool:
        """True if after so many tasks of a phase other tasks may begin.

        That is at the end of the phase and, in exploration, of each generation.
        """
        size = max(1, self.num_explore_chunks)
        is_generation = stage == EXPLORE and num_done % size == 0
        return is_generation or num_done == self.num_needed(stage)

    def all_phases(self) -> Iterator[tuple[Stage, int]]:
        """Phases in order of execution; in asynchronous mode only those up to the first model."""
        if self.kind == "material":
            yield from ((QUENCH, 0), (LABEL, 0))
            for round in range(1, self.rounds + 1):
                yield from ((stage, round) for stage in MATERIAL_ROUND)
            return
        if self.num_search_chunks:
            yield SEARCH, 0
        if self.has_model and self.mode == "asynchronous":
            return
        if self.has_model and self.num_sample_chunks:
            yield from ((stage, 0) for stage in SAMPLES)
        yield from self._exploration(0)
        for round in range(1, self.rounds + 1):
            for stage in ROUND:
                if self.mode == "asynchronous" and (round > 1 or stage in SAMPLES):
                    return
                if stage in SAMPLES and not self.num_sample_chunks:
                    continue
                if stage != EXPLORE:
                    yield stage, round
            yield from self._exploration(round)

    def _exploration(self, round: int) -> Iterator[tuple[Stage, int]]:
        if self.generations:
            yield EXPLORE, round

    @property
    def num_sampled_rounds(self) -> int:
        """Number of rounds whose model is sampled."""
        return self.rounds + self.has_model

    @property
    def needs_launchers(self) -> bool:
        """True if the campaign trains or samples, with torch and, for boundaries, MPI."""
        learns = self.rounds > 0 or self.has_model
        return (learns and self.until is None) or any(
            is_launched(stage, self.mode) for stage, _ in self.phases()
        )

    def phases(self) -> Iterator[tuple[Stage, int]]:
        """Phases up to ``until``."""
        for stage, round in self.all_phases():
            yield stage, round
            if self.until == phase_name(stage, round):
                return


def _num_workers(site: SiteConfig) -> tuple[int, int]:
    """Number of relaxation and of sampling workers on a resolved site."""
    jobs = site.blocks.max_blocks if site.driver == "login" else 1
    return site.relaxation.num_workers * jobs, site.sampling.num_workers * jobs
