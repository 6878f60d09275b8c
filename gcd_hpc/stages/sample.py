"""In-painting of candidates under mpiexec with any number of ranks: ``mpiexec -n R python -m
gcd_hpc.stages.sample RUN VERSION``.

Every chunk is one part file, written whole by one rank; chunks on disk are done. Candidate i of a
round draws from its own random stream and shares its batch with the same neighbours on any number
of ranks, so it is the same to the last bit. ``sample_task`` makes the same chunks one by one in a
worker.
"""

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.diffusion.inpainting import inpaint, inpainting_denoiser
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.diffusion.repaint import repaint
from gcd_hpc.errors import GcdError, LaunchError
from gcd_hpc.files import replacing
from gcd_hpc.learning.assembly import Canvas, grid_of, known_mask
from gcd_hpc.learning.batches import NUM_CONDITIONS, ConditionScale, low_energy_weights
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.decoding import Decoder, load_decoder
from gcd_hpc.networks.checkpoint import load, load_weights
from gcd_hpc.networks.precision import autocast_dtype
from gcd_hpc.networks.unet import UNet
from gcd_hpc.seeds import SAMPLING, generator
from gcd_hpc.stages.launched import launcher_rank
from gcd_hpc.stages.ranking import (
    batches_of,
    fraction_distance,
    lowest_energies,
    lowest_learned,
    lowest_nearby,
    queue_entries,
    with_score,
)
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.result import StageResult
from gcd_hpc.store.hdf5 import Columns
from gcd_hpc.store.parts import read_columns, read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices, num_chunks
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.structures.energetics import closest_pair, n_fraction


@dataclass(frozen=True)
class Model:
    """A trained network with what it needs to be asked for candidates."""

    network: UNet
    version: int
    """The round it samples for, key of the candidates' random streams; the weights may be those of
    an earlier model.
    """
    sha256: str
    scale: float
    condition_scale: ConditionScale
    num_parts: int
    """Parts of a batch that its training summed."""
    lowest_energies: dict[float, float]
    """Lowest boundary energy of each [n] in the training set, J/m^2."""

    @classmethod
    def load(cls, path: Path, setting: BoundarySystem, device: torch.device) -> "Model":
        weights, metadata = load(path)
        network = UNet(setting.config.network, NUM_CONDITIONS)
        load_weights(network, weights, path)
        scale = ConditionScale(**metadata["condition_scale"])
        network = network.to(device).eval()
        return cls(
            network,
            metadata["version"],
            metadata["sha256"],
            metadata["scale"],
            scale,
            metadata.get("num_parts", 1),
            {},
        )

    def target(self, setting: BoundarySystem, index: int) -> tuple[float, float]:
        """(E_gb in J/m^2, [n]) that candidate ``index`` is asked to have: all fractions in turn,
        each a little below its known best.
        """
        num_plane = setting.bicrystal.atoms_per_plane
        fraction = index % num_plane / num_plane
        return (
            lowest_nearby(self.lowest_energies, fraction)
            - setting.config.sampling.energy_margin_j_m2,
            fraction,
        )


@dataclass(frozen=True)
class Draft:
    """One candidate before generation: its canvas, its noise and what it is asked for."""

    index: int
    canvas: Canvas
    noise: NDArray[np.float32]
    energy_j_m2: float
    fraction: float


def draft(setting: BoundarySystem, model: Model, known: Columns, index: int) -> Draft:
    """Registry, sub-voxel shift and noise of candidate ``index``: all its random draws."""
    config = setting.config
    rng = generator(config.seed, SAMPLING, model.version, index)
    grid = grid_of(setting.frame, config.voxels.shape)
    energy, fraction = model.target(setting, index)
    registry = draw_registry(setting, known, fraction, rng)
    canvas = Canvas(
        setting.frame, grid, config.voxels.known, registry, rng.random(3) * grid.spacing
    )
    if not config.diffusion.conditional:
        energy = fraction = float("nan")
    return Draft(index, canvas, rng.standard_normal(grid.shape, dtype=np.float32), energy, fraction)


