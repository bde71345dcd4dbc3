"""How ``--help`` looks: panels of options by what they are for, and no type behind a switch."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

# The panel of an option that names none itself; commands share most of them.
_PANELS = {
    "Change": "--set --add --remove --reset --raw --to --sweep --style-from --class-from",
    "Input": "--from-file --null --from-encoding --model --shard --fit --max-pixels --align --face",
    "Output": "--output --overwrite --append --format --soft-target-only --quality --subsampling "
    "--animate --list --size --show-faces",
    "Measures": "--values --max-images --seed",
    "Machine": "--batch-size",
}
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names.split()}


def _arranged(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
        known = next((_PANEL_OF[name] for name in param.opts if name in _PANEL_OF), None)
        param.rich_help_panel = getattr(param, "rich_help_panel", None) or known
    return params


class PanelCommand(TyperCommand):
    """A command whose options stand in panels."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, as help and parser use them."""
        return _arranged(super().get_params(ctx))


class PanelGroup(TyperGroup):
    """A group of commands whose switches show no type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, as help and parser use them."""
        return _arranged(super().get_params(ctx))
