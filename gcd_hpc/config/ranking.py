"""Choice among structures before they are relaxed."""

from gcd_hpc.config.section import PositiveInt, Section


class RankingConfig(Section):
    """Choice among several structures before one of them is relaxed, in the search and in
    exploration, by the energy model: docs/models.md#energy-models.
    """

    tries: PositiveInt = 1
    """Structures that are made for each try that is relaxed, those among the moves of exploration
    included. In the search they have one [n], so that none is preferred. With 1 every try that is
    made is relaxed.
    """
    moves: PositiveInt = 1
    """Structures that are made for each other move that is relaxed, all by the same kind of move;
    in-paintings are not ranked. It pays only where a relaxation takes much longer than an estimate.
    """

    @property
    def is_wanted(self) -> bool:
        """Whether anything is ranked."""
        return max(self.tries, self.moves) > 1
