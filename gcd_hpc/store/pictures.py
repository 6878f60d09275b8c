"""Small pictures of runs and candidates for notebooks, as SVG text that needs no library."""

from collections.abc import Iterable

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

SCALE = 8.0
"""Pixels per Å in a picture of a structure."""
MAX_WIDTH = 640
"""Width of a picture, pixels."""
LARGEST_EXCESS_EV = 0.5
"""Energy of an atom above the crystal's that is drawn in full red, eV."""
NUM_POINTS = 2000
"""Largest number of points in a picture of a run; the lowest are drawn."""


def structure_svg(
    positions: np.ndarray, numbers: np.ndarray, excess_ev: np.ndarray | None = None
) -> str:
    """A slab seen along x and, below it, along y; the boundary normal points to the right.

    Args:
        positions: (N, 3) Å.
        numbers: atomic numbers, (N,).
        excess_ev: energy of each atom above the crystal's, (N,), which colours the atoms from
            white to red; their elements do if it is None.
    """
    low, high = positions.min(axis=0) - 1.5, positions.max(axis=0) + 1.5
    scale = min(SCALE, MAX_WIDTH / (high[2] - low[2]))
    colours = _colours(numbers, excess_ev)
    rows, top = [], 0.0
    for across, depth in ((1, 0), (0, 1)):
        height = scale * (high[across] - low[across])
        # The nearest atoms are drawn last.
        for atom in np.argsort(positions[:, depth], kind="stable").tolist():
            x = scale * (positions[atom, 2] - low[2])
            y = top + height - scale * (positions[atom, across] - low[across])
            radius = 0.8 * scale * covalent_radii[numbers[atom]]
            rows.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colours[atom]}"/>'
            )
        top += height + 6
    return _svg(scale * (high[2] - low[2]), top, ['<g stroke="#444">', *rows, "</g>"])


def _colours(numbers: np.ndarray, excess_ev: np.ndarray | None) -> list[str]:
    if excess_ev is None:
        return [_hex(jmol_colors[number]) for number in numbers.tolist()]
    shares = np.clip(np.nan_to_num(excess_ev) / LARGEST_EXCESS_EV, 0.0, 1.0)
    return [_hex((1.0, 1.0 - 0.8 * share, 1.0 - 0.8 * share)) for share in shares.tolist()]


def _hex(colour: Iterable[float]) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour)


def energies_svg(n_index: np.ndarray, n_fraction: np.ndarray, energy: np.ndarray) -> str:
    """Energies against [n], with a line through the lowest of each.

    Energies far above the lowest of all [n] lie outside and are left out.

    Args:
        n_index: [n] as whole numbers, (M,).
        n_fraction: [n] where points are drawn, (M,).
        energy: J/m^2, (M,), ascending.
    """
    _, first = np.unique(n_index, return_index=True)
    bottom, top = float(energy[first].min()), float(energy[first].max())
    top += max(0.25, 0.45 * (top - bottom))
    width, height = 380.0, 200.0
    left = 44.0

    def place(n: float, e: float) -> tuple[float, float]:
        x = left + 14 + n * (width - left - 24)
        return x, 8 + (height - 38) * (top - e) / (top - bottom + 1e-9)

    points = zip(n_fraction[:NUM_POINTS].tolist(), energy[:NUM_POINTS].tolist(), strict=True)
    rows = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#1f5fa8" fill-opacity="0.4"/>'
        for x, y in (place(n, e) for n, e in points if e <= top)
    ]
    best = zip(n_fraction[first].tolist(), energy[first].tolist(), strict=True)
    hull = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(n, e) for n, e in best))
    rows.append(f'<polyline points="{hull}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>')
    for value in (bottom, top):
        rows.append(_label(left - 4, place(0.0, value)[1] + 4, "end", f"{value:.2f}"))
    for value in (0.0, 0.5, 1.0):
        rows.append(_label(place(value, bottom)[0], height - 12, "middle", f"{value:g}"))
    rows.append(_label(left - 4, height / 2 - 15, "end", "J/m²"))
    rows.append(_label(place(0.75, bottom)[0], height - 12, "middle", "[n]"))
    return _svg(width, height, rows)


def _label(x: float, y: float, anchor: str, text: str) -> str:
    style = f'font-size="11" text-anchor="{anchor}" fill="currentColor"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{text}</text>'


def _svg(width: float, height: float, rows: Iterable[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(rows)}</svg>'
