"""Loading of an ASE calculator in its own process, and what identifies it."""

import contextlib
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPECIFICATION = Path("calculator.json")
"""File in the folder of the process that says which calculator to load."""


class LoadError(Exception):
    """A calculator that cannot be loaded; the message says why.

    is_installed: whether its module is there.
    """

    def __init__(self, problem: str, is_installed: bool = True) -> None:
        super().__init__(problem, is_installed)
        self.is_installed = is_installed

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Loaded:
    """A calculator and what identifies it.

    has_energies: whether it gives energies of single atoms that are wanted.
    """

    calculator: Any
    has_energies: bool
    identity: dict[str, str]


def load() -> Loaded:
    """The calculator that ``calculator.json`` names.

    Raises:
        LoadError: if it cannot be imported or made.
    """
    wanted = json.loads(SPECIFICATION.read_text())
    folder = Path(wanted["folder"])
    sys.path.append(str(folder))  # modules that lie beside the campaign file
    module_name, _, name = wanted["path"].partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise LoadError(f"there is no Python module {error.name}", False) from error
    except Exception as error:
        raise LoadError(f"the module {module_name} fails with {_said(error)}") from error
    make = getattr(module, name, None)
    if not callable(make):
        raise LoadError(f"the module {module_name} has no callable {name}")
    arguments, contents = _with_files(wanted["arguments"], folder)
    try:
        calculator = make(**arguments)
    except ModuleNotFoundError as error:
        raise LoadError(f"there is no Python module {error.name}", False) from error
    except Exception as error:
        raise LoadError(f"{name} fails with {_said(error)}") from error
    if not hasattr(calculator, "get_property"):
        raise LoadError(f"{name} makes a {type(calculator).__name__}, which is no ASE calculator")
    offered = "energies" in getattr(calculator, "implemented_properties", ())
    identity = {
        "calculator": wanted["path"],
        "arguments": json.dumps(wanted["arguments"], sort_keys=True),
        "version": _versions(module, calculator),
        "weights": _weights(calculator),
        **contents,
    }
    return Loaded(calculator, offered and bool(wanted["atom_energies"]), identity)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _with_files(
    arguments: Mapping[str, Any], folder: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Arguments with whole paths for files, and the hashes of these files by argument.

    A text is a file if there is one of that name beside the campaign file.
    """
    whole, hashes = {}, {}
    for name, value in arguments.items():
        file = folder / value if isinstance(value, str) and value else None
        if file is not None and file.is_file():
            whole[name] = str(file.resolve())
            hashes[f"file {name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            whole[name] = value
    return whole, hashes


def _versions(module: Any, calculator: Any) -> str:
    """Versions of the packages of a module and of the calculator that it makes.

    A module of this package that only makes a calculator of another one does not count.
    """
    own = __name__.partition(".")[0]
    modules = [module, sys.modules.get(type(calculator).__module__, module)]
    return ", ".join(
        dict.fromkeys(_version(one) for one in modules if one.__name__.partition(".")[0] != own)
    )


def _version(module: Any) -> str:
    """Version of the module's package, or the hash of its file if it is of no installed package."""
    root = module.__name__.partition(".")[0]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{root} {importlib.metadata.version(root)}"
    # A package of another name; the search takes a second.
    packages = importlib.metadata.packages_distributions().get(root, [])
    if packages:
        return f"{packages[0]} {importlib.metadata.version(packages[0])}"
    file = inspect.getsourcefile(module)
    return "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _weights(calculator: Any) -> str:
    """Hash of the weights of all networks of a calculator; empty without any."""
    digest, num = hashlib.sha256(), 0
    for network in _networks(calculator):
        for name, tensor in sorted(network.state_dict().items()):
            if hasattr(tensor, "detach"):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
                num += 1
    return digest.hexdigest() if num else ""


def _networks(calculator: Any) -> Iterator[Any]:
    """Networks among the attributes of a calculator, or in lists of them."""
    for value in vars(calculator).values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if callable(getattr(one, "state_dict", None)) and hasattr(one, "parameters"):
                yield one
