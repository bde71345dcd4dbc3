"""Where results go: a file, a folder that mirrors the inputs, a template, standard output.

Everything that can go wrong with the names is found before any work starts.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from mddae_cli import images
from mddae_cli.errors import UsageError
from mddae_cli.pipeline.sources import STDIN, Source

STDOUT = "-"
FIELDS = ("stem", "name", "folder", "index", "edit")


def is_folder(output: str, sources: int) -> bool:
    """Return whether ``output`` means a folder for that many sources."""
    if output == STDOUT or "{" in output:
        return False
    return output.endswith("/") or Path(output).is_dir() or sources > 1


def is_one_file(output: str) -> bool:
    """Return whether ``output`` is standard output, or has a file's suffix and no field."""
    if output == STDOUT:
        return True
    return bool(Path(output).suffix) and "{" not in output and not is_folder(output, 1)


def output_folder(output: str | None) -> Path | None:
    """Return the folder that results may fill, for inputs above it to leave out."""
    if output is None or output == STDOUT:
        return None
    if "{" in output:
        return _fixed_part(output)
    return Path(output) if not Path(output).suffix or Path(output).is_dir() else None


def plan_targets(
    sources: Sequence[Source],
    output: str | None,
    *,
    label: str,
    mirrored: bool = False,
    check: Callable[[Path], object] | None = None,
    keep_suffix: bool = False,
) -> list[Path | None]:
    """Return the file that each source's result goes to; None is standard output.

    Args:
        sources: What was found.
        output: ``-o``: a file, a folder, ``-``, or a template with the fields ``{stem}``,
            ``{name}``, ``{folder}`` (below the one that was named), ``{index}`` and ``{edit}``.
            None: ``<stem>.edited.png`` in the current folder, for one source.
        label: What ``{edit}`` stands for.
        mirrored: Whether a folder was named as input, so that ``output`` is one too.
        check: Raises where a file name cannot be written to; by default pictures can.
        keep_suffix: Whether names that are made here keep the picture's suffix where it can be
            written; else they end in ``.png``.

    Raises:
        UsageError: If two results would be the same file, one would replace its own picture, a
            template leaves its folder or has an unknown field, or many results have one place.
    """
    if output == STDOUT:
        if len(sources) != 1 or mirrored:
            raise UsageError("-o - takes one picture: give a folder for several.")
        return [None]
    if output is None:
        if len(sources) != 1 or mirrored:
            raise UsageError(f"{len(sources)} pictures need a place: add -o FOLDER.")
        return [_checked(sources[0], Path(_name(sources[0], True, keep_suffix).name), check)]
    if "{" in output:
        targets = [_fill(output, s, i, label) for i, s in enumerate(sources, 1)]
    elif mirrored or is_folder(output, len(sources)):
        alone = len(sources) == 1 and not mirrored
        targets = [Path(output) / _name(source, alone, keep_suffix) for source in sources]
    else:
        targets = [Path(output)]
    checked = [_checked(s, target, check) for s, target in zip(sources, targets, strict=True)]
    _refuse_collisions(sources, checked)
    return list(checked)


def _stem(source: Source) -> str:
    return "stdin" if source.name == STDIN else PurePosixPath(source.below).stem


def _name(source: Source, alone: bool, keep_suffix: bool) -> PurePosixPath:
    """Return the name of a result in a folder; of one picture alone it says that it is edited."""
    place = PurePosixPath(source.below)
    suffix = place.suffix if keep_suffix and place.suffix.lower() in images.WRITTEN_AS else ""
    return place.with_name(_stem(source) + ".edited" * alone + (suffix or ".png"))


def _fill(template: str, source: Source, index: int, label: str) -> Path:
    below = PurePosixPath(source.below)
    values = {
        "stem": _stem(source),
        "name": below.name,
        "folder": str(below.parent),
        "index": index,
        "edit": label.replace("/", "_"),
    }
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        if unknown := sorted(fields - set(FIELDS)):
            known = ", ".join("{" + name + "}" for name in FIELDS)
            raise UsageError(f"-o {template!r}: {{{unknown[0]}}} is no field. Known: {known}.")
        target = Path(os.path.normpath(template.format_map(values)))
    except (ValueError, IndexError) as exc:
        raise UsageError(f"-o {template!r} is no template: {exc}.") from exc
    folder = _fixed_part(template)
    if not target.absolute().is_relative_to(folder.absolute()):
        raise UsageError(f"-o {template!r} would leave {str(folder)!r} with {str(target)!r}.")
    return target


def _fixed_part(template: str) -> Path:
    """Return the folder before the first field."""
    return Path(os.path.normpath(template[: template.index("{")].rpartition("/")[0] or "."))


def _checked(source: Source, target: Path, check: Callable[[Path], object] | None) -> Path:
    (check or images.format_of)(target)
    there = target.exists() and Path(source.name).exists()
    if source.name != STDIN and there and target.samefile(source.name):
        raise UsageError(f"-o {str(target)!r} is the picture itself: name another file.")
    return target


def _refuse_collisions(sources: Sequence[Source], targets: Sequence[Path]) -> None:
    """Refuse one file for two results, or for a result and another picture that is read."""
    first: dict[Path, Source] = {}
    read = {Path(source.name).absolute() for source in sources if source.name != STDIN}
    for source, target in zip(sources, targets, strict=True):
        place = target.absolute()
        if place in first:
            raise UsageError(
                f"{first[place].name!r} and {source.name!r} would both become {str(target)!r}: "
                "use a template such as -o 'out/{folder}/{name}.png'."
            )
        if place in read:
            raise UsageError(f"{str(target)!r} is read too: name another folder.")
        first[place] = source
