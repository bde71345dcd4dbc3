"""Runs the command line: ``mddae`` and ``python -m mddae_cli``."""

from __future__ import annotations

import os


def main() -> None:
    """Answer a shell that completes a line, else run the command."""
    if "MDDAE_COMPLETE_LINE" in os.environ:
        # Without parsing a command line, so that a key is answered at once.
        from mddae_cli.cli.completing import answer

        answer()
        return
    from mddae_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
