"""The ``gcd-hpc`` command. Each subcommand reads its options, calls one function and shows the
result.
"""

from gcd_hpc.cli.application import app, main

__all__ = ["app", "main"]
