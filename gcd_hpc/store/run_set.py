"""Python interface to a set of boundaries: the run of each, by its name."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign_or_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.errors import ConfigError, StoreError, did_you_mean, shortened
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory


@dataclass(frozen=True)
class RunSet:
    """The run directory of a set: a campaign file, and one whole run directory a member."""

    path: Path
    config: SetConfig
    """The set as its run directory holds it."""

    @staticmethod
    def is_set(path: str | Path) -> bool:
        """Whether a folder is the run directory of a set."""
        return RunDirectory(path).is_set()

    @classmethod
    def open(cls, path: str | Path) -> "RunSet":
        """Open the run directory of a set, also while it runs.

        Raises:
            StoreError: if there is none, or its campaign file cannot be read.
        """
        path = Path(path)
        if not cls.is_set(path):
            raise StoreError(
                f"{path}: is not the run directory of a set of boundaries; name one, such as"
                " gcd-hpc campaign makes from a file with the key boundaries"
            )
        try:
            config = load_campaign_or_set(RunDirectory(path).config)
        except ConfigError as error:
            raise StoreError(f"{error}; put the file back from a copy") from error
        if not isinstance(config, SetConfig):
            raise StoreError(
                f"{RunDirectory(path).config}: lists no boundaries, although the folder holds"
                " members of a set; put the file back from a copy"
            )
        return cls(path, config)

    @property
    def campaigns(self) -> dict[str, CampaignConfig]:
        """Campaign of each member by its name, in the order of the set's file."""
        return self.config.members()

    def directory(self, name: str) -> Path:
        """Run directory of a member, on which every command works.

        Raises:
            StoreError: if the set has no member of this name.
        """
        if name not in self.campaigns:
            raise StoreError(
                f"{self.path}: is a set without a boundary {shortened(name)}; gcd-hpc overview"
                f" lists all{did_you_mean(name, self.campaigns)}"
            )
        return RunDirectory(self.path).member(name).path

    @cached_property
    def members(self) -> dict[str, Run]:
        """Candidates of each member that has some, by its name, when they are first read.

        Raises:
            StoreError: if a file of a member is damaged.
        """
        folders = {name: self.directory(name) for name in self.campaigns}
        return {
            name: open_run(folder)
            for name, folder in folders.items()
            if folder.is_dir() and RunStore(folder).part_paths()
        }

    def select(self, selection: str) -> dict[str, Run]:
        """Candidates of each member in ``members`` that meet all conditions of a selection.

        Raises:
            StoreError: naming the condition that is wrong.
        """
        return {name: run.select(selection) for name, run in self.members.items()}
