"""Schema of a candidate: one annotated class that defines writing, reading, export and docs.

Fields are added with a new version and never reinterpreted: a file of an older version is read with
the defaults of the fields it lacks.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np

from gcd_hpc.store import alloys, materials, work
from gcd_hpc.store.field import Field, fields_of, html_table
from gcd_hpc.structures.periodic import with_tilt

SCHEMA_VERSION = 7

Source = Literal["search", "model", "explore", "quench", "given"]
Status = Literal["sampled", "ok", "invalid", "failed"]
LABELS_SINCE = {"explore": 5, "local": 5, "quench": 7, "given": 7}
"""Schema versions of the labels that are younger than their field."""
FAILURES = ("", "physics", "bug")
ENERGIES_FROM = ("", "atoms", "surfaces")
PRESET_LABELS = ("", "local", "screen", "paper", "tight")

NAN = np.nan
NAN3 = (NAN, NAN, NAN)
UNKNOWN_N = -1
"""Value of n_index where N or N_plane is not known."""
Vector = Sequence[float] | np.ndarray
_no_atoms = partial(np.empty, 0)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate structure with all its properties; the fields are those of the schema.

    Arrays that are not given are filled with NaN.

    Raises:
        ValueError: if source or status is not one of the allowed values, or if the shape of an
            array does not fit num_atoms.
    """

    id: Annotated[
        str,
        Field(
            "id",
            "unique in the file: source, round, index, as search-000123 or model-01-000045; "
            "behind the run's name and a dot in a file merged from several runs",
        ),
    ]
    source: Annotated[
        Source,
        Field(
            "source",
            "what made the structure: the random search, a model, the exploration from known "
            "structures, or in a campaign of a material a quench of the melt or the user",
        ),
    ]
    version: Annotated[
        int,
        Field(
            "model version",
            "version of the model whose weights made the structure, an earlier one than the round "
            "where the round's own model was not promoted; 0 for the search, and for the model "
            "that the campaign started from. Before schema version 4 it was the round",
            "1",
        ),
    ]
    round: Annotated[
        int, Field("round", "round of the campaign that made it; 0 for the search", "1")
    ]
    index: Annotated[
        int,
        Field(
            "index",
            "number of the candidate within its source and round; its random stream hangs on it",
            "1",
        ),
    ]
    seed: Annotated[int, Field("seed", "seed of the campaign", "1")]
    status: Annotated[
        Status,
        Field(
            "status", "sampled (not relaxed yet), ok, invalid (refused before relaxation) or failed"
        ),
    ]
    reason: Annotated[str, Field("reason", "why it is invalid or failed")] = ""
    failure: Annotated[
        str,
        Field(
            "class of failure",
            "class of a failure: physics (LAMMPS could not relax it, or not to a boundary of the "
            "crystal) or bug (set aside in quarantine)",
            since=2,
            labels=FAILURES,
        ),
    ] = ""
    move: Annotated[
        str,
        Field(
            "move",
            "kind of the move by which exploration made it, such as insert; empty otherwise",
            since=5,
        ),
    ] = ""
    parents: Annotated[
        str,
        Field(
            "parents",
            "ids of the structures that the move changed, separated by blanks",
            since=5,
        ),
    ] = ""
    registry: Annotated[
        Vector,
        Field(
            "registry as built",
            "origin of the upper grain's lattice (dx, dy, dz) as built",
            "Å",
            shape=(3,),
        ),
    ] = NAN3
    registry_relaxed: Annotated[
        Vector, Field("registry", "the same after relaxation", "Å", shape=(3,))
    ] = NAN3
    target_energy_j_m2: Annotated[
        float,
        Field(
            "target E_gb", "boundary energy that the model was asked for; NaN = not asked", "J/m^2"
        ),
    ] = NAN
    target_n_fraction: Annotated[
        float, Field("target [n]", "[n] that the model was asked for; NaN = not asked", "1")
    ] = NAN
    num_atoms: Annotated[int, Field("atoms", "number of atoms N", "1")] = 0
    n_fraction: Annotated[float, Field("[n]", "[n] = (N mod N_plane) / N_plane", "1")] = NAN
    n_index: Annotated[
        int,
        Field("n", "N mod N_plane: [n] in atoms; -1 where it is not known", "1", since=4),
    ] = UNKNOWN_N
    formula: Annotated[str, alloys.FORMULA] = ""
    surplus: Annotated[str, alloys.SURPLUS] = ""
    gb_energy_j_m2: Annotated[
        float,
        Field(
            "E_gb",
            "energy of the boundary after relaxation: the sum of energies_ev - cohesive_ev "
            "over the atoms more than surface_depth_a from the lowest and from the highest "
            "atom, over area_a2, less strain_energy_j_m2; with several elements the energies in "
            "element_energies_ev take the place of cohesive_ev, and composition_energy_j_m2 is "
            "added",
            "J/m^2",
        ),
    ] = NAN
    screen_gb_energy_j_m2: Annotated[
        float, Field("E_gb of the screen", "the same after the loose first relaxation", "J/m^2")
    ] = NAN
    score_gb_energy_j_m2: Annotated[
        float,
        Field(
            "score", "boundary energy by which candidates queue for relaxation", "J/m^2", since=2
        ),
    ] = NAN
    composition_energy_j_m2: Annotated[float, alloys.COMPOSITION_ENERGY] = 0.0
    rich_gb_energy_j_m2: Annotated[float, alloys.RICH_GB_ENERGY] = NAN
    poor_gb_energy_j_m2: Annotated[float, alloys.POOR_GB_ENERGY] = NAN
    excess_volume_a: Annotated[float, Field("excess volume", "excess volume per area", "Å")] = NAN
    strain_energy_j_m2: Annotated[
        float,
        Field(
            "strain energy",
            "energy of the strain that makes the grains fit (boundary.max_strain), which "
            "gb_energy_j_m2 leaves out; 0 for unstrained grains",
            "J/m^2",
            since=4,
        ),
    ] = 0.0
    strain_volume_a: Annotated[
        float,
        Field(
            "volume of the strain",
            "what this strain adds to the excess volume, which excess_volume_a leaves out",
            "Å",
            since=4,
        ),
    ] = 0.0
    closest_pair_a: Annotated[
        float, Field("closest pair", "shortest distance between two atoms before relaxation", "Å")
    ] = NAN
    preset: Annotated[
        str,
        Field(
            "preset",
            "tolerances of the last relaxation; empty if there was none",
            labels=PRESET_LABELS,
        ),
    ] = ""
    converged: Annotated[
        bool, Field("converged", "the last relaxation met its tolerances", "1")
    ] = False
    stop_reason: Annotated[
        str, Field("stop reason", "why the minimiser stopped, in its own words")
    ] = ""
    evaluations: Annotated[int, work.EVALUATIONS] = 0
    atom_evaluations: Annotated[int, work.ATOM_EVALUATIONS] = 0
    voxel_evaluations: Annotated[int, work.VOXEL_EVALUATIONS] = 0
    cpu_s: Annotated[float, work.CPU_S] = NAN
    max_force_ev_a: Annotated[
        float, Field("largest force", "largest force component on a free atom at the end", "eV/Å")
    ] = NAN
    sample_s: Annotated[float, Field("time to make", "time to make the structure", "s")] = NAN
    relax_s: Annotated[float, Field("time to relax", "time to relax it", "s")] = NAN
    cohesive_ev: Annotated[
        float, Field("cohesive energy", "energy per atom of the bulk crystal", "eV")
    ] = NAN
    element_energies_ev: Annotated[str, alloys.ELEMENT_ENERGIES] = ""
    area_a2: Annotated[float, Field("area", "area of the boundary plane", "Å^2")] = NAN
    surface_depth_a: Annotated[
        float,
        Field(
            "depth of a free surface",
            "reach of the potential: atoms so near to the lowest or the highest atom of the "
            "slab feel a free surface, and gb_energy_j_m2 leaves them out",
            "Å",
            since=3,
        ),
    ] = NAN
    atoms_per_plane: Annotated[
        int,
        Field(
            "atoms per plane",
            "N_plane, modulo which [n] counts: atoms in one lattice plane of the cell, or "
            "the greatest common divisor of both grains' where these differ",
            "1",
            since=3,
        ),
    ] = 0
    axial_ratio: Annotated[
        float,
        Field(
            "c/a",
            "ratio of the lattice constants of hcp, which may have been measured; NaN in other "
            "crystals",
            "1",
            since=6,
        ),
    ] = NAN
    model_sha256: Annotated[
        str, Field("model", "content of the model's weights; empty for the search")
    ] = ""
    potential_sha256: Annotated[str, Field("potential", "content of the potential")] = ""
    energies_from: Annotated[
        str,
        Field(
            "origin of the energies",
            "atoms: the engine gave the energies of single atoms. surfaces: it gave their sum, "
            "from which that of two free surfaces was subtracted, and energies_ev are shares of "
            "what remains. Empty before relaxation and in older files, where energies are of atoms",
            labels=ENERGIES_FROM,
            since=6,
        ),
    ] = ""
    run: Annotated[
        str,
        Field(
            "run",
            "the run that it came from, in a file merged from several; its config is an "
            "attribute of runs/NAME",
            since=3,
        ),
    ] = ""
    density_g_cm3: Annotated[float, materials.DENSITY] = NAN
    energy_ev_atom: Annotated[float, materials.ENERGY] = NAN
    guided: Annotated[str, materials.GUIDED] = ""
    spectrum_error: Annotated[float, materials.SPECTRUM_ERROR] = NAN
    spectrum_error_se: Annotated[float, materials.SPECTRUM_ERROR_SE] = NAN
    predicted_error: Annotated[float, materials.PREDICTED_ERROR] = NAN
    num_labelled: Annotated[int, materials.NUM_LABELLED] = 0
    cell: Annotated[
        Vector,
        Field(
            "cell",
            "extents of the box along x, y and z, the lengths of its edges where its angles are "
            "right; periodic in the plane, open in z, where it is as high as the campaign's box, "
            "or higher if the slab is; of a material periodic in z too",
            "Å",
            shape=(3,),
        ),
    ] = NAN3
    tilt_a: Annotated[
        float,
        Field(
            "tilt",
            "x component of the second edge of the box, whose y component is that of cell; the "
            "first edge lies along x; 0 where the angles are right",
            "Å",
            since=6,
        ),
    ] = 0.0
    unrelaxed_positions: Annotated[
        np.ndarray,
        Field(
            "position before relaxation", "atoms before relaxation", "Å", shape=(3,), per_atom=True
        ),
    ] = dataclasses.field(default_factory=_no_atoms)
    positions: Annotated[
        np.ndarray,
        Field(
            "position",
            "atoms after relaxation; NaN where there was none",
            "Å",
            shape=(3,),
            per_atom=True,
        ),
    ] = dataclasses.field(default_factory=_no_atoms)
    energies_ev: Annotated[
        np.ndarray,
        Field("energy of an atom", "energy of each atom after relaxation", "eV", per_atom=True),
    ] = dataclasses.field(default_factory=_no_atoms)

    numbers: Annotated[
        np.ndarray,
        Field(
            "atomic number",
            "atomic number of each atom; 0 in files that know one element, boundary.element",
            "1",
            since=6,
            per_atom=True,
            kind="int",
            largest=118,
        ),
    ] = dataclasses.field(default_factory=_no_atoms)

    def __post_init__(self) -> None:
        for name in ("source", "status"):
            labels, value = BY_NAME[name].labels, getattr(self, name)
            if value not in labels:
                raise ValueError(
                    f"{self.id}: {name} must be one of {', '.join(labels)}, got {value!r}"
                )
        for field in FIELDS:
            if field.per_atom or field.shape:
                array = field.array(getattr(self, field.name), self.num_atoms, self.id)
                object.__setattr__(self, field.name, array)

    @property
    def box(self) -> np.ndarray:
        """Vectors of the box as rows (ax, 0, 0), (bx, by, 0) and (0, 0, height), (3, 3) Å."""
        return with_tilt(self.cell, self.tilt_a)

    def __repr__(self) -> str:
        """One line with id, status, energy, [n] and number of atoms."""
        found = (
            f"{self.gb_energy_j_m2:.4f} J/m^2 at [n] = {self.n_fraction:.4g}"
            if self.status == "ok"
            else self.reason
        )
        known = [self.status, found, f"{self.num_atoms} atoms"]
        return f"<{self.id}: {', '.join(text for text in known if text)}>"

    def _repr_html_(self) -> str:
        """HTML table of all known row fields, for notebooks."""
        return html_table(FIELDS, vars(self))


FIELDS = fields_of(Candidate)
ROW_FIELDS = tuple(field for field in FIELDS if not field.per_atom)
ATOM_FIELDS = tuple(field for field in FIELDS if field.per_atom)
BY_NAME = {field.name: field for field in FIELDS}


def candidate_id(source: Source, round_number: int, index: int) -> str:
    """Id of a candidate: ``search-000123``, or with the round RR ``model-RR-000045``.

    The first structures of a material are ``quench-00-000007`` and ``given-00-000003``.
    """
    place = "" if source == "search" else f"-{round_number:02d}"
    return f"{source}{place}-{index:06d}"
