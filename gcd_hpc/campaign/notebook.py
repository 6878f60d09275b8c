"""Python interface of ``gcd-hpc campaign`` for notebooks and scripts, with the same defaults."""

from pathlib import Path

from gcd_hpc.campaign.driver import run_campaign as drive
from gcd_hpc.campaign.session import Outcome
from gcd_hpc.structures.slab_files import read_campaign
from gcd_hpc.workers.allocation import site_here


def run_campaign(
    file: str | Path,
    run_dir: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    site: str | Path | None = None,
    until: str | None = None,
) -> Outcome:
    """Run or resume a campaign, as ``gcd-hpc campaign FILE`` does.

    Args:
        file: campaign file.
        run_dir: ``runs/NAME`` when not given.
        overrides: changes of keys, such as ``("seed=1", "budget.rounds=4")``.
        site: site file or name; by default the built-in site that fits this machine.
        until: phase to end after, such as ``"search"`` or ``"train-01"``.

    Returns:
        Outcome of the session; its ``status`` is "complete" or "paused".

    Raises:
        GcdError: for problems that the user can fix; the same call then resumes.
    """
    config = read_campaign(Path(file), overrides)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / config.name
    return drive(config, site_here(site), folder, Path(file).parent, until=until)
