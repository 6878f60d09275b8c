"""A task small enough for a test, in a module that a worker loads at once."""

from gcd_hpc.seeds import REPRODUCE, generator


def throw_dice(seed, index, report):
    return {"eyes": generator(seed, REPRODUCE, index).integers(1, 7, size=100)}
