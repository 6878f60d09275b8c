"""Run directories of experiments, which are prepared as those of campaigns are."""

import hashlib
import shutil
from pathlib import Path

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import dump
from gcd_hpc.config.shipped import shipped
from gcd_hpc.files import replacing
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.store.run_directory import RunDirectory

VERSION = 1
"""Model version of all experiments, which have one round."""


def open_run(work: Path, name: str, config: CampaignConfig) -> Path:
    """Run directory of a config under ``work``, prepared at its first use."""
    text = dump(config)
    folder = work / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not RunDirectory(folder).config.exists():
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, config, shipped("campaigns"))
        with replacing(RunDirectory(folder).config) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder


def copied(original: Path, copy: Path) -> None:
    """Copy a file unless the copy is there."""
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as temporary:
            shutil.copyfile(original, temporary)


def lent(work: Path, name: str, config: CampaignConfig, lender: Path) -> Path:
    """Run directory with the training set and the model of another run."""
    run = open_run(work, name, config)
    own, other = RunDirectory(run), RunDirectory(lender)
    copied(other.training_set(VERSION), own.training_set(VERSION))
    copied(other.model_file(VERSION), own.model_file(VERSION))
    return run
