"""The command that simulates images of structures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Results, one_of_these
from gcd_hpc.cli.output import written
from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from gcd_hpc.structures.projection import Axis

SUFFIXES = (".png", ".npy")


def image(
    run: Results,
    candidate: Annotated[str, typer.Argument(help="Candidate's id, such as search-000346.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="PNG or NPY file to write.")],
    axis: Annotated[
        str, one_of_these("--axis", ("x", "y"), "In-plane axis along which one looks.")
    ] = "x",
    pixel: Annotated[float, typer.Option("--pixel", help="Edge of a pixel, Å.", min=0.01)] = 0.2,
    blur: Annotated[
        float, typer.Option("--blur", help="Width of an atom at half of its height, Å.", min=0.01)
    ] = 0.8,
    noise: Annotated[
        float, typer.Option("--noise", help="Noise of a pixel, as a share of the contrast.", min=0)
    ] = 0.0,
    height: Annotated[
        float, typer.Option("--height", help="Height of the image, Å.", min=1, max=10_000)
    ] = 36.0,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Repeats of the cell side by side.", min=1, max=100)
    ] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the noise.", min=0)] = 0,
    boundary: Boundary = None,
) -> None:
    """Simulate the projected image of a relaxed structure, as guidance by an image compares it.

    The middle of the image is the middle of the boundary, and the upper grain is at its top. A PNG
    file holds 256 shades of grey, a NPY file atoms per Å^2.

    \b
    Examples:
      gcd-hpc image runs/w_sigma5 search-000346 --out haadf.npy
      gcd-hpc image runs/w_sigma5 search-000346 --axis y --noise 0.1 --out haadf.png
    """
    import numpy as np

    from gcd_hpc.browse.report.pictures import boundary_height
    from gcd_hpc.store.run import open_run
    from gcd_hpc.structures.projection import (
        MOST_PIXELS,
        SEEN,
        Pixels,
        noisy,
        projected,
        write_image,
    )

    if out.suffix not in SUFFIXES:
        raise GcdError(f"--out must end with {' or '.join(SUFFIXES)}, got {out}")
    row = open_run(one_run(run, boundary, "image"))[candidate]
    if row.tilt_a:
        raise GcdError(
            f"{candidate}: cannot be imaged, because its cell has no right angles in its plane"
        )
    if row.status != "ok":
        raise GcdError(f"{candidate}: cannot be imaged, because it was not relaxed ({row.status})")
    lengths = np.asarray(row.cell)[:2]
    seen_from = cast("Axis", axis)
    shape = (round(height / pixel), round(repeats * lengths[SEEN[seen_from]] / pixel))
    if shape[0] * shape[1] > MOST_PIXELS:
        raise GcdError(
            f"the image would have {shape[0]:,} x {shape[1]:,} pixels, and at most {MOST_PIXELS:,}"
            " are read; raise --pixel, or lower --height or --repeats"
        )
    pixels = Pixels(shape, pixel, 0.0, boundary_height(row) + height / 2)
    clean = projected(row.positions, lengths, seen_from, pixels, blur)
    write_image(out, noisy(clean, noise, np.random.default_rng(seed)))
    written(out, f"{shape[0]} rows and {shape[1]} columns")
