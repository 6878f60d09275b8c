"""A boundary in words."""

from gcd_hpc.config.miller import spelled
from gcd_hpc.structures.bicrystal import Bicrystal


def described(bicrystal: Bicrystal) -> str:
    """Sigma, kind, misorientation and planes of a boundary, on one line."""
    sigma = "no coincidence lattice" if bicrystal.sigma is None else f"Sigma {bicrystal.sigma}"
    grains = (bicrystal.lower, bicrystal.upper)
    axis = spelled(bicrystal.misorientation_axis, "<>")
    about = f"{bicrystal.character}, {bicrystal.misorientation_deg:.2f} degrees about {axis}"
    if bicrystal.lower.directions is None:
        planes = " on ".join(spelled(one.normal, "()") for one in grains)
        return f"{sigma} {about}, planes {planes}, in primitive vectors of the crystal"
    planes = " on ".join(spelled(one.named[2], "()") for one in grains)
    return f"{sigma} {about}, planes {planes}"
