"""What measurements need of a run: its campaign, potential, crystal and slabs, without torch."""

from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import Bulk, read_prepared
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.strained import measured_layout
from gcd_hpc.errors import StoreError
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame


@dataclass(frozen=True)
class PhaseSystem:
    """The boundary of a run with the run's own copy of the potential."""

    config: CampaignConfig
    potential: Engine
    bulk: Bulk
    bicrystal: Bicrystal
    frame: Frame
    outer: float
    """Height of the held layers, Å."""

    @classmethod
    def of_run(cls, path: Path) -> "PhaseSystem":
        """System of a run directory.

        Raises:
            StoreError: if the path is a file of results without its run directory.
            GcdError: if the copy of the potential or the bulk crystal is missing or damaged.
        """
        run = RunDirectory(path)
        if not run.config.is_file():
            raise StoreError(
                f"{path}: phases cannot be measured, because there is no campaign with its"
                " potential beside these results; name the run directory that made them"
            )
        config = load_campaign(run.config)
        potential, bulk = read_prepared(config, run.potential, run.bulk)
        layout = measured_layout(config, potential, bulk, run.strained)
        return cls(config, potential, bulk, layout.bicrystal, layout.frame, layout.outer)
