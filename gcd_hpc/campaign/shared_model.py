"""The model that the boundaries of a set share, beside them in one session."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gcd_hpc.campaign.actions import Action, Stop, Submit
from gcd_hpc.campaign.events import Opened
from gcd_hpc.campaign.keeper import PoolKeeper
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.campaign.member import Member
from gcd_hpc.campaign.set_policy import model_step, next_training
from gcd_hpc.campaign.signals import Clock, Signals
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.stages.shared import hand_over, restore_sources, settle_sources
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory


class SharedModel(Member):
    """Trains and promotes each version in the set's run directory, and hands it to the boundaries.

    A boundary that comes to a version which was trained without it, because it is new in the file
    or could not run before, takes the version as it is.
    """

    def __init__(
        self,
        members: Mapping[str, Member],
        config: CampaignConfig,
        run_dir: Path,
        ledger: Ledger,
        opened: Opened,
        keeper: PoolKeeper,
        clock: Clock,
        signals: Signals,
        note: Callable[[str], None],
        name: str = "",
    ) -> None:
        """Open a session in the ledger of the set.

        Args:
            members: boundaries that were opened so far, by name.
            config: campaign of the first of all boundaries.
        """
        self._members = members
        self.has_all = False
        """True once no further boundary will be opened."""
        shared = (keeper, clock, signals, note)
        super().__init__(config, run_dir, ledger, opened, *shared, name, decide=model_step)

    def adopt(self) -> None:
        """Hand over what boundaries wait for, and begin a training if all of them wait for it."""
        going = {name: one for name, one in self._members.items() if one.stop is None}
        if self.has_all and not going:
            self.stop = Stop("rounds")
            return
        run = RunDirectory(self.run_dir)
        for member in going.values():
            task = member.held
            # A model is handed over when the verdict on it is there, so that it is sound.
            if task is not None and Task("promote", task.round) in self.state.finished:
                hand_over(run, RunDirectory(member.run_dir), task)
                member.release()
        if self.has_all:
            task = next_training(self.state, [one.held for one in going.values()])
            if task is not None:
                settle_sources(run, task.round, sorted(going))
                self._carry_out([Submit(task)])
        super().adopt()

    def _carry_out(self, actions: Iterable[Action]) -> None:
        actions = list(actions)
        run = RunDirectory(self.run_dir)
        for action in actions:
            if isinstance(action, Submit):
                restore_sources(run, action.task.round)
        super()._carry_out(actions)
