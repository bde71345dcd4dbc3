"""The judges that come with the package: for CelebA's official parts, at the model's side.

Trained by :func:`mddae_cli.evaluation.judge.train_judge` on nothing but real training faces, so
that whoever measures a model of faces measures with the same eyes, and need not wait for them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from mddae_cli.config import Sight
from mddae_cli.data.table import Table
from mddae_cli.files import write_bytes
from mddae_cli.header import WEIGHTS_FOLDER

_FOLDER = WEIGHTS_FOLDER / "judges"
_KEY = "mddae-judge-table"


def bundled_judge(table: Table, sight: Sight) -> Path | None:
    """Return the file of the judge made for such a table, None where there is none.

    Names, preprocessing and the parts must be those that it has learnt with: where the parts are
    drawn, some of its training faces would be in the test part.
    """
    for file in sorted(_FOLDER.glob(f"*-{sight.value}.safetensors")):
        with safe_open(file, framework="pt") as weights:
            if json.loads(weights.metadata()[_KEY]) == json.loads(json.dumps(described(table))):
                return file
    return None


def described(table: Table) -> dict[str, object]:
    """Return what a bundled judge and a table must have in common, as JSON values."""
    return {
        "dataset": table.name,
        "kind": table.kind.value,
        "names": table.names,
        "preprocess": dataclasses.asdict(table.preprocess),
        "split": table.split,
    }


def write_bundled(net: nn.Module, table: Table, sight: Sight, folder: Path) -> Path:
    """Write a judge's network as the package carries it; return the file.

    Args:
        net: Its weights are stored as float16, its running statistics as they are.
        table: What it was trained on.
        sight: What it has learnt from.
        folder: Where to; :func:`bundled_judge` looks into ``weights/judges``.
    """
    state = {name: value.cpu().contiguous() for name, value in net.state_dict().items()}
    state |= {name: state[name].half() for name, _ in net.named_parameters()}
    name = f"{table.name}{table.preprocess.image_size}-{sight.value}.safetensors"
    text = json.dumps(described(table), sort_keys=True)
    write_bytes(folder / name, save(state, metadata={_KEY: text}))
    return folder / name


def file_digest(file: Path) -> str:
    """Return a digest of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:20]
