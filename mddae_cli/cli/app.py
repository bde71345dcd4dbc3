"""The Typer application: its commands, ``--version`` and the one place where errors end."""

from __future__ import annotations

import gc
import os
import sys
import traceback
import warnings
from types import ModuleType
from typing import Annotated, Any, NoReturn

import typer

import mddae_cli
from mddae_cli.cli import (
    calibrate,
    completion,
    console,
    edit,
    encode,
    evaluate,
    examples,
    info,
    reconstruct_metrics,
    swap_class,
    train,
)
from mddae_cli.cli.help import PanelCommand, PanelGroup
from mddae_cli.cli.options import VERBOSE_KEY
from mddae_cli.cli.signals import terminate_as_interrupt
from mddae_cli.errors import MddaeError

_OBJECTS_TO_COLLECT = 400_000

_HELP = (
    "Example: mddae train --dataset digits -o runs/digits\n\n"
    "Soft-target auto-encoders that disentangle labels from the rest of a picture: train them, "
    "edit pictures with them, measure them."
)


class ErrorBoundary(PanelGroup):
    """A group that turns every exception of a command into plain lines and an exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options of ``mddae`` itself."""
        try:
            return super().make_context(*args, **kwargs)
        except Exception as exc:
            if _is_usage_error(exc):
                _fail_usage(exc)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with terminate_as_interrupt():
                result = super().invoke(ctx)
                sys.stdout.flush()
                return result
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            _abandon_stdout()
            raise typer.Exit(1) from None
        except Exception as exc:
            _fail(exc, verbose=bool(ctx.meta.get(VERBOSE_KEY)))


def _fail(exc: Exception, *, verbose: bool) -> NoReturn:
    """Print what went wrong and leave with the exit code of its kind."""
    if _is_usage_error(exc):
        _fail_usage(exc)
    if verbose:
        traceback.print_exception(exc)
    if isinstance(exc, MddaeError):
        console.note(console.error_text(exc))
        raise typer.Exit(exc.exit_code) from exc
    if isinstance(exc, OSError) and exc.strerror:
        where = f"{exc.filename}: " if exc.filename else ""
        console.note(f"error: {where}{exc.strerror}")
        raise typer.Exit(1) from exc
    lines = str(exc).strip().splitlines() or ["no further message"]
    hint = "" if verbose else "\nThis was not foreseen: --verbose shows where it happened."
    console.note(f"error: {type(exc).__name__}: {lines[0]}{hint}")
    raise typer.Exit(1) from exc


def _is_usage_error(exc: Exception) -> bool:
    """Return whether the command line's parser raised ``exc``; its classes are not public."""
    return hasattr(exc, "format_message") and hasattr(exc, "exit_code")


def _fail_usage(exc: Any) -> NoReturn:
    """Print a parser's error in our form."""
    if type(exc).__name__ == "NoArgsIsHelpError":
        raise exc
    ctx = getattr(exc, "ctx", None)
    hint = f"\nRun '{ctx.command_path} --help' to see what it takes." if ctx is not None else ""
    message = exc.format_message().replace("Value error, ", "")
    console.note(f"error: {message}{hint}")
    raise typer.Exit(exc.exit_code) from exc


def _abandon_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


app = typer.Typer(
    name="mddae",
    cls=ErrorBoundary,
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(value: bool) -> None:
    if value:
        console.say(f"mddae {mddae_cli.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Hold the options of ``mddae`` itself."""


# A command's module has its name: completion imports that one alone.
COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "encode": encode,
    "edit": edit,
    "swap-class": swap_class,
    "reconstruct-metrics": reconstruct_metrics,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "info": info,
    "examples": examples,
    "completion": completion,
}
for _name, _module in COMMANDS.items():
    app.command(_name, cls=PanelCommand, help=_module.HELP, short_help=_module.SHORT_HELP)(
        _module.command
    )


def main() -> None:
    """Run the command line of this process."""
    # Threads of torch that wait would spin, and take the cores of those that read and write
    # pictures; set before torch is imported, or not at all.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Importing torch makes 300,000 objects that stay: searching them for garbage again and again,
    # and once more at the end, takes a third of the time of editing one picture.
    gc.set_threshold(_OBJECTS_TO_COLLECT)
    # Pillow warns of what is then refused, or of damage beside pixels that are whole.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that are no UTF-8, and help holds signs that ASCII lacks.
        utf8 = stream.encoding.lower().replace("-", "") == "utf8"
        stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper in a process
    try:
        app(prog_name="mddae")
    finally:
        gc.freeze()
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _abandon_stdout()
