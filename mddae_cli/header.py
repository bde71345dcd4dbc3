"""What a checkpoint says about itself, read without torch from the first bytes of the file.

A safetensors file begins with the length of a JSON header (8 bytes, little endian) and that
header; ours keeps one metadata key whose value is the JSON of :class:`Header`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mddae_cli.config import Arch, Encoder, Inject, ModelKind, TargetKind, Targets, Upsample, ZNorm
from mddae_cli.errors import ModelError, UsageError

FORMAT_VERSION = 1
METADATA_KEY = "mddae"
MAX_HEADER_BYTES = 8 * 1024 * 1024
MODEL_FILE = "model.safetensors"
LAST_FILE = "last.safetensors"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
# The models that come with the package and stand in where none is named.
DEFAULT_FACES = "celeba64"
DEFAULT_DIGITS = "mnist"


@dataclass(frozen=True)
class ModelSpec:
    """Everything that decides the shapes of the networks."""

    kind: ModelKind
    arch: Arch
    image_size: int
    channels: int
    num_targets: int
    target_kind: TargetKind
    targets: Targets
    latent_dim: int
    width: int
    depth: int
    inject: Inject
    upsample: Upsample
    z_norm: ZNorm
    encoder: Encoder
    dropout: float
    flow_layers: int = 0
    erase_directions: int = 0


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the model's input.

    ``crop`` is (left, top, right, bottom) as fractions of a picture with ``crop_aspect`` =
    width / height; a picture of other proportions is fitted centrally. ``value_range`` is the
    model's own range of ``x``: (0, 1) or (-1, 1).
    """

    image_size: int
    channels: int
    value_range: tuple[float, float]
    crop: tuple[float, float, float, float] | None = None
    crop_aspect: float | None = None


@dataclass(frozen=True)
class SsimSpec:
    """The variant of (multi-scale) SSIM: window, its standard deviation, a weight per scale."""

    window: int
    sigma: float
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """The convention in words, for tables."""
        scales = len(self.weights)
        return f"MS-SSIM of {scales} scale{'s' * (scales > 1)}, window {self.window}"


@dataclass(frozen=True)
class Calibration:
    """The unit of intensity: the raw ŷ that each attribute's 0 and 1 stand for, K numbers each.

    0 is what pictures without the attribute look like, 1 what pictures with it look like; see
    :func:`mddae_cli.calibration.calibrate`.
    """

    zero: tuple[float, ...]
    one: tuple[float, ...]

    def to_raw(self, k: int, value: float) -> float:
        """Return the raw ŷ of attribute ``k`` that ``value`` calibrated units mean."""
        return self.zero[k] + value * self.step(k)

    def from_raw(self, k: int, y_hat: float) -> float:
        """Return the calibrated units that the raw ``y_hat`` of attribute ``k`` is."""
        return (y_hat - self.zero[k]) / self.step(k)

    def step(self, k: int) -> float:
        """Return how much of raw ŷ one calibrated unit of attribute ``k`` is."""
        return self.one[k] - self.zero[k]


# What is kept of each attribute's measured curve, in the unit of ``--set``; None: not reached.
WORKING_RANGE_KEYS = (
    "first",
    "last",
    "seen_50",
    "seen_90",
    "collateral_5",
    "collateral_8",
    "falls",
)


