"""A model of many boundaries is summed up by metal, and lists each boundary when asked."""

import json

from typer.testing import CliRunner

from gcd_hpc import cli


def shown(*options):
    result = CliRunner().invoke(cli.app, ["model", "show", "builtin", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_model_of_hundreds_of_boundaries_is_shown_on_one_screen():
    lines = shown().splitlines()
    assert len(lines) <= 24
    boundaries = json.loads(shown("--json"))["boundaries"]
    iron = [one for one in boundaries if one["elements"] == ["Fe"]]
    (row,) = [line.split() for line in lines if line.startswith("Fe bcc")]
    assert row[2:4] == [str(len(iron)), str(sum(one["num_structures"] for one in iron))]
    assert float(row[4]) == round(sum(one["hold_out"] for one in iron) / len(iron), 4)


def test_boundaries_that_were_held_out_are_counted_apart():
    (row,) = [line.split() for line in shown().splitlines() if line.startswith("Cu fcc")]
    boundaries = json.loads(shown("--json"))["boundaries"]
    copper = [one["is_held_out"] for one in boundaries if one["elements"] == ["Cu"]]
    assert (row[2], row[5]) == (str(copper.count(False)), str(copper.count(True)))


def test_each_boundary_is_listed_when_asked():
    names = [one["name"] for one in json.loads(shown("--json"))["boundaries"]]
    listed = "".join(shown("--boundaries").split())
    assert all(name.split("/")[0] in listed for name in names)
    assert listed.count("planes") >= len(names)
