"""Choice among structures before they are relaxed."""

from gcd_hpc.config.section import PositiveInt, Section


class RankingConfig(Section):
    """Choice among several structures before one of them is relaxed, in the search and in
    exploration, by the energy model: docs/models.md#energy-models.
    """

    tries: PositiveInt = 1
    """Structures that are made for each one that is relaxed. They have one [n] in the search, and
    are changed by one kind of move in exploration, so that neither is preferred. With 1 every
    structure that is made is relaxed.
    """
