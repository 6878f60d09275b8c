"""Choice among structures before they are relaxed."""

from gcd_hpc.config.section import PositiveInt, Section


class RankingConfig(Section):
    """Choice among several structures before one of them is relaxed, in the search and in
    exploration, by an energy model: docs/models.md#energy-models.
    """

    model: str | None = None
    """File of an energy model, looked for beside the campaign file and then in the working
    directory. Without one every structure that is made is relaxed.
    """
    tries: PositiveInt = 4
    """Structures that are made for each one that is relaxed. They have one [n] in the search, and
    are changed by one kind of move in exploration, so that neither is preferred.
    """
