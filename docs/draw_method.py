"""The two figures of ``method.md`` that show a real model at work: ``python docs/draw_method.py
runs/w_sigma5``.

Takes the relaxed structure of lowest energy that the first model found, and makes that candidate
again while watching the voxels.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gcd_hpc
from gcd_hpc.diffusion.inpainting import inpaint, inpainting_denoiser
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid

FIGURES = Path(__file__).parent / "figures"
BLUE, RED = "#1f5fa8", "#c8322b"
COLOURS = "Blues"


def main() -> None:
    """Write figures/method-encoder.png and figures/method-inpainting.png."""
    run_dir = Path(sys.argv[1])
    best = gcd_hpc.open_run(run_dir).select("version=1").lowest(1)[0]
    around = Sampler.load(run_dir, 1, "cpu")
    states, positions = watched(around, best.index)
    draw_encoder(around, states[-1], positions)
    draw_inpainting(around, states, positions, best.gb_energy_j_m2)


def watched(around: Sampler, index: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The voxels (X, Y, Z) at the start, after a third of the steps, two thirds and all, in units
    of atoms; and the atoms (N, 3) Å.
    """
    setting, model = around.system, around.model
    config, item = setting.config, around.draft(index)
    known = item.canvas.perfect()[None] / model.card.units.scale
    mask = known_mask(config.voxels.shape, config.voxels.known)
    condition = torch.from_numpy(around.conditions(item.energy_j_m2, item.fraction))[None]
    schedule, seen = Schedule(config.diffusion.schedule), []
    denoise = inpainting_denoiser(
        model.network,
        schedule,
        config.diffusion.prediction,
        known,
        mask,
        condition,
        config.sampling.guidance,
    )

    def watching(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(torch.where(mask, known, x)[0, 0] * model.card.units.scale)
        return denoise(x, t)

    num_steps = config.sampling.num_steps
    with torch.inference_mode():
        noise = torch.from_numpy(item.noise)[None]
        final = (
            inpaint(watching, noise, known, mask, schedule, num_steps, config.sampling.solver)[0]
            * model.card.units.scale
        )
    atoms = item.canvas.assemble(around.decoder(final)).positions + item.canvas.shift
    states = [seen[0], seen[num_steps // 2], seen[3 * num_steps // 4], final[0]]
    return [state.numpy() for state in states], atoms


def draw_encoder(around: Sampler, array: np.ndarray, positions: np.ndarray) -> None:
    """What becomes of one atom, and one layer of atoms with its voxels."""
    spacing = np.diag(around.system.frame.cell) / array.shape
    layer = array.shape[2] // 4
    figure = Figure(figsize=(9.0, 3.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    one, atoms, voxels = figure.subplots(1, 3)
    atom = (1.3, 1.6)
    weights = encode(
        torch.tensor([[*atom, 1.0]], dtype=torch.float64), Grid((4, 4, 3), (4.0, 4.0, 3.0))
    )[:, :, 1].numpy()
    _show(one, weights.T, (1.0, 1.0), "one atom: shares of its mass")
    for place, weight in np.ndenumerate(weights):
        if weight > 0:
            one.text(
                *place,
                f"{weight:.2f}",
                ha="center",
                va="center",
                color="white" if weight > 0.3 else "black",
                fontsize=9,
            )
    one.plot(*atom, "o", color=RED, markersize=7)
    one.set(xlabel="voxel", ylabel="voxel", aspect="equal")
    near = np.abs(positions[:, 2] - layer * spacing[2]) < spacing[2]
    edges = array.shape[:2] * spacing[:2]
    _show(voxels, array[:, :, layer].T, (spacing[0], spacing[1]), "their voxels")
    for axes, size in ((atoms, 90), (voxels, 14)):
        axes.scatter(
            *(positions[near, :2] % edges).T,
            s=size,
            color=BLUE if axes is atoms else RED,
            edgecolors="none",
        )
        axes.set(
            xlim=(-spacing[0] / 2, edges[0]),
            ylim=(-spacing[1] / 2, edges[1]),
            aspect="equal",
            xlabel="x (Å)",
            ylabel="y (Å)",
        )
    atoms.set_title("atoms of one layer of a grain", fontsize=9, loc="left")
    figure.savefig(FIGURES / "method-encoder.png")


def draw_inpainting(
    around: Sampler, states: list[np.ndarray], positions: np.ndarray, energy: float
) -> None:
    """Noise between two perfect grains becomes a boundary."""
    pitch, width = (
        around.system.frame.height / states[0].shape[2],
        around.system.frame.bicrystal.cell[0][0] / states[0].shape[0],
    )
    known = around.system.config.voxels.known * pitch
    figure = Figure(figsize=(9.0, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(states) + 1, 1, sharex=True)
    titles = (
        "noise between two known grains",
        "half of the solver's steps",
        "three quarters",
        "the generated array",
    )
    for axes, state, title in zip(rows, states, titles, strict=False):
        _show(axes, state.sum(axis=1), (pitch, width), title)
        axes.set(xlabel="", ylabel="x (Å)")
        for edge in (known, state.shape[2] * pitch - known):
            axes.axvline(edge - pitch / 2, color=RED, linewidth=1.0, linestyle="--")
    rows[-1].scatter(
        positions[:, 2],
        positions[:, 0] % (width * states[0].shape[0]),
        s=14,
        color=BLUE,
        edgecolors="none",
    )
    title = (
        f"its atoms, {len(positions)}: nobody told the model how many; after relaxation"
        f" {energy:.3f} J/m$^2$"
    )
    rows[-1].set(xlabel="z (Å)", ylabel="x (Å)")
    rows[-1].set_title(title, fontsize=9, loc="left")
    figure.savefig(FIGURES / "method-inpainting.png")


def _show(axes: Axes, rows: np.ndarray, pitch: tuple[float, float], title: str) -> None:
    """A map of voxels, the second index to the right, with their width and height in Å."""
    extent = (
        -pitch[0] / 2,
        (rows.shape[1] - 0.5) * pitch[0],
        -pitch[1] / 2,
        (rows.shape[0] - 0.5) * pitch[1],
    )
    axes.imshow(
        rows,
        cmap=COLOURS,
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=0.0,
        vmax=float(np.quantile(rows, 0.995)),
    )
    axes.set_title(title, fontsize=9, loc="left")


if __name__ == "__main__":
    main()
