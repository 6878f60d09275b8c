"""What a candidate cost: force and network evaluations, and processor time."""

from gcd_hpc.store.field import Field

EVALUATIONS = Field("force evaluations", "force evaluations of all relaxations", "1")
ATOM_EVALUATIONS = Field(
    "cost of the forces",
    "force evaluations times atoms of all relaxations and dynamics, a cost that does not "
    "depend on the machine; 0 where it is not known",
    "1",
    since=5,
)
VOXEL_EVALUATIONS = Field(
    "cost of the network",
    "network evaluations times voxels by which exploration made the structure",
    "1",
    since=5,
)
CPU_S = Field(
    "processor time",
    "processor time to relax it and, in exploration, to make it; NaN: unknown",
    "s",
    since=5,
)
