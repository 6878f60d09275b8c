"""Hashes of the inputs of a run, taken when it starts and compared at every later start.

The sections of the campaign file, the potential and the measured crystal must not change, or the
candidates of one run would not be comparable, nor must the model that it starts from. The file of
each model holds the hash of its weights.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from gcd_hpc.config.loader import AnyCampaign
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.ranking import RankingConfig
from gcd_hpc.config.starting import energy_file, starting_file
from gcd_hpc.engines.bulk import BulkRecord
from gcd_hpc.engines.layout import lay_out
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.files import replacing
from gcd_hpc.stages.table import STAGES, stages_of
from gcd_hpc.store.run_directory import RunDirectory

LATER_KEYS = (("explore", "patience"),)
"""Section and key of what sections gained after the first version that kept hashes of them."""
LATER_SECTIONS = {"guidance": (), "ranking": RankingConfig().model_dump(mode="json")}
"""Sections that came after the first version that kept hashes, with what runs without them had."""
STARTING_MODEL = "model that it starts from"
"""Name of the file of the key ``model``."""
ENERGY_MODEL = "energy model"
"""Name of the file of the key ``energy_model``."""


def inputs_of(
    run_dir: Path, config: AnyCampaign, potential_sha256: str, folder: Path
) -> dict[str, str]:
    """SHA-256 of each input by its name; files of the run are included once they exist.

    Args:
        folder: of the campaign file, in which the model that it starts from is looked for first.

    Raises:
        ConfigError: if there is no such model.
    """
    is_material = isinstance(config, MaterialConfig)
    stages = stages_of("material" if is_material else "boundary")
    sections = sorted({section for stage in stages for section in STAGES[stage].sections})
    plain = config.model_dump(mode="json", include=set(sections))
    for name, key in () if is_material else LATER_KEYS:
        # At its default, a key of a later version leaves the hash of earlier runs as it was.
        default = type(getattr(config, name)).model_fields[key].default
        if plain[name][key] == default:
            del plain[name][key]
    inputs = {_section(name): _sha256(plain[name]) for name in sections}
    run = RunDirectory(run_dir)
    if isinstance(config, MaterialConfig):
        files = {f"copy of {path.name}": path for path in sorted(run.targets.glob("[!.]*"))}
        hashes = {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
        }
        return inputs | hashes | {"potential": potential_sha256}
    for what, file in (("measured crystal", run.bulk), ("structures of smaller cells", run.tiles)):
        if file.is_file():
            inputs[f"{what} in {file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    if config.model is not None:
        content = starting_file(config, folder, config.name).read_bytes()
        inputs[STARTING_MODEL] = hashlib.sha256(content).hexdigest()
    if config.energy_model is not None:
        content = energy_file(config, folder, config.name).read_bytes()
        inputs[ENERGY_MODEL] = hashlib.sha256(content).hexdigest()
    record = BulkRecord.read(run.bulk) if config.voxels.shape == "auto" else None
    if record is not None:
        # Another version may have another rule, and structures of two grids do not lie alike.
        a0, bulk = config.boundary.a0 or record.bulk.a0, record.bulk
        grid = lay_out(config, a0, config.name, bulk.reach, c0=bulk.c0).grid
        inputs["voxel grid for which auto stands"] = _sha256(grid.shape)
    return inputs | {"potential": potential_sha256}


def starting_model_sha256(run: RunDirectory) -> str | None:
    """Hash of the model that a run started from, as its inputs have it; None if unknown."""
    try:
        return str(json.loads(run.inputs.read_text(encoding="utf-8"))[STARTING_MODEL])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def settle_inputs(run_dir: Path, inputs: Mapping[str, str]) -> None:
    """Write the input hashes of a new run, or check that they have not changed.

    Raises:
        RunDirectoryError: with the first input that changed, its old and its new hash.
    """
    path = RunDirectory(run_dir).inputs
    try:
        before = {**EARLIER_RUNS, **json.loads(path.read_text(encoding="utf-8"))}
        known = {name: before[name] for name in inputs if name in before}
    except FileNotFoundError:
        known, before = {}, {}
    except (ValueError, TypeError) as error:
        raise RunDirectoryError(
            f"{path}: the hashes of this run's inputs cannot be read, because the file is damaged"
            f" ({error}); put it back from a copy or choose another --run-dir"
        ) from error
    for name, old in known.items():
        if old != inputs[name]:
            raise RunDirectoryError(
                f"{run_dir}: cannot be resumed, because the {name} is not what this run was started"
                f" with: its sha256 was {old} and is {inputs[name]} now; put the old one back or"
                " choose another --run-dir"
            )
    if known.keys() != inputs.keys():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({**before, **inputs}, indent=1) + "\n")


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _section(name: str) -> str:
    """What the hash of a section of the campaign file is called."""
    return f"section {name} of the campaign file"


EARLIER_RUNS = {_section(name): _sha256(value) for name, value in LATER_SECTIONS.items()}
"""Inputs of runs that are older than their sections."""
