"""``mddae examples``: pictures to try the other commands on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mddae_cli.cli import console
from mddae_cli.cli.options import Quiet, Verbose

SHORT_HELP = "Write a few pictures to try."
HELP = (
    "Example: mddae examples -o pictures\n\n"
    "Writes a photograph, a portrait of CelebA's proportions cut from it (NASA, public domain) "
    "and ten handwritten digits (scikit-learn's). Prints the paths of what was written."
)


def command(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where they go."),
    ] = Path("examples"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of the same names.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the pictures and print where they are."""
    from mddae_cli.examples import write_examples

    written, kept = write_examples(output, overwrite=overwrite)
    for path in written:
        console.say(str(path))
    if kept and not quiet:
        console.note(f"{len(kept)} there already, left as they are: --overwrite replaces them.")
