"""The model that a round of a campaign samples with, as the verdicts on disk say."""

import json

from gcd_hpc.errors import CheckpointError
from gcd_hpc.store.run_directory import RunDirectory


def model_in_use(run: RunDirectory, version: int) -> int:
    """Version of the model that round ``version`` samples with.

    It is ``version`` itself if it was promoted, else the model in use before. The first model
    is used without a verdict, as there is no earlier one; a trained one may have a verdict.

    Raises:
        CheckpointError: if the verdict on a later model is missing or cannot be read.
    """
    path = run.promotion(version)
    try:
        return int(json.loads(path.read_text())["model"])
    except FileNotFoundError:
        if version == run.first_model:
            return version
        raise CheckpointError(
            f"{path}: there is no verdict on model {version} yet; run the campaign to the end"
            " of its promotion"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: the model in use cannot be read ({error!r}); remove the file, and the"
            " campaign's command promotes again"
        ) from error
