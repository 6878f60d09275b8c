"""Random numbers that belong to an item, whoever computes it and in whatever order."""

import numpy as np

# First key of a stream: which stage or experiment draws from it.
SEARCH, DECODER, TRAINING, SAMPLING, REHEARSAL, CRYSTAL, PARTICLE, CARBON, REPRODUCE = range(9)


def generator(seed: int, *key: int) -> np.random.Generator:
    """The random stream of one item, e.g. ``generator(seed, SAMPLING, version, index)``.

    Streams of different keys are independent; a stream does not depend on which streams were drawn
    before it.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
