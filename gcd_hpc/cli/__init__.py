"""The ``gcd-hpc`` command: each subcommand parses options, calls one function, prints a result."""

from gcd_hpc.cli.application import app, main

__all__ = ["app", "main"]
