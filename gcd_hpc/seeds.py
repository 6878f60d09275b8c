"""Random streams keyed by item: the same numbers on any process and in any order."""

import numpy as np

# First key of a stream: the stage or experiment that draws from it.
(
    SEARCH,
    DECODER,
    TRAINING,
    SAMPLING,
    REHEARSAL,
    CRYSTAL,
    PARTICLE,
    CARBON,
    REPRODUCE,
    EXPLORE,
    HOLD,
    PROPERTY,
    ENERGY,
    LABELS,
    MATERIAL,
) = range(15)


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random stream of one item, e.g. ``generator(seed, SAMPLING, version, index)``.

    Streams of different keys are independent, and a stream does not depend on those drawn before
    it.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
