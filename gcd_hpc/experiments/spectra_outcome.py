"""Numbers of guided carbon: what each target did, and the table of what was expected of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_numbers import mean_rdf, rdf_difference
from gcd_hpc.experiments.spectra_numbers import Line, Mean, bond_numbers, bootstrap, rms
from gcd_hpc.experiments.spectra_targets import Condition
from gcd_hpc.seeds import CARBON, generator

Array = NDArray[np.float64]

RESAMPLE = 31
"""Purpose of the random streams of the bootstrap; the key is (CARBON, RESAMPLE, number)."""
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Cells:
    """Generated cells of one condition, and what the networks say of them."""

    condition: Condition
    target: Array | None  # (K,)
    positions: Array  # (M, N, 3) Å
    judge: Array  # (M, K) mean spectra by the network of another architecture
    guide: Array  # (M, K) mean spectra by the network that guides
    relaxed: Array | None = None  # (M, N, 3) Å
    relaxed_ev: Array | None = None  # (M,) eV an atom

    @property
    def name(self) -> str:
        return self.condition.name


@dataclass(frozen=True)
class Truth:
    """True frames of the density, of which no network has seen any."""

    spectrum: Array  # (K,) mean of the frames
    positions: Array  # (M, N, 3) Å
    lengths: Array  # (3,) Å
    judge: Array  # (M, K) mean spectra by the judge
    errors: Array  # (M, K) judge's minus true mean spectra
    relaxed: Array  # (1, N, 3) Å, of the first frame
    relaxed_ev: float
    known: dict[int, frozenset[str]]
    """Labels of the surroundings in the training frames, by number of shells."""

    @property
    def floor(self) -> float:
        """Root mean square error of the judge on true frames."""
        return float(rms(self.errors).mean())


@dataclass(frozen=True)
class Check:
    """One row of the table of expectations."""

    what: str
    bound: str
    measured: str
    is_met: bool | None
    """None if there is no bound."""


def condition_numbers(
    cells: Cells, unguided: Cells, truth: Truth, line: Line, seed: int, number: int
) -> dict[str, Any]:
    """Numbers of one condition; ``number`` tells the random streams of the conditions apart."""
    rng = generator(seed, CARBON, RESAMPLE, number)
    numbers: dict[str, Any] = {
        **asdict(cells.condition),
        "a_judge": asdict(bootstrap(line.place(cells.judge), rng)),
        "a_guide": asdict(bootstrap(line.place(cells.guide), rng)),
        "bonds": bond_numbers(cells.positions, truth.lengths),
        "rdf_to_true_frames": rdf_to(cells.positions, truth),
    }
    if cells.target is not None:
        numbers["error_to_target"] = asdict(errors_to(cells, cells.target, rng))
        numbers["error_of_unguided"] = asdict(errors_to(unguided, cells.target, rng))
        numbers["error_without_floor"] = without_floor(cells, cells.target, truth.floor)
    if cells.relaxed is not None and cells.relaxed_ev is not None:
        numbers["relaxed"] = {
            **bond_numbers(cells.relaxed, truth.lengths),
            "above_true_frame_ev": float(np.nanmean(cells.relaxed_ev) - truth.relaxed_ev),
            "num_refused_by_lammps": int(np.isnan(cells.relaxed_ev).sum()),
        }
    return numbers


def errors_to(cells: Cells, target: Array, rng: np.random.Generator) -> Mean:
    """Root mean square distance of the judge's spectra to a target, mean over the cells."""
    return bootstrap(rms(cells.judge - target), rng)


def without_floor(cells: Cells, target: Array, floor: float) -> float:
    """The distance to a target with the judge's own error subtracted in quadrature."""
    square = float(np.square(rms(cells.judge - target)).mean()) - floor**2
    return float(np.sqrt(max(0.0, square)))


def rdf_to(structures: Array, truth: Truth) -> float:
    """Difference of the mean g(r) to that of the true frames."""
    box = (float(truth.lengths[0]), float(truth.lengths[1]), float(truth.lengths[2]))
    return rdf_difference(mean_rdf(structures, box), mean_rdf(truth.positions, box))


def rdf_between_frames(truth: Truth) -> float:
    """Mean difference of the g(r) of one true frame to that of the others."""
    box = (float(truth.lengths[0]), float(truth.lengths[1]), float(truth.lengths[2]))
    others = [
        rdf_difference(
            mean_rdf(truth.positions[item : item + 1], box),
            mean_rdf(np.delete(truth.positions, item, axis=0), box),
        )
        for item in range(len(truth.positions))
    ]
    return float(np.mean(others))


def shift(cells: Cells, unguided: Cells, line: Line, rng: np.random.Generator) -> Mean:
    """Shift of the judge's place on the line against unguided cells from the same starts."""
    num = min(len(cells.judge), len(unguided.judge))
    return bootstrap(line.place(cells.judge[:num]) - line.place(unguided.judge[:num]), rng)


