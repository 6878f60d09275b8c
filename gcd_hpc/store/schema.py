"""What is known about a candidate: ONE table from which writing, reading, validation, export and the docs derive.

Fields are added with a new version and never reinterpreted: a file of an older version is read with the defaults of the fields it lacks.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

SCHEMA_VERSION = 2

Source = Literal["search", "model"]
Status = Literal["sampled", "ok", "invalid", "failed"]
Kind = Literal["text", "int", "float", "bool"]

DTYPES: dict[str, np.dtype] = {"int": np.dtype("<i8"), "float": np.dtype("<f8"), "bool": np.dtype(bool)}
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
    meaning: str
    per_atom: bool = False
    since: int = 1

    @property
    def path(self) -> str:
        """Where the column lies in the file."""
        return f"{'atoms' if self.per_atom else 'structures'}/{self.name}"


def _row(name: str, kind: Kind, unit: str, default: Any, meaning: str, shape: tuple[int, ...] = (), since: int = 1) -> Field:
    return Field(name, kind, shape, unit, default, meaning, since=since)


FIELDS: tuple[Field, ...] = (
    _row("id", "text", "", "", "source, version of a model, index: search-000123 or model-01-000045"),
    _row("source", "text", "", "search", "search or model"),
    _row("version", "int", "1", 0, "version of the model; 0 for the search"),
    _row("round", "int", "1", 0, "round of the campaign"),
    _row("index", "int", "1", 0, "number of the candidate within its source and version; its random stream hangs on it"),
    _row("seed", "int", "1", 0, "seed of the campaign"),
    _row("status", "text", "", "sampled", "sampled (not relaxed yet), ok, invalid (refused before relaxation) or failed"),
    _row("reason", "text", "", "", "why it is invalid or failed"),
    _row("failure", "text", "", "", "class of a failure: physics (LAMMPS could not relax it) or bug (set aside in quarantine)", since=2),
    _row("registry", "float", "Å", NAN3, "origin of the upper grain's lattice (dx, dy, dz) as built", (3,)),
    _row("registry_relaxed", "float", "Å", NAN3, "the same after relaxation", (3,)),
    _row("target_energy_j_m2", "float", "J/m^2", NAN, "boundary energy that the model was asked for; NaN = not asked"),
    _row("target_n_fraction", "float", "1", NAN, "[n] that the model was asked for; NaN = not asked"),
    _row("num_atoms", "int", "1", 0, "number of atoms N"),
    _row("n_fraction", "float", "1", NAN, "[n] = (N mod N_plane) / N_plane"),
    _row("gb_energy_j_m2", "float", "J/m^2", NAN, "energy of the boundary after relaxation"),
    _row("screen_gb_energy_j_m2", "float", "J/m^2", NAN, "the same after the loose first relaxation"),
    _row("score_gb_energy_j_m2", "float", "J/m^2", NAN, "boundary energy by which candidates queue for relaxation", since=2),
    _row("excess_volume_a", "float", "Å", NAN, "excess volume per area"),
    _row("closest_pair_a", "float", "Å", NAN, "shortest distance between two atoms before relaxation"),
    _row("preset", "text", "", "", "tolerances of the last relaxation: screen, paper or tight"),
    _row("converged", "bool", "1", False, "the last relaxation met its tolerances"),
    _row("stop_reason", "text", "", "", "why the minimiser stopped, in its own words"),
    _row("evaluations", "int", "1", 0, "force evaluations of all relaxations"),
    _row("max_force_ev_a", "float", "eV/Å", NAN, "largest force component on a free atom at the end"),
    _row("sample_s", "float", "s", NAN, "time to make the structure"),
    _row("relax_s", "float", "s", NAN, "time to relax it"),
    _row("cohesive_ev", "float", "eV", NAN, "energy per atom of the bulk crystal"),
    _row("area_a2", "float", "Å^2", NAN, "area of the boundary plane"),
    _row("model_sha256", "text", "", "", "content of the model's weights; empty for the search"),
    _row("potential_sha256", "text", "", "", "content of the potential"),
    _row("cell", "float", "Å", NAN3, "edges of the orthorhombic box; periodic in x and y, open in z", (3,)),
    Field("unrelaxed_positions", "float", (3,), "Å", NAN, "atoms before relaxation", per_atom=True),
    Field("positions", "float", (3,), "Å", NAN, "atoms after relaxation; NaN where there was none", per_atom=True),
    Field("energies_ev", "float", (), "eV", NAN, "energy of each atom after relaxation", per_atom=True),
)
ROW_FIELDS = tuple(field for field in FIELDS if not field.per_atom)
ATOM_FIELDS = tuple(field for field in FIELDS if field.per_atom)
BY_NAME = {field.name: field for field in FIELDS}


@dataclass(frozen=True, eq=False)
class Candidate:
    """One structure that was tried, and everything the campaign knows about it. The names are those of FIELDS.

    Raises:
        ValueError: if source or status is none of the known ones, or if an array has not the shape that num_atoms asks for.
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
    model_sha256: str = ""
    potential_sha256: str = ""
    cell: Sequence[float] | np.ndarray = NAN3
    unrelaxed_positions: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    """(N, 3) Å; filled with NaN when not given, as are the next two."""
    positions: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    energies_ev: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise ValueError(f"{self.id}: source must be one of {', '.join(get_args(Source))}, got {self.source!r}")
        if self.status not in get_args(Status):
            raise ValueError(f"{self.id}: status must be one of {', '.join(get_args(Status))}, got {self.status!r}")
        for field in FIELDS:
            if field.per_atom or field.shape:
                self._set_array(field)

    def _set_array(self, field: Field) -> None:
        shape = (self.num_atoms, *field.shape) if field.per_atom else field.shape
        value = getattr(self, field.name)
        array = np.full(shape, NAN) if np.size(value) == 0 else np.array(value, dtype=np.float64)
        if array.shape != shape:
            raise ValueError(f"{self.id}: {field.name} must have the shape {shape}, got {array.shape}")
        object.__setattr__(self, field.name, array)


def candidate_id(source: Source, version: int, index: int) -> str:
    """Name of a candidate: ``search-000123`` or ``model-01-000045``."""
    return f"search-{index:06d}" if source == "search" else f"model-{version:02d}-{index:06d}"


def schema_markdown() -> str:
    """The table of fields for the docs."""
    lines = ["| dataset | type | unit | since | meaning |", "|---|---|---|---|---|"]
    for field in FIELDS:
        kind = f"{field.kind} x {field.shape[0]}" if field.shape else field.kind
        lines.append(f"| `{field.path}` | {kind} | {field.unit} | {field.since} | {field.meaning} |")
    return "\n".join(lines) + "\n"
