"""What can stand at the cursor of a command line that is being typed.

The scripts of ``mddae completion`` hand over the line by the environment: ``MDDAE_COMPLETE_LINE``
is what stands before the cursor and ``MDDAE_COMPLETE_REST`` what stands behind it. The answer is
a line ``KIND<TAB>WORD``, where WORD is the word at the cursor without its quotes, and a line
``VALUE<TAB>HELP`` for each value; KIND is ``files`` where file names may stand there too. Typer
would parse the line, which takes longer than a key may take; here only signatures are read.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

from mddae_cli.align.options import Align
from mddae_cli.config import DATASET_DEFAULTS, PRESETS
from mddae_cli.errors import MddaeError, fold_name
from mddae_cli.header import DEFAULT_DIGITS, DEFAULT_FACES, MODEL_FILE, bundled_models, read_header

LINE, REST = "MDDAE_COMPLETE_LINE", "MDDAE_COMPLETE_REST"
_EYES = "eyes:"
_MODEL_OPTIONS = ("--model", "-m")
Candidate = tuple[str, str]


@dataclass(frozen=True)
class Parameter:
    """An option with its names, or an argument without any."""

    names: tuple[str, ...]
    kind: Any
    metavar: str
    help: str

    @property
    def takes_value(self) -> bool:
        """Whether a word follows it."""
        return self.kind is not bool


@dataclass(frozen=True)
class Typed:
    """A line as far as it is typed: words before the cursor's, that word, words behind."""

    before: list[str]
    word: str
    behind: list[str]

    @property
    def model(self) -> str:
        """The model that the line names, else that of the environment, else the bundled one."""
        words = [*self.before, *self.behind]
        for name, value in zip(words, [*words[1:], ""], strict=True):
            if name in _MODEL_OPTIONS:
                return value
            if name.startswith("--model="):
                return name.partition("=")[2]
        bundled = DEFAULT_DIGITS if self.before[:1] == ["swap-class"] else DEFAULT_FACES
        return os.environ.get("MDDAE_MODEL") or bundled


