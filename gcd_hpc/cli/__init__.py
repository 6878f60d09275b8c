"""The ``gcd-hpc`` command: each subcommand reads its options, calls one function and shows what it
returned.
"""

from gcd_hpc.cli.application import app, main

__all__ = ["app", "main"]
