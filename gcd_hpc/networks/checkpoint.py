"""Model files (safetensors) and training states (torch), written atomically and hash-checked."""

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from gcd_hpc.config.starting import CARD_KEY
from gcd_hpc.errors import CheckpointError, reason_of
from gcd_hpc.files import replacing

DIGEST_SIZE = hashlib.sha256().digest_size
CURE = "train the model anew"
Network = TypeVar("Network", bound=nn.Module)


def save(
    path: str | os.PathLike[str],
    weights: dict[str, Tensor],
    metadata: dict[str, Any],
    entries: Mapping[str, str] | None = None,
) -> str:
    """Write a model file.

    Args:
        weights: state dict.
        metadata: JSON-serialisable; "sha256" is added.
        entries: texts beside the metadata that do not enter the hash, such as the date.

    Returns:
        The sha256 of weights and metadata, which identifies the model.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    digest = _hash(tensors, metadata)
    text = json.dumps({**metadata, "sha256": digest}, sort_keys=True)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, {**(entries or {}), CARD_KEY: text}))
    return digest


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a model file and check its hash.

    Returns:
        State dict on the CPU; metadata as saved, with "sha256".

    Raises:
        CheckpointError: if the file is missing, damaged or not from this package, or if a weight is
            not finite.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name a model file in it")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(CARD_KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = json.loads(text) if text is not None else None
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such model file; train the model") from None
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged model file: {error}; {CURE}") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(
            f"{path}: cannot be loaded, because gcd-hpc did not write this safetensors file; name a"
            " model of a run directory"
        )
    expected = metadata.get("sha256")
    got = _hash(weights, {key: value for key, value in metadata.items() if key != "sha256"})
    if got != expected:
        raise CheckpointError(
            f"{path}: damaged model file: its content has the hash {got} instead of {expected};"
            f" {CURE}"
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise CheckpointError(f"{path}: cannot be used: a weight is NaN or infinite; {CURE}")
    return weights, metadata


def load_weights(
    module: torch.nn.Module, weights: dict[str, Tensor], source: str | os.PathLike[str]
) -> None:
    """Load weights into a network.

    Raises:
        CheckpointError: if their names or shapes are those of another network.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).split("\n", 2)[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{source}: made for another network: {first}; {CURE}") from error


def loaded(
    make: Callable[[], Network], weights: dict[str, Tensor], source: str | os.PathLike[str]
) -> Network:
    """The network of a file whose card states its shape.

    It is made without memory first, because a card may state a shape of any size.

    Args:
        make: network of the stated shape.
        weights: those of the file.

    Raises:
        CheckpointError: if there is no such network, or if its weights have other names or shapes.
    """
    try:
        with torch.device("meta"):
            stated = {name: tensor.shape for name, tensor in make().state_dict().items()}
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = reason_of(error)
        raise CheckpointError(
            f"{source}: its card describes no network ({type(error).__name__}: {reason}); {CURE}"
        ) from error
    held = {name: tensor.shape for name, tensor in weights.items()}
    for name in stated.keys() | held.keys():
        if stated.get(name) != held.get(name):
            shapes = (tuple(one[name]) if name in one else "none" for one in (stated, held))
            raise CheckpointError(
                f"{source}: made for another network: expected {name} of shape"
                f" {' and got '.join(map(str, shapes))}; {CURE}"
            )
    network = make()
    load_weights(network, weights, source)
    return network


def save_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a training state in torch's format, followed by its sha256.

    Args:
        state: tensors, numbers, text, and lists and dicts of these.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content + hashlib.sha256(content).digest())


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a training state to the CPU; code in the file is never run.

    Raises:
        CheckpointError: if the file is missing, damaged or holds more than plain data.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot read the training state: {error.strerror}"
        ) from error
    content, digest = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise CheckpointError(f"{path}: damaged training state: its content hash does not fit")
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        # torch's own message is long and suggests loading the file without these checks.
        raise CheckpointError(
            f"{path}: cannot be loaded as a training state, because it holds more than tensors and"
            " numbers"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path}: cannot be loaded as a training state, because it holds a"
            f" {type(state).__name__}"
        )
    return state


def _hash(weights: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
