"""Where a run keeps its files. Chunks are named by their number, so that a chunk on disk is a chunk done."""

from pathlib import Path


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
    """Relaxed parts that were complete before model ``version`` was trained: the search and all earlier models."""
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


def decoder_file(run_dir: Path) -> Path:
    """The learned decoder, if the campaign uses one; all models share it."""
    return run_dir / "models" / "decoder.safetensors"


def chunk_indices(num: int, chunk_size: int, chunk: int) -> range:
    """Indices of the items in one chunk."""
    return range(chunk * chunk_size, min(num, (chunk + 1) * chunk_size))


def num_chunks(num: int, chunk_size: int) -> int:
    return -(-num // chunk_size)

