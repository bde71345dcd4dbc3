"""What ``--align``, ``--face`` and ``--size`` say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mddae_cli.align.options import Align, AlignOptions, Size, make_options
from mddae_cli.errors import UsageError


def test_what_is_said_becomes_options() -> None:
    assert make_options("auto", "largest", None) == AlignOptions()
    assert make_options("Never", "2", Size.MODEL) == AlignOptions(Align.NEVER, None, 2, Size.MODEL)
    assert make_options("always", "all", None) == AlignOptions(Align.ALWAYS, None, None, None)
    eyes = make_options("eyes:10, 20.5,30,20", "largest", None)
    assert eyes == AlignOptions(Align.ALWAYS, (10.0, 20.5, 30.0, 20.0), 1, None)


@pytest.mark.parametrize(
    ("align", "face", "size", "said"),
    [
        ("sometimes", "largest", None, "none of auto, never, always, eyes:"),
        ("eyes", "largest", None, "none of auto"),
        ("eyes:1,2,3", "largest", None, "four numbers"),
        ("eyes:1,2,3,nan", "largest", None, "four numbers"),
        ("eyes:1,2,1.5,2", "largest", None, "less than a pixel apart"),
        ("eyes:1,2,9,2", "all", None, "leave out --face"),
        ("auto", "0", None, "none of largest, all"),
        ("auto", "biggest", None, "none of largest, all"),
        ("auto", "all", Size.MODEL, "leave out --size model"),
    ],
)
def test_what_makes_no_sense_is_refused(
    align: str, face: str, size: Size | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make_options(align, face, size)


def test_options_are_made_without_torch() -> None:
    code = (
        "import sys, mddae_cli.align.options; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
