"""The voxel layers that a network is shown: the generated ones and some known ones beside them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.voxels.grid import Grid, num_repeats

if TYPE_CHECKING:
    # A boundary is laid out without torch.
    from torch import Tensor

    from gcd_hpc.diffusion.inpainting import Network


def seen_layers(num_layers: int, num_known: int, config: CampaignConfig) -> slice:
    """Layers of an array that the network is shown, along z.

    With RePaint, whose network has no input for known voxels, it is shown all of them.

    Args:
        num_layers: layers of the array. num_known: known ones at each end.
    """
    context = config.network.context
    if context is None or config.diffusion.inpainting == "repaint":
        return slice(0, num_layers)
    multiple = config.network.voxel_multiple
    hidden = max(0, num_known - context) // multiple * multiple
    return slice(hidden, num_layers - hidden)


def num_computed(shape: Sequence[int], config: CampaignConfig) -> int:
    """Voxels for which a network computes an array that it is shown, with repeats.

    Args:
        shape: of the array, (X, Y, Z).
    """
    multiple = config.network.voxel_multiple
    x, y, z = shape
    return x * num_repeats(x, multiple) * y * num_repeats(y, multiple) * z


def num_computed_of(grid: Grid, num_known: int, config: CampaignConfig) -> int:
    """Voxels for which the network computes on a grid, those of one evaluation."""
    x, y, num_layers = grid.shape
    layers = seen_layers(num_layers, num_known, config)
    return num_computed((x, y, layers.stop - layers.start), config)


def shown(network: "Network", layers: slice) -> "Network":
    """The network on arrays (B, C, X, Y, Z) of which it sees only some layers.

    Its prediction for the others, which are known and not used, is 0.
    """
    from torch.nn import functional

    def predict(
        x: "Tensor",
        log_snr: "Tensor",
        condition: "Tensor | None" = None,
        has_condition: "Tensor | None" = None,
    ) -> "Tensor":
        predicted = network(x[..., layers], log_snr, condition, has_condition)
        return functional.pad(predicted, (layers.start, x.shape[-1] - layers.stop))

    return predict
