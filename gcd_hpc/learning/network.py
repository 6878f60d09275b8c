"""The network of a boundary model."""

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.diffusion.inpainting import num_inputs
from gcd_hpc.learning.conditions import NUM_CONDITIONS
from gcd_hpc.networks.unet import UNet
from gcd_hpc.voxels.channels import Channels


def boundary_network(config: NetworkConfig, channels: Channels) -> UNet:
    """U-Net for in-painting of these channels under a condition, with random weights."""
    num = len(channels)
    return UNet(config, NUM_CONDITIONS, in_channels=num_inputs(num), out_channels=num)
