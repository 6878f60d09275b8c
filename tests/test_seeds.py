import inspect

import numpy as np

from gcd_hpc import seeds
from gcd_hpc.seeds import SAMPLING, SEARCH, generator


def draws(*key: int) -> list[float]:
    return generator(*key).random(4).tolist()


def test_the_same_key_gives_the_same_numbers():
    assert draws(7, SAMPLING, 2, 45) == draws(7, SAMPLING, 2, 45)


def test_every_part_of_a_key_changes_the_numbers():
    key = (7, SAMPLING, 2, 45)
    others = [
        (8, SAMPLING, 2, 45),
        (7, SEARCH, 2, 45),
        (7, SAMPLING, 1, 45),
        (7, SAMPLING, 2, 44),
        (7, SAMPLING, 45, 2),
    ]
    assert len({draws(*each)[0] for each in [key, *others]}) == 6


def test_a_stream_does_not_depend_on_the_streams_drawn_before_it():
    alone = draws(0, SEARCH, 5)
    for index in range(5):
        draws(0, SEARCH, index)
    assert draws(0, SEARCH, 5) == alone


def test_no_two_stages_share_their_streams():
    stages = [value for name, value in inspect.getmembers(seeds) if name.isupper()]
    assert len(set(stages)) == len(stages) == 15


def test_streams_of_neighbouring_items_are_uncorrelated():
    numbers = np.array([generator(0, SEARCH, index).standard_normal(1000) for index in range(20)])
    correlation = np.corrcoef(numbers) - np.eye(20)
    # 190 pairs of standard error 1 / sqrt(1000) = 0.03: five of those are never reached by chance.
    assert np.abs(correlation).max() < 0.16


def test_the_numbers_are_those_of_the_first_release():
    """Golden: python -c "from gcd_hpc.seeds import *; print(generator(0, SAMPLING, 1,
    2).integers(10**6, size=3))"
    """
    assert generator(0, SAMPLING, 1, 2).integers(10**6, size=3).tolist() == [764749, 240052, 843124]