def draw_registry(
    setting: BoundarySystem, known: Columns, fraction: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Where the upper grain sits: anywhere, or for a share of the candidates where a training
    structure has it (finding 2).

    Args:
        known: n_fraction, gb_energy_j_m2 and registry_relaxed of the training set.
        fraction: [n]; the registry comes from a structure of this [n], or of the nearest ones where
            the training set has none.
    """
    uniform, choice, jitter = (
        setting.frame.random_registry(rng),
        rng.random(),
        rng.standard_normal(3),
    )
    if choice >= setting.config.sampling.bootstrap_share:
        return uniform
    apart = np.array([fraction_distance(float(other), fraction) for other in known["n_fraction"]])
    matching = np.flatnonzero(np.isclose(apart, apart.min(), atol=1e-6))
    weights = low_energy_weights(
        known["gb_energy_j_m2"][matching], setting.config.selection.preference_j_m2
    )
    chosen = known["registry_relaxed"][rng.choice(matching, p=weights)]
    return setting.frame.reduced(chosen + setting.config.sampling.registry_jitter * jitter)


def generate(
    setting: BoundarySystem, model: Model, drafts: list[Draft], device: torch.device
) -> torch.Tensor:
    """Voxel arrays of a batch in units of atoms, known layers exactly as given. (B, X, Y, Z)"""
    config = setting.config
    schedule, prediction = Schedule(config.diffusion.schedule), config.diffusion.prediction
    known = (
        torch.stack([item.canvas.perfect() for item in drafts])[:, None].to(device) / model.scale
    )  # (B, 1, X, Y, Z)
    noise = torch.from_numpy(np.stack([item.noise for item in drafts]))[:, None].to(device)
    mask = known_mask(config.voxels.shape, config.voxels.known).to(device)
    condition = None
    if config.diffusion.conditional:
        wanted = [model.condition_scale(item.energy_j_m2, item.fraction) for item in drafts]
        condition = torch.from_numpy(np.stack(wanted)).to(device)
    shown = mask if config.diffusion.inpainting == "palette" else torch.zeros_like(mask)
    denoise = inpainting_denoiser(
        model.network, schedule, prediction, known, shown, condition, config.sampling.guidance
    )
    num_steps, solver, dtype = (
        config.sampling.num_steps,
        config.sampling.solver,
        autocast_dtype(config.training.precision, device),
    )
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
        if config.diffusion.inpainting == "palette":
            arrays = inpaint(denoise, noise, known, mask, schedule, num_steps, solver)
        else:
            draw = noise_source(config, model.version, drafts, device)
            arrays = repaint(
                denoise,
                noise,
                known,
                mask,
                schedule,
                num_steps,
                solver,
                config.sampling.resamples,
                draw,
            )
    return arrays[:, 0].float().cpu() * model.scale


def noise_source(
    config: CampaignConfig, version: int, drafts: list[Draft], device: torch.device
) -> Callable[[], torch.Tensor]:
    """Draws the noise of the steps of ``repaint`` (B, 1, X, Y, Z): from a stream of each candidate
    beside that of its draft.
    """
    streams = [generator(config.seed, SAMPLING, version, item.index, 1) for item in drafts]

    def draw() -> torch.Tensor:
        fresh = [rng.standard_normal(config.voxels.shape, dtype=np.float32) for rng in streams]
        return torch.from_numpy(np.stack(fresh))[:, None].to(device)

    return draw


def sample_chunk(
    setting: BoundarySystem,
    model: Model,
    known: Columns,
    decoder: Decoder,
    indices: range,
    device: torch.device,
) -> list[Candidate]:
    """Candidates of one chunk, decoded and checked but not relaxed."""
    size = setting.config.sampling.batch_size
    candidates = []
    for start in range(0, len(indices), size):
        started = time.perf_counter()
        drafts = [draft(setting, model, known, index) for index in indices[start : start + size]]
        arrays = generate(setting, model, drafts, device)
        decoded = [
            item.canvas.assemble(decoder(array)) for item, array in zip(drafts, arrays, strict=True)
        ]
        seconds = (time.perf_counter() - started) / len(drafts)
        candidates += [
            candidate(setting, model, item, positions, seconds)
            for item, positions in zip(drafts, decoded, strict=True)
        ]
    return candidates


@dataclass(frozen=True)
class Round:
    """What all chunks of one round have in common."""

    setting: BoundarySystem
    model: Model
    known: Columns
    """n_fraction, gb_energy_j_m2 and registry_relaxed of the training set."""
    decoder: Decoder
    device: torch.device

    @classmethod
    def open(cls, run_dir: Path, version: int, device: torch.device) -> "Round":
        """Round ``version`` with the weights of the model in use, asked for energies below those
        known when its own model was trained.
        """
        setting = load_boundary_system(str(run_dir))
        known = read_columns(
            [RunDirectory(run_dir).training_set(version)],
            ["n_fraction", "gb_energy_j_m2", "registry_relaxed"],
        )
        model = Model.load(
            RunDirectory(run_dir).model_file(RunDirectory(run_dir).model_in_use(version)),
            setting,
            device,
        )
        lowest = lowest_energies(known["n_fraction"], known["gb_energy_j_m2"])
        return cls(
            setting,
            replace(model, version=version, lowest_energies=lowest),
            known,
            load_decoder(run_dir, setting),
            device,
        )

    def candidates(self, indices: range) -> list[Candidate]:
        """Candidates of one chunk.

        The last batch is filled up and what is too much left out: the bits depend on a batch's
        size.
        """
        chunk_size, batch_size = (
            self.setting.config.sampling.chunk_size,
            self.setting.config.sampling.batch_size,
        )
        whole = min(chunk_size, -(-len(indices) // batch_size) * batch_size)
        filled = range(indices.start, indices.start + whole)
        return sample_chunk(
            self.setting, self.model, self.known, self.decoder, filled, self.device
        )[: len(indices)]


def candidate(
    setting: BoundarySystem,
    model: Model,
    item: Draft,
    positions: NDArray[np.float64],
    seconds: float,
) -> Candidate:
    """The row of one decoded structure: sampled, or invalid with the reason."""
    frame = setting.frame
    closest = closest_pair(positions, frame.lengths, (True, True, False))
    reason = objection(setting, len(positions), closest)
    return Candidate(
        id=candidate_id("model", model.version, item.index),
        source="model",
        version=model.version,
        round=model.version,
        index=item.index,
        seed=setting.config.seed,
        status="invalid" if reason else "sampled",
        reason=reason,
        registry=item.canvas.registry,
        target_energy_j_m2=item.energy_j_m2,
        target_n_fraction=item.fraction,
        num_atoms=len(positions),
        n_fraction=n_fraction(len(positions), frame.bicrystal.atoms_per_plane),
        closest_pair_a=closest,
        sample_s=seconds,
        model_sha256=model.sha256,
        potential_sha256=setting.potential.sha256,
        cohesive_ev=setting.bulk.cohesive_ev,
        area_a2=frame.bicrystal.area,
        surface_depth_a=setting.bulk.cutoff,
        atoms_per_plane=frame.bicrystal.atoms_per_plane,
        cell=frame.lengths,
        unrelaxed_positions=positions,
    )


def objection(setting: BoundarySystem, num_atoms: int, closest: float) -> str:
    """Why a decoded structure is not worth relaxing; empty if it is."""
    bicrystal, frame = setting.bicrystal, setting.frame
    shortest = setting.config.sampling.min_pair_distance * bicrystal.nearest_neighbor
    if closest < shortest:
        return f"closest pair {closest:.2f} Å, expected at least {shortest:.2f} Å"
    full = len(frame.join(np.zeros(3)))
    plane = max(bicrystal.lower.atoms_per_plane, bicrystal.upper.atoms_per_plane)
    if not full - 2 * plane <= num_atoms <= full + plane:
        return (
            f"{num_atoms} atoms, expected {full} less up to two planes or more by up to one plane"
            f" of {plane}"
        )
    return ""


def sample_task(run_dir: str, version: int, chunk: int) -> StageResult:
    """Make one whole chunk of a round in this worker, score it, and report in which order its
    batches are worth relaxing.

    A chunk on disk is not made again; the report is the same.
    """
    torch.set_num_threads(1)  # more would change the order of sums, and with it the last bits
    folder, setting = Path(run_dir), load_boundary_system(run_dir)
    sampling, path = setting.config.sampling, RunDirectory(folder).sampled_part(version, chunk)
    if path.exists():
        rows = read_part(path)
    else:
        indices = range(chunk * sampling.chunk_size, (chunk + 1) * sampling.chunk_size)
        child = worker_child(run_dir)
        rows = [
            with_score(setting, child, row)
            for row in kept_round(run_dir, version).candidates(indices)
        ]
        write_part(path, rows, campaign_provenance(setting.config))
    batches = batches_of(
        rows, lowest_learned(folder, version), num_chunks(sampling.chunk_size, sampling.relax_batch)
    )
    num_invalid = sum(row.status == "invalid" for row in rows)
    num_plane = setting.bicrystal.atoms_per_plane
    return StageResult(
        num=len(rows),
        ok=len(rows) - num_invalid,
        invalid=num_invalid,
        seconds=sum(row.sample_s for row in rows),
        atoms_per_plane=num_plane,
        queue=queue_entries(batches, num_plane),
    )


@functools.lru_cache(maxsize=1)  # one: models of earlier rounds are not needed again
def kept_round(run_dir: str, version: int) -> Round:
    """The round that this worker samples, kept over all its chunks."""
    return Round.open(
        Path(run_dir), version, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )


def main(arguments: list[str]) -> int:
    from mpi4py import MPI  # initialises MPI: only where this stage is run

    run_dir, version = Path(arguments[0]), int(arguments[1])
    rank, num_ranks = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size
    on_node = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED).rank
    device = (
        torch.device("cuda", on_node % torch.cuda.device_count())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )
    torch.set_num_threads(1)  # more would change the order of sums, and with it the last bits
    started = time.perf_counter()
    try:
        if num_ranks == 1 < launcher_rank()[1]:
            raise LaunchError(
                f"expected {launcher_rank()[1]} MPI ranks, as many as were started, got 1 each; try"
                " srun --mpi=pmi2 or pmix"
            )
        setting = load_boundary_system(str(run_dir))
        num, size = setting.config.sampling.num_candidates, setting.config.sampling.chunk_size
        this_round = Round.open(run_dir, version, device)
        for chunk in range(rank, num_chunks(num, size), num_ranks):
            path = RunDirectory(run_dir).sampled_part(version, chunk)
            if not path.exists():
                write_part(
                    path,
                    this_round.candidates(chunk_indices(num, size, chunk)),
                    campaign_provenance(setting.config),
                )
                print(f"chunk {chunk} by rank {rank} of {num_ranks}", flush=True)
        if rank == 0:
            with replacing(RunDirectory(run_dir).sampling_progress(version)) as temporary:
                temporary.write_text(
                    json.dumps({"num_steps": num, "seconds": time.perf_counter() - started})
                )
    except GcdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