@dataclass(frozen=True)
class Header:
    """The self-description of a checkpoint (DESIGN: a run folder)."""

    model: ModelSpec
    preprocess: Preprocess
    ssim: SsimSpec
    names: tuple[str, ...]
    base_rates: tuple[float, ...]
    dataset: str
    split: str
    split_seed: int
    config: dict[str, Any]
    package_version: str
    figures: dict[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None
    working_ranges: dict[str, dict[str, float | None]] | None = None
    format_version: int = FORMAT_VERSION

    def require_targets(self, kind: TargetKind) -> None:
        """Raise where the model has nothing of this kind to change.

        Raises:
            UsageError: If it has classes instead of attributes, the reverse, or no soft target.
        """
        if self.model.kind is ModelKind.AE:
            raise UsageError("a plain auto-encoder (model ae) has no soft target to change.")
        if self.model.target_kind is kind:
            return
        other = {
            TargetKind.CLASSES: "attributes, no classes: use mddae edit --set NAME=VALUE",
            TargetKind.ATTRIBUTES: "classes, no attributes: use mddae swap-class --to CLASS",
        }
        raise UsageError(f"the model was trained on {self.dataset} and has {other[kind]}.")

    def with_figures(self, figures: Mapping[str, float]) -> Header:
        """Return a copy that tells these figures."""
        return dataclasses.replace(self, figures=dict(figures))

    def to_json(self) -> str:
        """Return the header as sorted JSON, the same bytes for the same content."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)


def parse_header(text: str, source: str) -> Header:
    """Return the header that :meth:`Header.to_json` wrote.

    Args:
        text: The JSON.
        source: The file's name, for errors.

    Raises:
        ModelError: If the format is newer than this package, or a field is missing or wrong.
    """
    try:
        raw = json.loads(text)
        version = raw["format_version"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{source} has no readable mddae header: it is not a model.") from exc
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelError(
            f"{source} has format version {version}; this mddae reads up to {FORMAT_VERSION}. "
            "Upgrade mddae."
        )
    try:
        return _build(raw)
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelError(f"{source} has a damaged header: {exc}.") from exc


def _build(raw: dict[str, Any]) -> Header:
    m, p, s = raw["model"], raw["preprocess"], raw["ssim"]
    model = ModelSpec(
        kind=ModelKind(m["kind"]),
        arch=Arch(m["arch"]),
        target_kind=TargetKind(m["target_kind"]),
        targets=Targets(m["targets"]),
        inject=Inject(m["inject"]),
        upsample=Upsample(m.get("upsample", Upsample.TRANSPOSED)),  # older files all are
        z_norm=ZNorm(m["z_norm"]),
        encoder=Encoder(m["encoder"]),
        dropout=float(m["dropout"]),
        **{k: _size(m, k) for k in ("image_size", "channels", "latent_dim", "width", "depth")},
        num_targets=int(m["num_targets"]),
        flow_layers=_count(m, "flow_layers", 64),
        erase_directions=_count(m, "erase_directions", 65536),
    )
    low, high = p["value_range"]
    preprocess = Preprocess(
        image_size=_size(p, "image_size"),
        channels=_size(p, "channels"),
        value_range=(float(low), float(high)),
        crop=None if p["crop"] is None else tuple(float(v) for v in p["crop"]),  # type: ignore[arg-type]  # four, checked by the picture code
        crop_aspect=None if p["crop_aspect"] is None else float(p["crop_aspect"]),
    )
    ssim = SsimSpec(int(s["window"]), float(s["sigma"]), tuple(float(w) for w in s["weights"]))
    names = tuple(str(name) for name in raw["names"])
    if len(names) != model.num_targets:
        raise ValueError(f"{len(names)} names for {model.num_targets} targets")
    fields = {f.name for f in dataclasses.fields(Header)}
    rest = {k: v for k, v in raw.items() if k in fields}
    rest |= {"model": model, "preprocess": preprocess, "ssim": ssim, "names": names}
    rest["base_rates"] = tuple(float(rate) for rate in raw["base_rates"])
    if len(rest["base_rates"]) != len(names):
        raise ValueError(f"{len(rest['base_rates'])} base rates for {len(names)} targets")
    rest["calibration"] = _calibration(raw.get("calibration"), len(names))
    rest["working_ranges"] = _working_ranges(raw.get("working_ranges"), names)
    return Header(**rest)


def _calibration(raw: Any, num_targets: int) -> Calibration | None:
    if raw is None:
        return None
    zero, one = (tuple(float(value) for value in raw[key]) for key in ("zero", "one"))
    if not len(zero) == len(one) == num_targets:
        raise ValueError(f"calibration of {len(zero)} and {len(one)} for {num_targets} targets")
    if not all(map(math.isfinite, zero + one)):
        raise ValueError("calibration is not finite")
    if not all(low < high for low, high in zip(zero, one, strict=True)):
        raise ValueError("calibration puts 1 at or below 0")
    return Calibration(zero, one)


def _working_ranges(raw: Any, names: tuple[str, ...]) -> dict[str, dict[str, float | None]] | None:
    if raw is None:
        return None
    return {
        name: {
            key: None if raw[name][key] is None else float(raw[name][key])
            for key in WORKING_RANGE_KEYS
        }
        for name in names
        if name in raw
    }


def _count(values: dict[str, Any], key: str, most: int) -> int:
    """Return how many there are of what older files do not have."""
    count = values.get(key, 0)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= most:
        raise ValueError(f"{key} is {count!r}")
    return count


def _size(values: dict[str, Any], key: str) -> int:
    value = values[key]
    if not isinstance(value, int) or not 0 < value <= 65536:
        raise ValueError(f"{key} is {value!r}")
    return value


def bundled_models() -> dict[str, Path]:
    """Return the checkpoints that come with the package, by name."""
    return {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def find_model_file(where: str | Path) -> Path:
    """Return the checkpoint that ``where`` means: a file, a run folder's best, or a bundled one.

    Raises:
        ModelError: If nothing is there.
    """
    path = Path(where)
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        raise ModelError(f"model {str(where)!r} is a folder without {MODEL_FILE}.")
    if path.is_file():
        return path
    bundled = bundled_models()
    if str(where) in bundled:
        return bundled[str(where)]
    raise ModelError(
        f"model {str(where)!r} does not exist: give a run folder, a .safetensors file, or one of "
        f"{', '.join(bundled)}."
    )


def read_header(path: str | Path) -> Header:
    """Return the header of a checkpoint without loading its weights and without torch.

    Args:
        path: A file or a run folder.

    Raises:
        ModelError: If the file is missing, not ours, damaged or too new.
    """
    file = find_model_file(path)
    try:
        with file.open("rb") as handle:
            prefix = handle.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise ModelError(f"{file} is no safetensors file.")
            blob = handle.read(length)
    except OSError as exc:
        raise ModelError(f"{file} cannot be read: {exc.strerror}.") from exc
    try:
        text = json.loads(blob)["__metadata__"][METADATA_KEY]
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{file} has no mddae header: it was not written by mddae.") from exc
    return parse_header(str(text), str(file))


@dataclass(frozen=True)
class Attribute:
    """What a model says of one of its attributes.

    ``base_rate`` is the share of training pictures that have it. ``working_range`` has the keys of
    :data:`WORKING_RANGE_KEYS`; None where nothing was measured.
    """

    name: str
    base_rate: float
    working_range: dict[str, float | None] | None


def list_attributes(where: str | Path, *, raw: bool = False) -> tuple[Attribute, ...]:
    """Return the attributes of a model, from its header alone.

    Args:
        where: A file, a run folder or the name of a bundled model.
        raw: Give working ranges in raw ŷ, the paper's own scale, instead of calibrated units.

    Raises:
        ModelError: If the file is missing, not ours, damaged or too new.
        UsageError: If the model has classes, or no soft target at all.
    """
    header = read_header(where)
    header.require_targets(TargetKind.ATTRIBUTES)
    return tuple(
        Attribute(name, rate, _range_of(header, k, raw=raw))
        for k, (name, rate) in enumerate(zip(header.names, header.base_rates, strict=True))
    )


def _range_of(header: Header, k: int, *, raw: bool) -> dict[str, float | None] | None:
    found = (header.working_ranges or {}).get(header.names[k])
    unit = header.calibration
    if found is None or unit is None or not raw:
        return found
    return {key: None if v is None else unit.to_raw(k, v) for key, v in found.items()}
