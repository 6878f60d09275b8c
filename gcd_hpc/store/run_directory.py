"""Where a run keeps its files.

Chunks are named by their number, so that a chunk on disk is a chunk done.
"""

import json
from pathlib import Path

from gcd_hpc.errors import CheckpointError


def search_part(run_dir: Path, chunk: int) -> Path:
    """Relaxed structures of one chunk of the seed search."""
    return run_dir / "parts" / "search" / f"part-{chunk:05d}.h5"


def sampled_part(run_dir: Path, version: int, chunk: int) -> Path:
    """Decoded, unrelaxed structures of one chunk of model ``version``."""
    return run_dir / "parts" / f"model-{version:02d}" / "sampled" / f"part-{chunk:05d}.h5"


def relaxed_part(run_dir: Path, version: int, chunk: int) -> Path:
    """The same chunk after relaxation."""
    return run_dir / "parts" / f"model-{version:02d}" / "relaxed" / f"part-{chunk:05d}.h5"


def known_parts(run_dir: Path, version: int) -> list[Path]:
    """Relaxed parts on disk of the search and of all models before ``version``; in asynchronous
    mode those models go on meanwhile.
    """
    parts = sorted((run_dir / "parts" / "search").glob("part-*.h5"))
    for earlier in range(1, version):
        parts += sorted(relaxed_part(run_dir, earlier, 0).parent.glob("part-*.h5"))
    return parts


def model_dir(run_dir: Path, version: int) -> Path:
    return run_dir / "models" / f"{version:02d}"


def training_set(run_dir: Path, version: int) -> Path:
    return model_dir(run_dir, version) / "training.h5"


def model_file(run_dir: Path, version: int) -> Path:
    return model_dir(run_dir, version) / "model.safetensors"


def promotion_file(run_dir: Path, version: int) -> Path:
    """Verdict on model ``version``: whether it was promoted, and which model is in use since."""
    return model_dir(run_dir, version) / "promotion.json"


def model_in_use(run_dir: Path, version: int) -> int:
    """The model that round ``version`` samples with: itself if it was promoted, else the one in use
    before.

    The first model is in use as soon as it is trained, for there is no other.

    Raises:
        CheckpointError: if a later model was not compared with the one before yet, or if what is
            written of it cannot be read.
    """
    path = promotion_file(run_dir, version)
    try:
        return int(json.loads(path.read_text())["model"])
    except FileNotFoundError:
        if version == 1:
            return 1
        raise CheckpointError(
            f"{path}: expected the verdict on model {version}, got no such file; promote it first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: expected the model in use, got {error!r}; remove the file and promote again"
        ) from error


def decoder_file(run_dir: Path) -> Path:
    """The learned decoder, if the campaign uses one; all models share it."""
    return run_dir / "models" / "decoder.safetensors"


def pause_file(run_dir: Path) -> Path:
    """There while a driver wants training to write a checkpoint and end."""
    return run_dir / "pause"


def chunk_indices(num: int, chunk_size: int, chunk: int) -> range:
    """Indices of the items in one chunk."""
    return range(chunk * chunk_size, min(num, (chunk + 1) * chunk_size))


def num_chunks(num: int, chunk_size: int) -> int:
    return -(-num // chunk_size)
