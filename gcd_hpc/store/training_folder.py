"""Paths of a model's training outside of a campaign; no other module knows their names."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingFolder:
    """Files that the training of a model keeps beside the model's file until it is written."""

    model: Path

    @property
    def path(self) -> Path:
        """Folder of all other files."""
        return self.model.with_name(f"{self.model.name}.training")

    @classmethod
    def at(cls, path: Path) -> "TrainingFolder":
        """The training that keeps its files in this folder."""
        return cls(path.with_name(path.name.removesuffix(".training")))

    @property
    def job(self) -> Path:
        """What is trained; written when all training sets are."""
        return self.path / "job.json"

    def training_set(self, number: int) -> Path:
        """Training set of a boundary, by its number in the job."""
        return self.path / "sets" / f"{number:04d}.h5"

    @property
    def state(self) -> Path:
        """Checkpoint."""
        return self.path / "checkpoint.pt"

    @property
    def progress(self) -> Path:
        """Steps, loss and seconds, updated while it trains."""
        return self.path / "steps.json"

    @property
    def pause(self) -> Path:
        """Flag file: while it exists, the training writes a checkpoint and ends."""
        return self.path / "pause"

    @property
    def log(self) -> Path:
        """Output of the processes."""
        return self.path / "training.log"
