"""``python -m gcd_hpc.cli`` is ``gcd-hpc``."""

from gcd_hpc.cli.application import main

if __name__ == "__main__":
    main()
