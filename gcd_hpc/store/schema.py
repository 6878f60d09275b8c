"""What is known about a candidate: ONE table from which writing, reading, validation, export and
the docs derive.

Fields are added with a new version and never reinterpreted: a file of an older version is read with
the defaults of the fields it lacks.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

SCHEMA_VERSION = 3

Source = Literal["search", "model"]
Status = Literal["sampled", "ok", "invalid", "failed"]
Kind = Literal["text", "int", "float", "bool"]
FAILURES = ("", "physics", "bug")
PRESET_LABELS = ("", "screen", "paper", "tight")

DTYPES: dict[str, np.dtype] = {
    "int": np.dtype("<i8"),
    "float": np.dtype("<f8"),
    "bool": np.dtype(bool),
}
NAN = float("nan")
NAN3 = (NAN, NAN, NAN)


@dataclass(frozen=True)
class Field:
    """One column of the store: a value per candidate, or per atom."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    """Shape of one value: () or (3,)."""
    unit: str
    """"1" for pure numbers, "" for text."""
    default: Any
    """What a file of a version before ``since`` is read as; per-atom fields are NaN then."""
    title: str
    """A few words, for the axis of a plot."""
    meaning: str
    per_atom: bool = False
    since: int = 1
    labels: tuple[str, ...] = ()
    """The only values of a text field that has a fixed set of them."""

    @property
    def path(self) -> str:
        """Where the column lies in the file."""
        return f"{'atoms' if self.per_atom else 'structures'}/{self.name}"

    @property
    def long_name(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit not in ("", "1") else self.title


def _text(
    name: str, default: str, title: str, meaning: str, labels: tuple[str, ...] = (), since: int = 1
) -> Field:
    return Field(name, "text", (), "", default, title, meaning, since=since, labels=labels)


def _int(name: str, title: str, meaning: str, since: int = 1) -> Field:
    return Field(name, "int", (), "1", 0, title, meaning, since=since)


def _float(name: str, unit: str, title: str, meaning: str, since: int = 1) -> Field:
    return Field(name, "float", (), unit, NAN, title, meaning, since=since)


def _vector(name: str, unit: str, title: str, meaning: str) -> Field:
    return Field(name, "float", (3,), unit, NAN3, title, meaning)


FIELDS: tuple[Field, ...] = (
    _text(
        "id",
        "",
        "id",
        "unique in the file: source, round, index, as search-000123 or model-01-000045 of round"
        " 1; behind the run's name and a dot in a file merged from several runs",
    ),
    _text(
        "source",
        "search",
        "source",
        "who made the structure: the seed search or a model",
        get_args(Source),
    ),
    _int(
        "version",
        "model version",
        "version of the model whose weights made the structure, an earlier one than the round where"
        " the round's own model was not promoted; 0 for the search",
    ),
    _int("round", "round", "round of the campaign that made it; 0 for the search"),
    _int(
        "index",
        "index",
        "number of the candidate within its source and round; its random stream hangs on it",
    ),
    _int("seed", "seed", "seed of the campaign"),
    _text(
        "status",
        "sampled",
        "status",
        "sampled (not relaxed yet), ok, invalid (refused before relaxation) or failed",
        get_args(Status),
    ),
    _text("reason", "", "reason", "why it is invalid or failed"),
    _text(
        "failure",
        "",
        "class of failure",
        "class of a failure: physics (LAMMPS could not relax it) or bug (set aside in quarantine)",
        FAILURES,
        since=2,
    ),
    _vector(
        "registry",
        "Å",
        "registry as built",
        "origin of the upper grain's lattice (dx, dy, dz) as built",
    ),
    _vector("registry_relaxed", "Å", "registry", "the same after relaxation"),
    _float(
        "target_energy_j_m2",
        "J/m^2",
        "target E_gb",
        "boundary energy that the model was asked for; NaN = not asked",
    ),
    _float(
        "target_n_fraction", "1", "target [n]", "[n] that the model was asked for; NaN = not asked"
    ),
    _int("num_atoms", "atoms", "number of atoms N"),
    _float("n_fraction", "1", "[n]", "[n] = (N mod N_plane) / N_plane"),
    _float(
        "gb_energy_j_m2",
        "J/m^2",
        "E_gb",
        "energy of the boundary after relaxation: the sum of energies_ev - cohesive_ev over the"
        " atoms more than surface_depth_a from the lowest and from the highest atom, over area_a2",
    ),
    _float(
        "screen_gb_energy_j_m2",
        "J/m^2",
        "E_gb of the screen",
        "the same after the loose first relaxation",
    ),
    _float(
        "score_gb_energy_j_m2",
        "J/m^2",
        "score",
        "boundary energy by which candidates queue for relaxation",
        since=2,
    ),
    _float("excess_volume_a", "Å", "excess volume", "excess volume per area"),
    _float(
        "closest_pair_a",
        "Å",
        "closest pair",
        "shortest distance between two atoms before relaxation",
    ),
    _text(
        "preset",
        "",
        "preset",
        "tolerances of the last relaxation; empty if there was none",
        PRESET_LABELS,
    ),
    Field(
        "converged", "bool", (), "1", False, "converged", "the last relaxation met its tolerances"
    ),
    _text("stop_reason", "", "stop reason", "why the minimiser stopped, in its own words"),
    _int("evaluations", "force evaluations", "force evaluations of all relaxations"),
    _float(
        "max_force_ev_a",
        "eV/Å",
        "largest force",
        "largest force component on a free atom at the end",
    ),
    _float("sample_s", "s", "time to make", "time to make the structure"),
    _float("relax_s", "s", "time to relax", "time to relax it"),
    _float("cohesive_ev", "eV", "cohesive energy", "energy per atom of the bulk crystal"),
    _float("area_a2", "Å^2", "area", "area of the boundary plane"),
    _float(
        "surface_depth_a",
        "Å",
        "depth of a free surface",
        "reach of the potential: atoms so near to the lowest or the highest atom of the "
        "slab feel a free surface, and gb_energy_j_m2 leaves them out",
        since=3,
    ),
    _int(
        "atoms_per_plane",
        "atoms per plane",
        "N_plane, modulo which [n] counts: atoms in one lattice plane of the cell, or the greatest"
        " common divisor of both grains' where these differ",
        since=3,
    ),
    _text("model_sha256", "", "model", "content of the model's weights; empty for the search"),
    _text("potential_sha256", "", "potential", "content of the potential"),
    _text(
        "run",
        "",
        "run",
        "the run that it came from, in a file merged from several; its config is an attribute of"
        " runs/NAME",
        since=3,
    ),
    _vector("cell", "Å", "cell", "edges of the orthorhombic box; periodic in x and y, open in z"),
    Field(
        "unrelaxed_positions",
        "float",
        (3,),
        "Å",
        NAN,
        "position before relaxation",
        "atoms before relaxation",
        per_atom=True,
    ),
    Field(
        "positions",
        "float",
        (3,),
        "Å",
        NAN,
        "position",
        "atoms after relaxation; NaN where there was none",
        per_atom=True,
    ),
    Field(
        "energies_ev",
        "float",
        (),
        "eV",
        NAN,
        "energy of an atom",
        "energy of each atom after relaxation",
        per_atom=True,
    ),
)
ROW_FIELDS = tuple(field for field in FIELDS if not field.per_atom)
ATOM_FIELDS = tuple(field for field in FIELDS if field.per_atom)
BY_NAME = {field.name: field for field in FIELDS}


@dataclass(frozen=True, eq=False)
class Candidate:
    """One structure that was tried, and everything the campaign knows about it. The names are those
    of FIELDS.

    Raises:
        ValueError: if source or status is none of the known ones, or if an array has not the shape
            that num_atoms asks for.
    """

    id: str
    source: Source
    version: int
    round: int
    index: int
    seed: int
    status: Status
    reason: str = ""
    failure: str = ""
    registry: Sequence[float] | np.ndarray = NAN3
    registry_relaxed: Sequence[float] | np.ndarray = NAN3
    target_energy_j_m2: float = NAN
    target_n_fraction: float = NAN
    num_atoms: int = 0
    n_fraction: float = NAN
    gb_energy_j_m2: float = NAN
    screen_gb_energy_j_m2: float = NAN
    score_gb_energy_j_m2: float = NAN
    excess_volume_a: float = NAN
    closest_pair_a: float = NAN
    preset: str = ""
    converged: bool = False
    stop_reason: str = ""
    evaluations: int = 0
    max_force_ev_a: float = NAN
    sample_s: float = NAN
    relax_s: float = NAN
    cohesive_ev: float = NAN
    area_a2: float = NAN
    surface_depth_a: float = NAN
    atoms_per_plane: int = 0
    model_sha256: str = ""
    potential_sha256: str = ""
    run: str = ""
    cell: Sequence[float] | np.ndarray = NAN3
    unrelaxed_positions: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    """(N, 3) Å; filled with NaN when not given, as are the next two."""
    positions: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    energies_ev: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise ValueError(
                f"{self.id}: source must be one of {', '.join(get_args(Source))}, got"
                f" {self.source!r}"
            )
        if self.status not in get_args(Status):
            raise ValueError(
                f"{self.id}: status must be one of {', '.join(get_args(Status))}, got"
                f" {self.status!r}"
            )
        for field in FIELDS:
            if field.per_atom or field.shape:
                self._set_array(field)

    def _set_array(self, field: Field) -> None:
        shape = (self.num_atoms, *field.shape) if field.per_atom else field.shape
        value = getattr(self, field.name)
        array = np.full(shape, NAN) if np.size(value) == 0 else np.array(value, dtype=np.float64)
        if array.shape != shape:
            raise ValueError(
                f"{self.id}: {field.name} must have the shape {shape}, got {array.shape}"
            )
        object.__setattr__(self, field.name, array)


def candidate_id(source: Source, round: int, index: int) -> str:
    """Name of a candidate: ``search-000123``, or ``model-01-000045`` of round 1."""
    return f"search-{index:06d}" if source == "search" else f"model-{round:02d}-{index:06d}"
