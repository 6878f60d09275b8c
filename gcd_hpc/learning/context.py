"""The voxel layers that a network is shown: the generated ones and some known ones beside them."""

from typing import TYPE_CHECKING

from gcd_hpc.config.campaign import CampaignConfig

if TYPE_CHECKING:
    # A boundary is laid out without torch.
    from torch import Tensor

    from gcd_hpc.diffusion.inpainting import Network


def seen_layers(num_layers: int, num_known: int, config: CampaignConfig) -> slice:
    """Layers of an array that the network is shown, along z.

    RePaint, which tells the network nothing of what is known, shows it all of them.

    Args:
        num_layers: layers of the array. num_known: known ones at each end.
    """
    context = config.network.context
    if context is None or config.diffusion.inpainting == "repaint":
        return slice(0, num_layers)
    multiple = config.network.voxel_multiple
    hidden = max(0, num_known - context) // multiple * multiple
    return slice(hidden, num_layers - hidden)


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
