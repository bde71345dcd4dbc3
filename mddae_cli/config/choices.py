"""What an option can be where it is one of a few names. Nothing heavy is imported."""

from __future__ import annotations

from enum import StrEnum


class ModelKind(StrEnum):
    """The families of Table 1: a plain auto-encoder, discrete-target and soft-target ones."""

    AE = "ae"
    DISAE = "disae"
    MDDAE = "mddae"


class Reg(StrEnum):
    """The decorrelation loss between ŷ and z."""

    NONE = "none"
    XCOV = "xcov"
    DCOV = "dcov"
    DCOV_U = "dcov-u"
    DCOR = "dcor"
    DCOR_ATTR = "dcor-attr"


class Targets(StrEnum):
    """What the decoder is given while training: the soft target ŷ or the discrete label."""

    SOFT = "soft"
    DISCRETE = "discrete"


class TargetKind(StrEnum):
    """What the target part stands for: exclusive classes (softmax) or attributes (sigmoid)."""

    CLASSES = "classes"
    ATTRIBUTES = "attributes"


class YMovedBy(StrEnum):
    """Which losses may move ŷ beside the discriminative one."""

    DIS = "dis"
    DIS_REC = "dis+rec"
    DIS_DEC = "dis+dec"
    ALL = "all"


class Reduction(StrEnum):
    """How equation (2) adds up the squared errors of a picture."""

    MEAN = "mean"
    SUM = "sum"


class Arch(StrEnum):
    """The network: our convolutional default, or the dimensions of the authors' CDNet."""

    CONV = "conv"
    CDNET = "cdnet"


class Inject(StrEnum):
    """Where ŷ enters the decoder: joined to z at the first layer only, or at every layer.

    There it adds the same to all places of a layer, or to each place something of its own
    (``cdnet``: the same).
    """

    PLACES = "places"
    ALL = "all"
    FIRST = "first"


class Encoder(StrEnum):
    """Whether ŷ and z leave one network at its end, or have a network each."""

    SHARED = "shared"
    SEPARATE = "separate"


class ZNorm(StrEnum):
    """Whether z is standardised per coordinate, and before it freed of what is linear in ŷ."""

    NONE = "none"
    BATCH = "batch"
    RESIDUAL = "residual"


class Upsample(StrEnum):
    """How the decoder doubles a side: transposed convolution, or repeated pixels and a 3×3 one."""

    TRANSPOSED = "transposed"
    RESIZE = "resize"


class Schedule(StrEnum):
    """How the learning rate moves: not at all, or up for a moment and down along a cosine."""

    CONSTANT = "constant"
    COSINE = "cosine"


class CodesFormat(StrEnum):
    """How codes of pictures are written."""

    CSV = "csv"
    JSONL = "jsonl"
    NPZ = "npz"
    SAFETENSORS = "safetensors"
    PARQUET = "parquet"

    @property
    def is_text(self) -> bool:
        """Whether people can read it, and a terminal show it."""
        return self in (CodesFormat.CSV, CodesFormat.JSONL)


class Split(StrEnum):
    """How pictures are parted: the data set's own partition, or drawn by a recorded seed."""

    AUTO = "auto"
    OFFICIAL = "official"
    RANDOM = "random"


class Crop(StrEnum):
    """What is cut out of a CelebA picture: the authors' 148×148 square, or nothing."""

    AUTHORS = "authors"
    FULL = "full"


class Sight(StrEnum):
    """What a judge has learnt from: real pictures as they are, or every second one softened."""

    SHARP = "sharp"
    SOFT = "soft"


class Precision(StrEnum):
    """The arithmetic of the networks; the losses are always computed in float32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