def answer() -> None:
    """Print what can stand at the cursor of the line in the environment."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]  # a TextIOWrapper in a process
    for reply in reply_to(os.environ.get(LINE, ""), os.environ.get(REST, "")):
        sys.stdout.write(reply + "\n")


def reply_to(line: str, rest: str = "") -> Iterator[str]:
    """Yield the lines of the answer to what stands before and behind the cursor."""
    words = _split(line)
    word = words.pop() if words and not line[-1:].isspace() else ""
    typed = Typed(words[1:], word, _split(rest))
    candidates, files = _candidates(typed)
    yield f"{'files' if files else 'values'}\t{word}"
    for value, text in candidates:
        yield f"{value}\t{text}"


def _split(line: str) -> list[str]:
    """Return the words of a line as a shell sees them; an open quote is closed."""
    for end in ("", '"', "'", "\\"):
        try:
            return shlex.split(line + end)
        except ValueError:
            continue
    return line.split()


def _candidates(typed: Typed) -> tuple[list[Candidate], bool]:
    """Return what begins like the word at the cursor, and whether files may stand there."""
    if not typed.before:
        return _beginning(_commands(), typed.word), False
    parameters = parameters_of(typed.before[0])
    options = {name: p for p in parameters for name in p.names}
    asked, positional = _asking(typed.before[1:], options)
    if asked is not None:
        return _values_of(asked, typed, positional, typed.word)
    if "--" not in typed.before and typed.word.startswith("-"):
        name, equals, value = typed.word.partition("=")
        if not equals:
            return _beginning(_names(options), typed.word), False
        if name not in options:
            return [], False
        found, files = _values_of(options[name], typed, positional, value)
        return [(f"{name}={value}", text) for value, text in found], files
    argument = next((p for p in parameters if not p.names), None)
    if argument is None:
        return [], False
    return _values_of(argument, typed, positional, typed.word)


def _asking(
    words: Sequence[str], options: dict[str, Parameter]
) -> tuple[Parameter | None, list[str]]:
    """Return the option whose value comes next, if any, and the arguments before it."""
    positional: list[str] = []
    asked: Parameter | None = None
    ended = False
    for word in words:
        if asked is not None:
            asked = None
        elif word == "--" and not ended:
            ended = True
        elif word.startswith("-") and word != "-" and not ended:
            option = options.get(word)
            asked = option if option is not None and option.takes_value else None
        else:
            positional.append(word)
    return asked, positional


def _commands() -> list[Candidate]:
    from mddae_cli.cli.app import COMMANDS

    options = [("--version", "Print the version."), ("--help", "Show this message and exit.")]
    return [*((name, module.SHORT_HELP) for name, module in COMMANDS.items()), *options]


def parameters_of(command: str) -> list[Parameter]:
    """Return the options and arguments of a command, [] if there is none of that name.

    A command's module has its name, so that no other one need be imported.
    """
    module = f"{__package__}.{command.replace('-', '_')}"
    if not command.replace("-", "").isalpha() or importlib.util.find_spec(module) is None:
        return []
    function = getattr(importlib.import_module(module), "command", None)
    hints = typing.get_type_hints(function, include_extras=True) if function else {}
    found = [_parameter(name, hint) for name, hint in hints.items()]
    return [*(p for p in found if p is not None), _HELP] if found else []


_HELP = Parameter(("--help", "-h"), bool, "", "Show this message and exit.")


def _parameter(name: str, hint: Any) -> Parameter | None:
    info = next(iter(getattr(hint, "__metadata__", ())), None)
    if not isinstance(info, OptionInfo | ArgumentInfo) or info.hidden:
        return None
    # In Annotated, the first name stands where a default would.
    decls = (info.default, *(info.param_decls or ()))
    names = tuple(d for d in decls if isinstance(d, str) and d.startswith("-"))
    if isinstance(info, OptionInfo) and not names:
        names = (f"--{name.replace('_', '-')}",)
    kind = hint.__origin__
    while inner := [k for k in getattr(kind, "__args__", ()) if k is not type(None)]:
        kind = inner[0]
    return Parameter(names, kind, str(info.metavar or ""), info.help or "")


def _names(options: dict[str, Parameter]) -> list[Candidate]:
    return [(name, p.help) for name, p in options.items() if name.startswith("--")]


def _values_of(
    parameter: Parameter, typed: Typed, positional: Sequence[str], word: str
) -> tuple[list[Candidate], bool]:
    """Return the values of an option or argument, and whether files may stand there."""
    if isinstance(parameter.kind, type) and issubclass(parameter.kind, Enum):
        return _beginning([(str(member.value), "") for member in parameter.kind], word), False
    if find := _VALUES.get(next((n for n in parameter.names if n in _VALUES), "")):
        return _beginning(find(_model_of(typed, positional)), word), False
    if parameter.names == () and "IMAGE" in parameter.metavar:
        return [], True
    if "--model" in parameter.names or "MODEL" in parameter.metavar:
        return _beginning(_models(word), word), True
    if "--dataset" in parameter.names:
        return _beginning([(name, "") for name in DATASET_DEFAULTS], word), True
    files = parameter.kind is Path or parameter.metavar in ("FILE", "FOLDER", "OUT", "LIST")
    return [], files and "--values" not in parameter.names


def _model_of(typed: Typed, positional: Sequence[str]) -> str:
    """Return the model whose names are wanted; evaluate takes models as arguments."""
    takes_models = any("MODEL" in p.metavar for p in parameters_of(typed.before[0]) if not p.names)
    return positional[0] if takes_models and positional else typed.model


def _target_names(model: str) -> list[str]:
    try:
        return list(read_header(os.path.expanduser(model)).names)  # noqa: PTH111  # may be a name
    except MddaeError:
        return []


def _attributes(model: str) -> list[Candidate]:
    return [(name, "") for name in _target_names(model)]


def _classes(model: str) -> list[Candidate]:
    return [*_attributes(model), ("all", "a sheet of every class")]


def _settings(model: str) -> list[Candidate]:
    return [(f"{name}=", "") for name in _target_names(model)]


def _devices(_: str) -> list[Candidate]:
    return [(name, "") for name in ("auto", "cpu", "cuda", "mps")]


def _alignments(_: str) -> list[Candidate]:
    texts = {
        Align.AUTO: "pictures of CelebA's proportions, and small ones, stay as they are",
        Align.NEVER: "pictures stay as they are",
        Align.ALWAYS: "faces are found in every picture",
    }
    return [*((str(when), texts[when]) for when in Align), (_EYES, "x1,y1,x2,y2 in pixels")]


def _presets(_: str) -> list[Candidate]:
    return [(name, "") for name in PRESETS]


_VALUES: dict[str, Callable[[str], list[Candidate]]] = {
    "--set": _settings,
    "--add": _settings,
    "--sweep": _settings,
    "--remove": _attributes,
    "--attr": _attributes,
    "--to": _classes,
    "--device": _devices,
    "--align": _alignments,
    "--preset": _presets,
}


def _models(word: str) -> list[Candidate]:
    """Return the bundled models, run folders below ``runs`` and below what is typed."""
    found = [(name, "comes with mddae") for name in bundled_models()]
    folder, slash, _ = word.rpartition("/")
    below = Path(os.path.expanduser(folder or slash or "."))  # noqa: PTH111  # "~" stays typed
    prefix = f"{folder}/" if slash else ""
    places = [] if slash else [(f"runs/{path.name}", path) for path in _listed(Path("runs"))]
    places += [(prefix + path.name, path) for path in _listed(below)]
    for name, path in places:
        if (path / MODEL_FILE).is_file() or path.suffix == ".safetensors":
            found.append((name, ""))
        elif slash and path.is_dir() and not path.name.startswith("."):
            found.append((f"{name}/", ""))
    return list(dict.fromkeys(found))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _beginning(candidates: Iterable[Candidate], word: str) -> list[Candidate]:
    """Return those that begin like the word, its case and hyphens forgiven if none does.

    A line of the answer holds no line break or tab; a help text gives its first sentence.
    """
    clean = [(v, t.partition(". ")[0].rstrip(".")) for v, t in candidates]
    clean = [(v, " ".join(t.split())) for v, t in clean if not set(v) & set("\n\t")]
    if word.endswith(("=", _EYES)):
        return []  # a number comes next, which nobody can guess
    exact = [(v, t) for v, t in clean if v.startswith(word)]
    return exact or [(v, t) for v, t in clean if fold_name(v).startswith(fold_name(word))]
