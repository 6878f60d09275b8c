"""Promotion: a new model replaces the one in use unless its loss or its canaries are worse.

Canaries are a few candidates with the same random numbers for every model, whose energies after a
loose relaxation are compared.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.config.campaign import MOST_ROUNDS, CampaignConfig, PromotionConfig
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import CheckpointError, SimulationError
from gcd_hpc.files import replacing
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import unrelaxed_atoms
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.learning.sampler import Model, Sampler
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import Objective, Process, training_batches
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.shared import MAX_CANARY_BOUNDARIES, hand_over, learned_runs
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.train import source_of
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate


@dataclass(frozen=True)
class Canaries:
    """Outcome of the canaries of one model."""

    sha256: str
    """Hash of the model that made them."""
    num: int
    invalid: int
    failed: int
    median_energy_j_m2: float | None
    """Median energy after the loose screen, in a set the mean of those of its boundaries; None if
    no canary of a boundary was relaxed.
    """
    boundaries: tuple[str, ...] = ()
    """Boundaries of a set that the canaries are of."""

    @property
    def bad_share(self) -> float:
        """Share of invalid and failed canaries."""
        return (self.invalid + self.failed) / self.num

    @property
    def median(self) -> float:
        """Median energy in J/m^2, infinite if no canary was relaxed."""
        return math.inf if self.median_energy_j_m2 is None else self.median_energy_j_m2


@dataclass(frozen=True)
class Verdict:
    """Promotion decision, the content of promotion.json."""

    model: int
    """Model in use from this round on."""
    promoted: bool
    reason: str
    loss: float | None = None
    """Hold-out loss of the new model."""
    old_loss: float | None = None
    canaries: Canaries | None = None
    old_canaries: Canaries | None = None


def promote(run_dir: str, version: int) -> StageResult:
    """Decide whether model ``version`` replaces the one in use, and write the verdict."""
    torch.set_num_threads(1)
    begun = begin(Task("promote", version))
    run = RunDirectory(run_dir)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    verdict = judge(run, version, device)
    canaries = verdict.canaries or Canaries("", 0, 0, 0, None)
    result = StageResult(
        num=canaries.num,
        ok=canaries.num - canaries.failed - canaries.invalid,
        failed=canaries.failed,
        invalid=canaries.invalid,
        seconds=begun.seconds(),
        model=verdict.model,
        promoted=verdict.promoted,
        reason=verdict.reason,
    )
    with replacing(run.promotion(version)) as temporary:
        content = asdict(verdict) | begun.attribute(result)
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    return result


def judge(run: RunDirectory, version: int, device: torch.device) -> Verdict:
    """Compare model ``version`` with the one in use before it.

    That of a set is compared on the training sets of all its boundaries, and makes the canaries of
    a few of them.
    """
    runs = learned_runs(run, version)
    config = load_boundary_system(str(runs[0].path)).config.promotion
    loss = checked_loss(run.model_file(version))
    if config.num_canaries == 0:
        return Verdict(
            version, True, "promotion.num_canaries is 0: promoted without canaries", loss
        )
    few = evenly(runs, MAX_CANARY_BOUNDARIES)
    canaries = make_canaries(run, few, version, device)
    if version == run.first_model:
        return Verdict(version, True, "the first model", loss, canaries=canaries)
    # Compare loss and canaries with those of the model in use.
    old = model_in_use(run, version - 1)
    old_canaries = known_canaries(run, few, old, config.num_canaries) or make_canaries(
        run, few, old, device
    )
    sources = [source_of(one, version) for one in runs]
    losses = hold_out_losses(run, sources, version, (version, old), device)
    objections = find_objections(config, (losses[version], losses[old]), canaries, old_canaries)
    reason = (
        "; ".join(objections)
        or f"neither its hold-out loss nor its canaries are worse than those of model {old}"
    )
    promoted = not objections
    return Verdict(
        version if promoted else old,
        promoted,
        reason,
        finite(losses[version]),
        finite(losses[old]),
        canaries,
        old_canaries,
    )


def checked_loss(path: Path) -> float:
    """Hold-out loss of a model, after a check that its file is intact and its numbers finite.

    Raises:
        CheckpointError: if it fails the check; the file is removed, and the model trained again.
    """
    try:
        loss = load_model(path)[1].validation_loss
        if not math.isfinite(loss):
            raise CheckpointError(
                f"{path}: the hold-out loss {loss:g} is not finite; train the model anew"
            )
    except CheckpointError as error:
        if not path.exists():
            raise
        path.unlink()
        raise CheckpointError(
            f"{error}; the file was removed, so that the same command does so"
        ) from error
    return loss


def find_objections(
    config: PromotionConfig, losses: tuple[float, float], new: Canaries, old: Canaries
) -> list[str]:
    """Reasons against the new model: measures that are worse by more than the campaign allows.

    Args:
        losses: hold-out losses of the new and the old model.
    """
    loss, old_loss = losses
    objections = []
    if not math.isfinite(loss) or loss > config.max_loss_ratio * old_loss:
        objections.append(
            f"hold-out loss {loss:.4g}, expected at most {config.max_loss_ratio:g} times the"
            f" {old_loss:.4g} before"
        )
    if new.median > old.median + config.max_energy_rise_j_m2:
        expected = (
            f"expected at most {config.max_energy_rise_j_m2:g} above the {old.median:.3f} before"
        )
        objections.append(f"median energy of the canaries {new.median:.3f} J/m^2, {expected}")
    if new.bad_share > old.bad_share + config.max_invalid_rise:
        expected = (
            f"expected at most {config.max_invalid_rise:.0%} more than the {old.bad_share:.0%}"
            " before"
        )
        objections.append(f"{new.bad_share:.0%} of the canaries invalid or failed, {expected}")
    return objections


def finite(value: float) -> float | None:
    """The value, or None if it is not finite, because JSON has no NaN."""
    return value if math.isfinite(value) else None


def hold_out_losses(
    run: RunDirectory,
    sources: Sequence[TrainingSource],
    version: int,
    models: tuple[int, ...],
    device: torch.device,
) -> dict[int, float]:
    """Loss of several models (EMA weights) on the batches that validated model ``version``.

    Args:
        run: holds the models.
        sources: training sets of ``version``; the loss is the mean over them.
    """
    system = sources[0].system
    losses = {}
    for number in models:
        model = Model.load(run.model_file(number), system, device, number)
        _, held = training_batches(sources, model.card.units, version)
        objective = Objective(system.config, device)
        parts = Process(device, num_parts=model.card.num_parts)
        losses[number] = float(np.mean(objective.validate(model.network, held, parts)))
    return losses


def evenly(runs: Sequence[RunDirectory], num: int) -> list[RunDirectory]:
    """At most ``num`` of the runs, the first and the last among them, evenly apart."""
    places = np.linspace(0, len(runs) - 1, min(num, len(runs))).round().astype(int)
    return [runs[place] for place in places.tolist()]


def known_canaries(
    files: RunDirectory, few: Sequence[RunDirectory], version: int, num: int
) -> Canaries | None:
    """Recorded canaries of model ``version``, if they are of this model, of the same boundaries
    and as many; else None.

    A damaged record counts as none, and the canaries are made again.

    Args:
        few: runs of these boundaries.
        num: number of canaries of each of them.
    """
    names = tuple(sorted(one.path.name for one in few if files.is_set()))
    try:
        recorded = Canaries(**json.loads(files.promotion(version).read_bytes())["canaries"])
        counts = recorded.num, recorded.invalid, recorded.failed
        is_whole = all(isinstance(count, int) for count in counts) and recorded.median >= -math.inf
        is_same = tuple(recorded.boundaries) == names
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return None
    sha256 = load_model(files.model_file(version))[1].sha256
    is_same &= (recorded.num, recorded.sha256) == (num * len(few), sha256)
    return recorded if is_whole and is_same else None


def canary_round(config: CampaignConfig) -> int:
    """Round number of canaries, which the campaign does not sample.

    All models of a campaign share these random streams. A campaign that starts from a model samples
    round 0, and none has more than MOST_ROUNDS.
    """
    return 0 if config.model is None else MOST_ROUNDS + 1


def make_canaries(
    files: RunDirectory, few: Sequence[RunDirectory], version: int, device: torch.device
) -> Canaries:
    """Generate and screen the canaries of one model, for one boundary or a few of a set."""
    each = []
    for run in few:
        if files.is_set() and version:
            hand_over(files, run, Task("train", version))
        each.append(canaries_of(run.path, version, device))
    medians = [one.median_energy_j_m2 for one in each if one.median_energy_j_m2 is not None]
    return Canaries(
        each[0].sha256,
        sum(one.num for one in each),
        sum(one.invalid for one in each),
        sum(one.failed for one in each),
        float(np.mean(medians)) if len(medians) == len(each) else None,
        tuple(sorted(one.path.name for one in few if files.is_set())),
    )


def canaries_of(run_dir: Path, version: int, device: torch.device) -> Canaries:
    """Canaries of one boundary.

    Registries and targets come from its first training set, so that all models share them.
    """
    first = Sampler.load(run_dir, 1, device, version)
    config = first.system.config
    num = config.promotion.num_canaries
    rows = replace(first, round=canary_round(config)).sample(range(num))
    energies = [
        screened_energy(run_dir, first.system, row) for row in rows if row.status == "sampled"
    ]
    good = [energy for energy in energies if energy is not None]
    median = float(np.median(good)) if good else None
    num_invalid, num_failed = num - len(energies), len(energies) - len(good)
    return Canaries(first.model.card.sha256, num, num_invalid, num_failed, median)


def screened_energy(run_dir: Path, system: BoundarySystem, row: Candidate) -> float | None:
    """Boundary energy of a canary after the loose screen, J/m^2; None if it failed."""
    atoms = unrelaxed_atoms(system, row)
    try:
        child, relaxation = worker_child(str(run_dir)), system.config.relaxation
        return relax_boundary(
            child, atoms, system.bicrystal, system.bulk, relaxation, finish=False
        ).gb_energy_j_m2
    except SimulationError:
        return None
