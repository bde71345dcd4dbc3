"""Weights with everything needed to use them, as safetensors; the state of a run beside them.

Nothing is pickled. Every file is written beside its place and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mddae_cli.errors import ModelError
from mddae_cli.files import write_bytes
from mddae_cli.header import METADATA_KEY, Header, find_model_file, read_header
from mddae_cli.model import AutoEncoder

_STATE_KEY = "mddae_state"
# What older files with an erasure do not have: they take no steps beyond 1.
_STEPS = "erasure.steps."


class Loaded(NamedTuple):
    """A model in evaluation mode and what it says about itself."""

    net: AutoEncoder
    header: Header


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU: safetensors refuses channels-last and shared ones."""
    return {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format).clone()
        for name, tensor in tensors.items()
    }


def save(path: str | Path, net: AutoEncoder, header: Header, *, half: bool = False) -> None:
    """Write a model as one file that is enough to use it.

    Args:
        path: The file; replaced as a whole.
        net: Its weights and running statistics are saved.
        header: What the file says about itself.
        half: Whether weights, and the directions of an erasure, are stored as float16, at half
            the size. Running statistics stay float32: the regression of the latent is solved from
            them, which magnifies rounding.

    Raises:
        OSError: If the disk refuses; what was there before stays.
    """
    tensors = _plain(net.state_dict())
    if half:
        halved = [name for name, _ in net.named_parameters()]
        if net.erasure is not None:
            halved.append("erasure.directions")
        tensors |= {name: tensors[name].half() for name in halved}
    write_bytes(path, safetensors.torch.save(tensors, {METADATA_KEY: header.to_json()}))


def replace_header(
    where: str | Path,
    header: Header,
    to: str | Path | None = None,
    *,
    steps_of: AutoEncoder | None = None,
) -> None:
    """Give the checkpoint of a file or run folder another header; its weights keep their bytes.

    Args:
        where: The checkpoint.
        header: What it shall say about itself.
        to: Another file that is written instead.
        steps_of: A network whose steps beyond 1 it shall take; by default it keeps its own.

    Raises:
        ModelError: If it is missing or damaged.
        OSError: If the disk refuses; what was there before stays.
    """
    path = find_model_file(where)
    tensors = _read_tensors(path)
    if steps_of is not None:
        tensors |= _plain(_steps(steps_of))
    data = safetensors.torch.save(tensors, {METADATA_KEY: header.to_json()})
    write_bytes(path if to is None else to, data)


def load(where: str | Path) -> Loaded:
    """Return the model of a file or run folder, on the CPU, in evaluation mode.

    Raises:
        ModelError: If it is missing, not ours, too new, damaged, or its weights do not fit its
            header. Nothing in the file is executed.
    """
    header = read_header(where)
    path = find_model_file(where)
    tensors = _read_tensors(path)
    try:
        net = AutoEncoder(header.model)
    except (ValueError, RuntimeError) as exc:
        raise ModelError(f"{path} describes a network that cannot be built: {exc}.") from exc
    tensors = _steps(net) | tensors
    _check_tensors(path, tensors, net.state_dict())
    net.load_state_dict({k: v.to(net.state_dict()[k].dtype) for k, v in tensors.items()})
    return Loaded(net.eval().to(memory_format=torch.channels_last), header)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as exc:
        raise ModelError(f"{path} is damaged: {exc}.") from exc
    return tensors


def _steps(net: AutoEncoder) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if name.startswith(_STEPS)}


def _check_tensors(path: Path, got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise where names, shapes or values differ from what the header promises."""
    if missing := sorted(set(wanted) - set(got)):
        raise ModelError(f"{path} lacks the weights {missing[0]!r} (and {len(missing) - 1} more).")
    if extra := sorted(set(got) - set(wanted)):
        raise ModelError(f"{path} has weights that do not belong to it: {extra[0]!r}.")
    for name, tensor in got.items():
        if tensor.shape != wanted[name].shape:
            raise ModelError(
                f"{path}: weights {name!r} have shape {tuple(tensor.shape)} where the header "
                f"promises {tuple(wanted[name].shape)}."
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelError(f"{path}: weights {name!r} are not finite.")


def save_state(path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the state of a run: tensors, and JSON facts under one key.

    Raises:
        OSError: If the disk refuses; what was there before stays.
    """
    text = json.dumps(facts, sort_keys=True)
    write_bytes(path, safetensors.torch.save(_plain(tensors), {_STATE_KEY: text}))


def load_state(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and facts that :func:`save_state` wrote.

    Raises:
        ModelError: If the file is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path} does not exist: there is nothing to resume.")
    tensors = _read_tensors(path)
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            facts: dict[str, Any] = json.loads(handle.metadata()[_STATE_KEY])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as exc:
        raise ModelError(f"{path} holds no state of a run.") from exc
    return tensors, facts
