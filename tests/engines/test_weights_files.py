"""Calculators whose weights are downloaded by name, with weights in a file of the user's instead.

The weights are random, so that energies mean nothing; they are those of the calculator itself.
mace-torch and sevenn need different versions of e3nn, so that no environment has all of them.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.calculators import AseCalculator, find_calculator, kept_calculator
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Evaluation
from gcd_hpc.engines.loading import SPECIFICATION
from gcd_hpc.errors import LaunchError, PotentialError

pytestmark = [
    pytest.mark.slow,
    # Of both packages, about torch.load and about the precision.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.rattle(0.05, seed=1)
    return atoms


def evaluated(engine: AseCalculator, atoms: Atoms) -> Evaluation:
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    with Child(engine, 300.0) as child:
        return child.evaluate(atoms.positions, box, periodic_z=True)


def write_mace(path: Path, seed: int) -> None:
    """Write a small MACE model of copper with random weights."""
    # Importing the calculators lets torch load files that e3nn wrote with earlier versions of it.
    import mace.calculators
    import torch
    from e3nn import o3

    torch.manual_seed(seed)
    modules = mace.modules
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        network = modules.ScaleShiftMACE(
            r_max=4.5,
            num_bessel=4,
            num_polynomial_cutoff=5,
            max_ell=1,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=1,
            hidden_irreps=o3.Irreps("8x0e"),
            MLP_irreps=o3.Irreps("8x0e"),
            atomic_energies=np.array([-3.5]),
            avg_num_neighbors=18.0,
            atomic_numbers=[29],
            correlation=2,
            gate=torch.nn.functional.silu,
            radial_MLP=[8, 8],
            radial_type="bessel",
            atomic_inter_scale=5.0,
            atomic_inter_shift=0.0,
        )
        torch.save(network, path)
    finally:
        torch.set_default_dtype(before)


def test_mace_from_a_file_has_the_energies_of_its_own_calculator(tmp_path: Path, copper: Atoms):
    reason = "pip install mace-torch installs MACE, in an environment without sevenn"
    package = pytest.importorskip("mace.calculators", reason=reason)
    write_mace(tmp_path / "tiny.model", seed=0)
    config = CalculatorConfig(name="mace", arguments={"model": "tiny.model"})
    engine = find_calculator(config, ["Cu"], "fcc", tmp_path)
    assert engine.has_energies
    assert engine.identity["version"].startswith("mace-torch ")
    file_hash = hashlib.sha256((tmp_path / "tiny.model").read_bytes()).hexdigest()
    assert engine.identity["file model"] == file_hash
    ours = evaluated(engine, copper)
    copper.calc = package.MACECalculator(
        model_paths=str(tmp_path / "tiny.model"), device="cpu", default_dtype="float64"
    )
    np.testing.assert_allclose(ours.energies, copper.get_potential_energies(), atol=1e-9)
    np.testing.assert_allclose(ours.forces, copper.get_forces(), atol=1e-9)
    assert ours.total_ev == pytest.approx(copper.get_potential_energy(), abs=1e-9)
    assert ours.energies.std() > 1e-4
    refuses_other_weights(engine, config, tmp_path, lambda path: write_mace(path, seed=1))


def refuses_other_weights(
    engine: AseCalculator, config: CalculatorConfig, folder: Path, write: Any
) -> None:
    """A run keeps the hash of its weights, and does not go on with others."""
    run = folder / "run"
    run.mkdir()
    (run / SPECIFICATION).write_bytes(engine.made[SPECIFICATION.name])
    kept = kept_calculator(config, ["Cu"], run)
    assert kept == engine
    write(folder / "tiny.model")
    with Child(kept, 300.0) as child, pytest.raises(PotentialError, match="its weights was"):
        child.introduction()


def test_orb_from_a_file_has_the_energies_of_its_own_calculator(tmp_path: Path, copper: Atoms):
    reason = "pip install orb-models installs Orb"
    pretrained = pytest.importorskip("orb_models.forcefield.pretrained", reason=reason)
    import torch
    from orb_models.forcefield.calculator import ORBCalculator

    torch.manual_seed(0)
    weights = tmp_path / "orb.ckpt"
    torch.save(pretrained.orb_v3_conservative_architecture(device="cpu").state_dict(), weights)
    config = CalculatorConfig(name="orb", arguments={"weights": "orb.ckpt"})
    engine = find_calculator(config, ["Cu"], "fcc", tmp_path)
    assert not engine.has_energies
    assert engine.identity["version"].startswith("orb_models ")
    assert engine.identity["file weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    ours = evaluated(engine, copper)
    network = pretrained.orb_v3_conservative_inf_omat(
        str(weights), device="cpu", precision="float32-highest", compile=False
    )
    copper.calc = ORBCalculator(network, device="cpu")
    assert ours.total_ev == pytest.approx(copper.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(ours.forces, copper.get_forces(), atol=1e-5)
    assert np.abs(ours.forces).max() > 1e-2


@pytest.mark.parametrize(("name", "argument"), [("mace", "model"), ("orb", "weights")])
def test_weights_that_cannot_be_had_are_named_with_the_argument_for_a_file(
    name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = {"mace": "mace.calculators", "orb": "orb_models"}[name]
    pytest.importorskip(module, reason=f"the package of {name} is not installed")
    config = CalculatorConfig(name=name, arguments={argument: "not_here.ckpt"})
    cure = f"name a file of them by calculator.arguments.{argument}"
    with pytest.raises(LaunchError, match=cure):
        find_calculator(config, ["Cu"], "fcc", tmp_path)
