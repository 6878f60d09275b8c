"""What all sections of campaign and site files are made of."""

from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Auto = Literal["auto"]
# Every number has ends far beyond any campaign, so that none in a file can fill the memory, run
# over where it is used as a machine integer, or vanish where it divides.
PositiveInt = Annotated[int, Field(gt=0, le=1_000_000_000)]
NonNegativeInt = Annotated[int, Field(ge=0, le=1_000_000_000)]
PositiveFloat = Annotated[float, Field(ge=1e-12, le=1e12)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, le=1e12)]
Depth = Annotated[int, Field(gt=0, le=1000)]
"""Number of layers of a network. More would take for ever to make, before any memory is filled."""
Measure = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""Finite positive number in the card of a model file."""


def refuse(problem: str, key: str | None = None) -> NoReturn:
    """Fail validation with our own sentence, about another key than the validated one if given,
    e.g. ``"voxels.known"``.
    """
    # Braces would be taken for placeholders of pydantic's message template.
    raise PydanticCustomError(
        "refused",
        "{problem}",
        {"problem": problem} if key is None else {"problem": problem, "key": key},
    )


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # A process pays for the validators of the sections that it reads, not of all.
        defer_build=True,
    )


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a key holds, also where it may be left out; None for other keys, lists of
    sections included.
    """
    if get_origin(annotation) is tuple:
        return None
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, Section):
            return one
    return None


def entries_of(annotation: Any) -> tuple[type[Section], ...]:
    """The kinds of sections that a list of sections may hold; none for other keys."""
    if get_origin(annotation) is not tuple:
        return ()
    (first, *_) = get_args(annotation)
    if get_origin(first) is Annotated:
        first = get_args(first)[0]
    kinds = get_args(first) or (first,)
    return tuple(one for one in kinds if isinstance(one, type) and issubclass(one, Section))
