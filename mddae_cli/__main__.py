"""Runs the command line: ``python -m mddae_cli``."""

from __future__ import annotations

from mddae_cli.cli.app import main

if __name__ == "__main__":
    main()
