"""The command that draws phase diagrams."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, FigureFile, Json, Results
from gcd_hpc.cli.output import print_json, say, written
from gcd_hpc.errors import GcdError, did_you_mean

if TYPE_CHECKING:
    from gcd_hpc.phases.diagram import Diagram


def diagram(
    run: Results,
    axis: Annotated[
        str | None,
        typer.Option("--axis", metavar="NAME", help="Second variable, see above."),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW:HIGH", help="Range of the second variable."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Largest number of phases of each [n].")
    ] = 3,
    out: FigureFile = None,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Draw which phase is stable against temperature and a second variable.

    Temperatures come from the free energies that gcd-hpc free-energy has measured, strains from the
    excess stresses of gcd-hpc phases --measure. The diagram has the axes that the measurements
    allow, and the command says what is missing. Energies are linear in the second variable. Nothing
    is computed anew; the data are stored in RUN/phases/diagram.

    \b
    strain, strain-x, strain-y, shear: in-plane strain of both grains: equal along both axes, along
      one axis, and shear.
    stress: stress along the boundary's normal in GPa, tension positive.
    mu: chemical potential of the second element or of a solute, for several elements.

    \b
    Examples:
      gcd-hpc diagram runs/w_sigma5
      gcd-hpc diagram runs/w_sigma5 --axis stress --range -10:10 --out pressure.pdf
      gcd-hpc diagram runs/nial_sigma5 --axis mu
    """
    from gcd_hpc.browse.diagram_figure import diagram_figure
    from gcd_hpc.browse.figures import check_suffix, save
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.diagram_inputs import AXES, diagram_of, write_diagram
    from gcd_hpc.store.run import open_run

    if axis is not None and axis not in AXES:
        names = ", ".join(AXES)
        raise GcdError(f"--axis must be one of {names}, got {axis}{did_you_mean(axis, AXES)}")
    if out is not None:
        check_suffix(out)
    run = one_run(run, boundary, "diagram")
    opened = open_run(run)
    made = diagram_of(opened, find_phases(opened, top), axis, _range(limits))
    data = write_diagram(run, made)
    figure = save(diagram_figure(made), out or data.with_suffix(".png"))
    if json:
        print_json(_record(made))
        return
    _print(made)
    written(data, f"{len(made.lines)} phases")
    written(figure, "a figure")


def _range(text: str | None) -> tuple[float, float] | None:
    """Lower and upper limit.

    Raises:
        GcdError: if the text is not two ascending numbers with a colon between them.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = 0.0
    if not -float("inf") < low < high < float("inf"):
        raise GcdError(f"--range must be two ascending numbers such as -0.01:0.01, got {text}")
    return low, high


def _record(made: "Diagram") -> dict[str, Any]:
    """The diagram as plain values for JSON."""
    return {
        "axis": vars(made.axis),
        "temperatures_k": made.temperatures_k,
        "phases": [vars(one) for one in made.lines],
        "left_out": dict(made.left_out),
        "missing": list(made.missing),
        "crossings": [vars(one) for one in made.crossings()],
    }


def _print(made: "Diagram") -> None:
    """Print the transitions, and what the diagram does not have."""
    kelvin = made.temperatures_k
    for at in dict.fromkeys((float(kelvin[0]), float(kelvin[-1]))):
        found = [one for one in made.crossings() if one.temperature_k == at]
        words = [f"{one.below} to {one.above} at {one.at:.4g}" for one in found]
        say(f"{at:.0f} K, along {made.axis.name}: {'; '.join(words) or 'no transition'}")
    if len(kelvin) > 1 and made.axis.low <= 0 <= made.axis.high:
        words = [f"{a} to {b} at {at:.0f} K" for at, a, b in made.transition_temperatures(0.0)]
        say(f"at {made.axis.name} = 0: {'; '.join(words) or 'no transition'}")
    for reason in dict.fromkeys(made.left_out.values()):
        names = ", ".join(name for name, why in made.left_out.items() if why == reason)
        say(f"left out: {names}: {reason}")
    for sentence in made.missing:
        say(f"missing: {sentence}")
