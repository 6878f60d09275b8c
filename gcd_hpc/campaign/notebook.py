"""Python interface of ``gcd-hpc campaign`` for notebooks and scripts, with the same defaults."""

from pathlib import Path

from gcd_hpc.campaign.driver import run_campaign as drive
from gcd_hpc.campaign.session import Outcome
from gcd_hpc.campaign.set_driver import SetOutcome, run_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.structures.boundary_sets import read_campaign_or_set
from gcd_hpc.workers.allocation import site_here


def run_campaign(
    file: str | Path,
    run_dir: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    site: str | Path | None = None,
    until: str | None = None,
) -> Outcome | SetOutcome:
    """Run or resume a campaign or a set of them, as ``gcd-hpc campaign FILE`` does.

    Args:
        file: campaign file, of one boundary or of a set.
        run_dir: ``runs/NAME`` when not given.
        overrides: changes of keys, such as ``("seed=1", "budget.rounds=4")``.
        site: site file or name; by default the built-in site that fits this machine.
        until: phase to end after, such as ``"search"`` or ``"train-01"``.

    Returns:
        Outcome of the session; its ``status`` is "complete" or "paused". That of a set has the
            members that were left out as ``failures``.

    Raises:
        GcdError: for problems that the user can fix; the same call then resumes.
    """
    config, path = read_campaign_or_set(Path(file), overrides), Path(file)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / config.name
    if isinstance(config, SetConfig):
        return run_set(config, site_here(site), folder, path.parent, until=until)
    return drive(config, site_here(site), folder, path.parent, until=until)
