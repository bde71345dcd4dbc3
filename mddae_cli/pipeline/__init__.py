"""Many pictures through a model: found, decoded, changed and written, in order."""

from mddae_cli.pipeline.flow import (
    Edited,
    Encoded,
    Failed,
    Result,
    Skipped,
    edit_sources,
    encode_sources,
)
from mddae_cli.pipeline.sources import STDIN, Source, find_sources
from mddae_cli.pipeline.targets import STDOUT, output_folder, plan_targets

__all__ = [
    "STDIN",
    "STDOUT",
    "Edited",
    "Encoded",
    "Failed",
    "Result",
    "Skipped",
    "Source",
    "edit_sources",
    "encode_sources",
    "find_sources",
    "output_folder",
    "plan_targets",
]
