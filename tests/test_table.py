"""Tables of the terminal: one kind for all commands."""

import ast
import io
from pathlib import Path

from rich.console import Console

import gcd_hpc
from gcd_hpc.campaign.table import new_table

PACKAGE = Path(gcd_hpc.__file__).parent


def makes_tables(path: Path) -> bool:
    """Whether a module calls rich's ``Table``."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "rich.table"
        for alias in node.names
    }
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") in imported
        for node in ast.walk(tree)
    )


def test_all_tables_are_made_at_one_place():
    home = PACKAGE / "campaign" / "table.py"
    assert not [path for path in PACKAGE.rglob("*.py") if path != home and makes_tables(path)]


def test_a_title_wider_than_the_columns_is_not_broken():
    table = new_table("Lowest GB energies (J/m^2) of [n]")
    table.add_column("a")
    table.add_column("b", justify="right")
    table.add_row("x", "1")
    screen = Console(file=io.StringIO(), width=60)
    screen.print(table)
    lines = [line.rstrip() for line in screen.file.getvalue().splitlines()]
    assert lines == ["Lowest GB energies (J/m^2) of [n]", "a  b", "x  1"]
