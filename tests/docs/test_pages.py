"""The README and docs/: what can be checked without running a command.

Links, languages, keys of campaign files, generated pages, and that every command is known to a rule
and can be parsed. What no rule knows fails.
"""

import functools
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import time_to_target
from docs.generate import HERE as DOCS
from docs.generate import PAGES as GENERATED
from gcd_hpc.cli.application import COMMANDS
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_any_campaign, load_campaign
from gcd_hpc.config.section import section_of
from gcd_hpc.config.set import SetConfig
from gcd_hpc.structures.boundary_sets import read_campaign_or_set
from tests.cli.test_naming import CAMPAIGN
from tests.docs.pages import (
    BLOCKS,
    COMMANDS_IN_DOCS,
    FENCE,
    LANGUAGES,
    PAGES,
    ROOT,
    TESTS,
    blocks_of,
    parse,
    rule_of,
)


def test_every_block_says_what_it_is_written_in():
    indented = [
        f"{page}:{number}"
        for page, text in PAGES.items()
        for number, line in enumerate(outside_blocks(text), 1)
        if line[:4] == "    "
    ]
    assert not [where for where in indented if not where.startswith("docs/decisions.md")]
    assert not [
        f"{block.page}:{block.line}: {block.language}"
        for block in BLOCKS
        if block.language not in LANGUAGES
    ]


def outside_blocks(text: str) -> list[str]:
    """Lines, empty where a block is; continued list items are no code."""
    text = FENCE.sub(lambda match: "\n" * match.group().count("\n"), text)
    return re.sub(
        r"^(\s*- .*\n)(?:    .*\n)+",
        lambda match: "\n" * match.group().count("\n"),
        text,
        flags=re.MULTILINE,
    ).splitlines()


@pytest.mark.parametrize(
    ("block", "command"),
    COMMANDS_IN_DOCS,
    ids=lambda value: value if isinstance(value, str) else value.page,
)
def test_every_command_is_known_to_a_rule_and_can_be_parsed(block, command):
    rule = rule_of(command)
    assert rule, (
        f"{block.page}:{block.line}: no rule of tests/docs/pages.py knows how to check: {command}"
    )
    own = command.removeprefix(".venv/bin/")
    if "gcd-hpc " in own and not own.startswith("gcd-hpc "):
        own = re.search(r"gcd-hpc [^\"&]*", own).group()
    if own.startswith("gcd-hpc "):
        parse(own)
    if rule == "benchmark":
        arguments = time_to_target.parser().parse_args(shlex.split(own)[3:])
        assert arguments.table or (ROOT / arguments.boundary).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_can_be_parsed(page):
    for inline in re.findall(r"(?<!`)`(gcd-hpc [^`]+)`", outside_text(page)):
        if (
            re.fullmatch(r"gcd-hpc [a-z]+( .*)?", inline)
            and "..." not in inline
            and "|" not in inline
        ):
            assert name_of(inline) in COMMANDS, inline
            if len(inline.split()) > 2:
                parse(inline)


def outside_text(page: str) -> str:
    return " ".join("\n".join(outside_blocks(PAGES[page])).split())


def test_every_command_has_an_example_in_the_docs():
    shown = {name_of(command) for _, command in COMMANDS_IN_DOCS if command.startswith("gcd-hpc ")}
    assert set(COMMANDS) <= shown


def name_of(command: str) -> str:
    """Name of a command, which may have two words."""
    words = command.split()[1:3]
    return " ".join(words) if " ".join(words) in COMMANDS else words[0]


@pytest.mark.parametrize(
    "command", sorted({command for _, command in COMMANDS_IN_DOCS if rule_of(command) == "sbatch"})
)
def test_jobs_name_scripts_that_the_tests_of_slurm_submit(command):
    words = [
        word
        for word in shlex.split(re.sub(r"^(\w+=\S+ )*", "", command))[1:]
        if not word.startswith("-")
    ]
    script, campaign = words
    assert (ROOT / script).is_file()
    load_campaign(ROOT / campaign)
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "slurm").glob("*.py")
    )
    assert f'"{Path(script).name}"' in tests


