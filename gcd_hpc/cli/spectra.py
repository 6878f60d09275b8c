"""The commands about spectra of atoms: compute them, import measured ones, and look at them."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gcd_hpc.cli.options import Workers, one_of_these
from gcd_hpc.cli.output import labels_bar, resume_hint, say, written
from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from ase import Atoms

    from gcd_hpc.spectra.feff10 import Feff10Settings
    from gcd_hpc.spectra.measured import MeasuredSpectrum, Unit
    from gcd_hpc.spectra.table import SpectrumTable
    from gcd_hpc.spectra.table_file import Labelled

_XYZ = (".xyz", ".extxyz")
Element = Annotated[
    str | None, typer.Option("--element", metavar="SYMBOL", help="Absorbing element.")
]


def label(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Structures in any format that ASE reads.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Table to write, .h5.")],
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="feff10, the .h5 file of a table, or a Python class, module:Class.",
        ),
    ] = "feff10",
    atoms: Annotated[
        int, typer.Option("--atoms", min=1, help="Largest number of atoms to compute.")
    ] = 1000,
    core_seconds: Annotated[
        float | None,
        typer.Option("--core-seconds", min=0, help="Processor time after which no atom begins."),
    ] = None,
    workers: Workers = 1,
    element: Element = None,
    edge: Annotated[str, typer.Option("--edge", help="Absorption edge, as K or L3.")] = "K",
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="START:STOP:STEP",
            help="Energies of the spectra on the engine's own scale, eV; known for C K.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Processor time of one atom, s.")
    ] = 300.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the choice of atoms.")] = 0,
) -> None:
    """Compute spectra of chosen atoms of some structures.

    Those atoms are chosen whose surroundings differ most, so that the budget buys variety; the same
    surroundings are computed once. An atom that fails is recorded with its reason, and the work
    goes on. Each finished atom is kept in FILE.labelling until the table is written: the same
    command continues after it was stopped, and with a larger budget it adds atoms to the table. The
    exit code is 1 if all atoms failed.

    \b
    feff10 needs a package: pip install feff10-rs==0.2.4
    A Python class is another engine; docs/spectra.md has its few members.

    \b
    Examples:
      gcd-hpc spectra label frames.extxyz --atoms 100 --out labelled.h5 --workers 4
      gcd-hpc spectra label POSCAR --engine feff10 --core-seconds 3600 --out slab.h5
    """
    from gcd_hpc.spectra.label import EngineChoice
    from gcd_hpc.spectra.label import label as compute
    from gcd_hpc.structures.files import read_frames

    if out.suffix != ".h5":
        raise GcdError(f"--out must end in .h5, got {out}; spectra show writes other formats")
    structures = read_frames(file)
    settings = _settings(structures, element, edge, window, engine)
    choice = EngineChoice(engine, settings, timeout)
    budget = float("inf") if core_seconds is None else core_seconds
    try:
        with labels_bar() as progress:
            made = compute(structures, out, choice, atoms, seed, workers, budget, progress)
    except KeyboardInterrupt:
        say(f"stopped, and every finished atom is kept; {resume_hint()}", to_stderr=True)
        raise typer.Exit(130) from None
    _print_table(made)
    written(out, f"{len(made.table):,} atoms of {len(made.structures):,} structures")
    if not made.table.is_ok.any():
        raise typer.Exit(1)


def import_spectrum(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV, Athena or XDI file, or extended XYZ with a column xanes."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Target, .csv or .h5, or table, .h5.")
    ],
    element: Element = None,
    edge: Annotated[str | None, typer.Option("--edge", help="Absorption edge, as K or L3.")] = None,
    unit: Annotated[
        str,
        one_of_these(
            "--unit",
            ("stated", "eV", "keV", "bins"),
            "Unit of the energies where the file states none; bins: there are no energies.",
        ),
    ] = "stated",
    column: Annotated[
        str | None,
        typer.Option("--column", metavar="NAME", help="Column of the absorption, or its number."),
    ] = None,
    shift: Annotated[
        float, typer.Option("--shift", metavar="EV", help="Added to the energies, eV.")
    ] = 0.0,
    fwhm: Annotated[
        float, typer.Option("--fwhm", metavar="EV", min=0, help="Gaussian broadening, eV.")
    ] = 0.0,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table", metavar="FILE", help="Table whose energies and edge the target must have."
        ),
    ] = None,
) -> None:
    """Read a measured spectrum, check it, and write it as a target.

    Energies must rise and state their unit, element and edge must be known, by the file or by
    options. With --table the target is shifted, broadened, laid onto the energies of the table and
    normalised to a mean level of 1 over them. Spectra of atoms that another program has written as
    a column xanes of an extended XYZ file become a table.

    \b
    Examples:
      gcd-hpc spectra import measured.xdi --out target.h5
      gcd-hpc spectra import measured.csv --element C --edge K --unit eV --out target.csv
      gcd-hpc spectra import measured.xdi --table labelled.h5 --shift -6.2 --out target.h5
    """
    from gcd_hpc.spectra.matching import onto_table
    from gcd_hpc.spectra.measured import import_columns
    from gcd_hpc.spectra.table_file import read_labelled
    from gcd_hpc.spectra.target import check_suffix, write_target

    if file.suffix in _XYZ:
        _import_table(file, out)
        return
    check_suffix(out)
    given = None if unit == "stated" else cast("Unit", unit)
    target = import_columns(file, element, edge, given, column)
    if table is not None:
        target = onto_table(target, read_labelled(table).table, shift, fwhm)
    elif shift or fwhm:
        raise GcdError(
            "--shift and --fwhm lay a spectrum onto a table; name it with --table, or leave them"
            " out"
        )
    write_target(out, target)
    _print_target(target)
    written(out, "a target")


def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Table of spectra, target, or measured spectrum.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Figure, or a table's structures as .extxyz."),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option("--measured", metavar="FILE", help="Target to compare with a table's mean."),
    ] = None,
) -> None:
    """Show what a table of spectra or a target holds, and draw it.

    Beside a table, a target is compared with the mean of its spectra: the shift of its energies at
    which they agree best says how far the two scales may differ.

    \b
    Examples:
      gcd-hpc spectra show labelled.h5
      gcd-hpc spectra show labelled.h5 --measured target.csv --out comparison.png
      gcd-hpc spectra show labelled.h5 --out labelled.extxyz
    """
    from gcd_hpc.browse.figures import save
    from gcd_hpc.browse.spectra_figure import table_figure, target_figure
    from gcd_hpc.spectra.table_file import is_labelled, read_labelled
    from gcd_hpc.spectra.target import read_target

    if not is_labelled(file):
        if measured is not None:
            raise GcdError(f"--measured is compared with a table, and {file} is none; leave it out")
        target = read_target(file)
        _print_target(target)
        if out is not None:
            written(save(target_figure(target), _figure(out)), "a figure")
        return
    labelled = read_labelled(file)
    _print_table(labelled)
    compared, shift = None, 0.0
    if measured is not None:
        compared = read_target(measured)
        shift = _print_comparison(compared, labelled.table)
    if out is None:
        return
    if out.suffix in _XYZ:
        _write_xyz(out, labelled)
        return
    figure = table_figure(labelled.table, compared, shift)
    written(save(figure, _figure(out)), "a figure")


def _figure(out: Path) -> Path:
    from gcd_hpc.browse.figures import check_suffix

    check_suffix(out)
    return out


def _settings(
    structures: "list[Atoms]", element: str | None, edge: str, window: str | None, engine: str
) -> "Feff10Settings":
    """Settings of FEFF10: the element that the structures are of, and its window of energies.

    Raises:
        GcdError: if the element or the window must be named.
    """
    from gcd_hpc.spectra.feff10 import CARBON_WINDOW_EV, Feff10Settings

    symbols = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    own = element or (symbols[0] if len(symbols) == 1 else None)
    if engine != "feff10":
        return Feff10Settings()
    if own is None:
        raise GcdError(
            f"the structures hold {', '.join(symbols)}; name the absorbing element with --element"
        )
    if window is None and (own, edge) != ("C", "K"):
        raise GcdError(
            f"the energies of the {own} {edge} edge are not known; name them with --window, as"
            " --window 1835:1875:0.5"
        )
    return Feff10Settings(own, edge, CARBON_WINDOW_EV if window is None else _window(window))


def _window(text: str) -> tuple[float, float, float]:
    """First and last energy and their step, eV.

    Raises:
        GcdError: if the text is not three such numbers.
    """
    from gcd_hpc.config.material import MOST_ENERGIES

    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(f"{number}:{number}:{number}", text)
    start, stop, step = map(float, match.groups()) if match else (0.0, 0.0, 0.0)
    if not 0 < step <= stop - start or (stop - start) / step > MOST_ENERGIES:
        raise GcdError(
            "--window must be START:STOP:STEP in eV, such as 272:310:0.4, with at most"
            f" {MOST_ENERGIES:,} steps, got {text}"
        )
    return start, stop, step


def _import_table(file: Path, out: Path) -> None:
    from gcd_hpc.spectra.columns import from_columns
    from gcd_hpc.spectra.table_file import write_labelled
    from gcd_hpc.structures.files import read_frames

    if out.suffix != ".h5":
        raise GcdError(f"a table of spectra is an .h5 file, got --out {out}; name one")
    labelled = from_columns(read_frames(file))
    write_labelled(out, labelled)
    _print_table(labelled)
    written(out, f"{len(labelled.table):,} atoms of {len(labelled.structures):,} structures")


def _write_xyz(out: Path, labelled: "Labelled") -> None:
    from ase.io import write

    from gcd_hpc.files import output
    from gcd_hpc.spectra.columns import with_columns

    with output(out) as temporary:
        write(temporary, with_columns(labelled), format="extxyz")
    written(out, f"{len(labelled.structures):,} structures with spectra")


def _print_table(labelled: "Labelled") -> None:
    table = labelled.table
    num, num_ok = len(table), int(table.is_ok.sum())
    engine = " ".join(filter(None, (table.engine, table.version)))
    say(f"{table.element} {table.edge} edge by {engine or 'an unknown engine'}: {_range(table)}")
    say(
        f"{num_ok:,} of {num:,} atoms have a spectrum; they are of {len(set(table.structure))} of"
        f" {len(labelled.structures):,} structures"
    )
    seconds = table.seconds[table.seconds == table.seconds]
    if seconds.size and seconds.sum() > 0:
        say(f"{seconds.sum():,.0f} core-seconds, {seconds.mean():.1f} for an atom")
    reasons = table.reason[~table.is_ok].tolist()
    for reason in sorted(set(reasons), key=lambda one: (-reasons.count(one), one)):
        say(f"{reasons.count(reason):,} failed: {reason}")


def _range(table: "SpectrumTable") -> str:
    axis = table.energies_ev
    if axis is None:
        return f"{table.values.shape[1]} bins of unknown energy"
    return f"{len(axis)} energies from {axis[0]:g} to {axis[-1]:g} eV"


def _print_target(target: "MeasuredSpectrum") -> None:
    axis = target.energies_ev
    what = (
        "bins of unknown energy" if axis is None else f"points from {axis[0]:g} to {axis[-1]:g} eV"
    )
    edge = f"{target.element} {target.edge} edge"
    say(f"{edge} from {os.path.basename(target.source)}: {len(target.values)} {what}")


def _print_comparison(target: "MeasuredSpectrum", table: "SpectrumTable") -> float:
    """Print how a target agrees with the mean of a table, and return its shift, eV."""
    from gcd_hpc.spectra.matching import scale_difference

    shift, rms = scale_difference(target, table)
    say(
        f"{target.source} agrees best with the mean of the table when its energies are shifted by"
        f" {shift:+.2f} eV; the difference is then {rms:.3f} RMS of a mean level of 1"
    )
    return shift
