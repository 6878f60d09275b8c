"""What rows of a campaign of a material store: density, energy and the difference to a spectrum."""

from gcd_hpc.store.field import Field

GUIDED_LABELS = ("", "guided", "unguided")
GUIDED_ORDER = GUIDED_LABELS[1:]
"""Labels of a model's samples, in the order in which they are shown. In the results of tasks their
numbers, 0 and 1, stand in place of n_index.
"""

DENSITY = Field("density", "mass over volume of the cell; NaN for boundaries", "g/cm^3", since=7)
ENERGY = Field(
    "energy per atom",
    "potential energy over the number of atoms after relaxation; NaN for boundaries",
    "eV",
    since=7,
)
GUIDED = Field(
    "guidance",
    "whether the model was guided by the target spectrum, or not, as a control; empty where no "
    "model of a material made the structure",
    since=7,
    labels=GUIDED_LABELS,
)
SPECTRUM_ERROR = Field(
    "spectrum error",
    "root mean square difference of the mean spectrum to the target, both with a mean level of 1 "
    "over their window: the mean that the property network predicts, corrected by the engine's "
    "spectra of random atoms; NaN where the engine has computed none",
    "1",
    since=7,
)
SPECTRUM_ERROR_SE = Field(
    "standard error of the spectrum error",
    "standard error of spectrum_error that comes from the choice of atoms",
    "1",
    since=7,
)
PREDICTED_ERROR = Field(
    "predicted spectrum error",
    "the same difference for the spectrum that the property network predicts; NaN where it was "
    "not predicted",
    "1",
    since=7,
)
NUM_LABELLED = Field(
    "atoms with spectra", "number of atoms whose spectra the engine computed", "1", since=7
)