def test_commands_that_run_tests_are_where_they_say():
    assert "python -m tests" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert {"slow", "physics"} <= set(
        re.findall(
            r'^    "(\w+):',
            (ROOT / TESTS['.venv/bin/python -m pytest -m "slow or physics"']).read_text(),
            re.M,
        )
    )
    assert "--kills" in (ROOT / "tests/chaos.py").read_text(encoding="utf-8")
    assert "chaos" in (ROOT / TESTS[".venv/bin/python -m tests.chaos --kills 50"]).read_text(
        encoding="utf-8"
    )


def test_continuous_integration_installs_and_tests_with_the_line_of_the_readme():
    second = [block for block in blocks_of("README.md") if block.language == "bash"][1].text.strip()
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_no_advice_installs_this_package_by_a_name_that_is_not_published():
    paths = [ROOT / "README.md"]
    for folder in ("docs", "campaigns", "batch", "containers", "gcd_hpc"):
        paths += sorted((ROOT / folder).rglob("*"))
    texts = [path for path in paths if path.suffix in (".md", ".yaml", ".py", ".sh", ".ipynb")]
    wrong = [path for path in texts if "pip install 'gcd-hpc" in path.read_text(encoding="utf-8")]
    # What is left to say where the package has no metadata that name its requirements.
    assert wrong == [ROOT / "gcd_hpc/config/shipped.py"]


@pytest.mark.parametrize(
    "command", sorted({command for _, command in COMMANDS_IN_DOCS if rule_of(command) == "install"})
)
def test_what_is_installed_exists(command):
    extras = re.findall(r"\.\[([\w,]+)\]", command)
    known = re.findall(
        r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name for extra in extras for name in extra.split(",")} <= set(known)
    assert "-c constraints.txt" in command or "pip" not in command


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "yaml"],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_campaign_files_in_the_docs_hold_valid_keys(block, tmp_path):
    content = yaml.safe_load(block.text)
    if "boundaries" in content:
        # A file of a set; what an excerpt leaves out comes from a whole file.
        sections = yaml.safe_load(CAMPAIGN) | content
        (tmp_path / "set.yaml").write_text(yaml.safe_dump(sections))
        assert isinstance(read_campaign_or_set(tmp_path / "set.yaml"), SetConfig)
        return
    if block.title.endswith(".yaml"):
        (tmp_path / block.title).write_text(block.text)
        assert load_any_campaign(tmp_path / block.title).model_fields_set >= content.keys()
        return
    for name, section in content.items():
        model = section_of(CampaignConfig.model_fields[name].annotation)
        if isinstance(section, dict):
            assert model is not None, f"{name} is no section"
            assert model.model_validate(section).model_fields_set == section.keys()


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_up_to_date(name):
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATED[name](), (
        "python docs/generate.py writes it anew"
    )


def test_the_readme_links_to_what_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)", PAGES["README.md"]) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def exists(name: str) -> bool:
    """Whether a dotted name is a module of the package, or something in one."""
    path, *names = name.split(".")
    while names and (ROOT / "gcd_hpc" / path.replace(".", "/") / names[0]).is_dir():
        path = f"{path}.{names.pop(0)}"
    if names and (ROOT / "gcd_hpc" / path.replace(".", "/") / f"{names[0]}.py").is_file():
        path = f"{path}.{names.pop(0)}"
    found = importlib.import_module(f"gcd_hpc.{path}")
    return not names or hasattr(functools.reduce(getattr, names[:-1], found), names[-1])


def test_the_walks_name_modules_and_functions_that_exist():
    names = set(re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`", PAGES["docs/design.md"]))
    rooms = {path.stem for path in (ROOT / "gcd_hpc").iterdir()}
    walked = {name for name in names if name.partition(".")[0] in rooms}
    assert len(walked) > 30
    assert not [name for name in sorted(walked) if not exists(name)]


def test_the_docs_build_without_a_warning_and_load_nothing_from_elsewhere(tmp_path):
    line = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-f",
        str(ROOT / "mkdocs.yml"),
        "-d",
        str(tmp_path / "site"),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(
            r"<(?:script|img|iframe)[^>]*src=\"?https?:[^>]*>|<link[^>]*rel=\"?stylesheet[^>]*https?:[^>]*>",
            text,
        ), page
