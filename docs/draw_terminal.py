"""A picture of a command and what it prints: ``python docs/draw_terminal.py figures/terminal.svg
gcd-hpc top runs/w_sigma5 --per-n``.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 72


def main() -> None:
    """Run the command as in a terminal with colours and write the picture."""
    picture, *command = sys.argv[1:]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    printed = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {' '.join(command)}", style="bold green"))
    console.print(Text.from_ansi(printed))
    # Without the font that rich would have browsers fetch from the network.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
        "Fira Code", "DejaVu Sans Mono"
    )
    svg = console.export_svg(title="gcd-hpc", theme=MONOKAI, code_format=form, unique_id="terminal")
    Path(__file__).parent.joinpath(picture).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
