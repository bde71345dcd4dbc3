"""Many pictures through a model: found, decoded, changed and written, in order."""

from mddae_cli.pipeline.appending import appending
from mddae_cli.pipeline.decodings import CodesFile, decode_rows, load_codes
from mddae_cli.pipeline.encodings import (
    Columns,
    check_format,
    format_of,
    save_codes,
    writable,
    write_codes,
)
from mddae_cli.pipeline.flow import (
    Drawn,
    Edited,
    Encoded,
    Failed,
    Job,
    Result,
    Seen,
    Skipped,
    encode_sources,
    leave_out_done,
)
from mddae_cli.pipeline.photographs import edit_photographs
from mddae_cli.pipeline.sources import STDIN, Search, Source, find_sources, search
from mddae_cli.pipeline.targets import STDOUT, is_one_file, output_folder, plan_targets

__all__ = [
    "STDIN",
    "STDOUT",
    "CodesFile",
    "Columns",
    "Drawn",
    "Edited",
    "Encoded",
    "Failed",
    "Job",
    "Result",
    "Search",
    "Seen",
    "Skipped",
    "Source",
    "appending",
    "check_format",
    "decode_rows",
    "edit_photographs",
    "encode_sources",
    "find_sources",
    "format_of",
    "is_one_file",
    "leave_out_done",
    "load_codes",
    "output_folder",
    "plan_targets",
    "save_codes",
    "search",
    "writable",
    "write_codes",
]