def acceptance(
    low: Cells, high: Cells, own: Cells, unguided: Cells, truth: Truth, line: Line, seed: int
) -> list[Check]:
    """The rows of the prior and of the guidance, judged by the network of another architecture."""
    rng = generator(seed, CARBON, RESAMPLE, 1000)
    return [
        *prior_checks(unguided, truth),
        *steering_checks(low, high, unguided, line, rng),
        *[error_check(cells, unguided, least, rng) for cells, least in ((high, 0.40), (low, 0.30))],
        own_check(own, unguided, rng),
        *structure_checks(low, high, truth),
    ]


def prior_checks(unguided: Cells, truth: Truth) -> list[Check]:
    """Unguided cells against true frames of a density that the prior has not seen."""
    found, true = (
        bond_numbers(positions, truth.lengths)
        for positions in (unguided.positions, truth.positions)
    )
    off = 100.0 * abs(found["sp3"] - true["sp3"])
    five, rdf = 100.0 * found["at_least_five"], rdf_to(unguided.positions, truth)
    return [
        Check("prior: sp3 off by", "<= 10 points", f"{off:.1f} points", off <= 10.0),
        Check("prior: five-fold", "<= 2.5 %", f"{five:.1f} %", five <= 2.5),
        Check("prior: g(r) to true frames", "<= 0.26", f"{rdf:.3f}", rdf <= 0.26),
    ]


def steering_checks(
    low: Cells, high: Cells, unguided: Cells, line: Line, rng: np.random.Generator
) -> list[Check]:
    """Distance between the two targets on the line, and of each from unguided cells."""
    apart = bootstrap(line.place(high.judge) - line.place(low.judge), rng)
    checks = [
        Check("a(3.0) - a(2.0)", ">= 0.40", f"{apart.value:.2f} +- {apart.standard_error:.2f}",
              apart.value >= 0.40)
    ]  # fmt: skip
    for cells, sign in ((high, 1.0), (low, -1.0)):
        moved = shift(cells, unguided, line, rng)
        errors = sign * moved.value / moved.standard_error
        checks.append(
            Check(
                f"a({cells.name}) from unguided",
                f">= {STANDARD_ERRORS:g} standard errors",
                f"{moved.value:+.2f}, {errors:.1f} standard errors",
                errors >= STANDARD_ERRORS,
            )
        )
    return checks


def error_check(cells: Cells, unguided: Cells, least: float, rng: np.random.Generator) -> Check:
    """Fall of the distance to the target against unguided cells."""
    assert cells.target is not None
    before, after = (errors_to(one, cells.target, rng).value for one in (unguided, cells))
    fall = 1.0 - after / before
    return Check(
        f"error to target {cells.name}",
        f"<= -{100 * least:.0f} %",
        f"{before:.4f} to {after:.4f}, {-100 * fall:+.0f} %",
        fall >= least,
    )


def own_check(own: Cells, unguided: Cells, rng: np.random.Generator) -> Check:
    """The spectrum of the own density as target, which the density already implies."""
    assert own.target is not None
    num = min(len(own.judge), len(unguided.judge))
    before, after = (rms(cells.judge[:num] - own.target) for cells in (unguided, own))
    rise = bootstrap(after - before, rng)
    return Check(
        "error to the own density's spectrum",
        "no worse than unguided",
        f"{before.mean():.4f} to {after.mean():.4f} (+- {rise.standard_error:.4f})",
        rise.value <= rise.standard_error,
    )


def structure_checks(low: Cells, high: Cells, truth: Truth) -> list[Check]:
    """Bonds as generated and after relaxation, and the relaxed energy."""
    checks = []
    for stage, least in (("as generated", 12.0), ("relaxed", 5.0)):
        positions = [
            cells.positions if stage == "as generated" else cells.relaxed for cells in (low, high)
        ]
        first, last = (
            np.nan if one is None else 100.0 * bond_numbers(one, truth.lengths)["sp3"]
            for one in positions
        )
        checks.append(
            Check(
                f"sp3(3.0) - sp3(2.0), {stage}",
                f">= {least:g} points",
                f"{last - first:.1f} points ({first:.1f} and {last:.1f} %)",
                bool(last - first >= least),
            )
        )
    energies = [
        np.nanmean(cells.relaxed_ev) - truth.relaxed_ev
        for cells in (low, high)
        if cells.relaxed_ev is not None
    ]
    shown = " and ".join(f"{energy:.2f}" for energy in energies) + " eV an atom"
    return [*checks, Check("relaxed energy above a relaxed true frame", "report", shown, None)]


def table(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Rows for the record of the experiment."""
    return [asdict(check) for check in checks]
