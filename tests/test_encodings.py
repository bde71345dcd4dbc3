"""Codes in files of every format: written, changed by others, read, decoded."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from mddae_cli import editing, images, load_codes, save_codes
from mddae_cli.config import CodesFormat, TargetKind
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.pipeline import (
    CodesFile,
    Columns,
    Edited,
    Encoded,
    Failed,
    Skipped,
    Source,
    check_format,
    decode_rows,
    format_of,
    writable,
    write_codes,
)

NAMES = ("Smiling", "No_Beard", "Hat, red")
INPUTS = ["a/one.png", 'a/t "wo".png', "a/b/dr\u00fcben.png"]
Saved = Callable[..., Path]


@pytest.fixture(params=list(CodesFormat))
def form(request: pytest.FixtureRequest) -> CodesFormat:
    chosen: CodesFormat = request.param
    if chosen is CodesFormat.PARQUET:
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    return chosen


@pytest.fixture
def model(tiny_header: Header) -> Model:
    torch.manual_seed(0)
    spec = dataclasses.replace(
        tiny_header.model, num_targets=3, target_kind=TargetKind.ATTRIBUTES, channels=3
    )
    pre = dataclasses.replace(tiny_header.preprocess, channels=3, value_range=(-1.0, 1.0))
    header = dataclasses.replace(
        tiny_header, model=spec, preprocess=pre, names=NAMES, base_rates=(0.5,) * 3
    )
    return Model(AutoEncoder(spec).eval(), header, torch.device("cpu"))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)


@pytest.fixture
def saved(model: Model, pixels: np.ndarray, tmp_path: Path) -> Saved:
    """Return a function that writes the codes of three pictures."""

    def save(form: CodesFormat, inputs: list[str] = INPUTS) -> Path:
        path = tmp_path / f"codes.{form}"
        save_codes(path, inputs, model.encode(pixels))
        return path

    return save


def columns_of(model: Model) -> Columns:
    return Columns(model.names, model.header.model.latent_dim)


def rows_of(path: Path | str, model: Model) -> list[Encoded | Failed]:
    with CodesFile(str(path), columns_of(model), "tiny") as file:
        return list(file.rows())


def reasons(path: Path, model: Model) -> list[str]:
    return [row.reason for row in rows_of(path, model) if isinstance(row, Failed)]


def test_encode_then_decode_is_the_reconstruction(
    form: CodesFormat, model: Model, pixels: np.ndarray, saved: Saved
) -> None:
    inputs, codes = load_codes(saved(form), model)
    assert inputs == INPUTS
    expected = model.encode(pixels)
    assert torch.equal(codes.y_hat, expected.y_hat)
    assert torch.equal(codes.z, expected.z)
    assert codes.y_hat.dtype == codes.z.dtype == torch.float32
    difference = model.decode(codes) - model.reconstruct(pixels)
    assert difference.abs().max() <= 1e-6


def test_no_format_depends_on_the_clock(form: CodesFormat, saved: Saved) -> None:
    assert saved(form).read_bytes() == saved(form).read_bytes()


def test_what_a_file_is_its_bytes_say(form: CodesFormat, model: Model, saved: Saved) -> None:
    path = saved(form)
    other = path.rename(path.with_name("codes"))
    assert [row.source.name for row in rows_of(other, model)] == INPUTS


def test_codes_come_from_standard_input_twice(
    form: CodesFormat, model: Model, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.write(writer, saved(form).read_bytes())
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with CodesFile("-", columns_of(model), "tiny") as file:
            assert [source.below for source in file.sources()] == [
                "one.png",
                't "wo".png',
                "b/dr\u00fcben.png",
            ]
            assert [row.source.name for row in file.rows()] == INPUTS


def test_names_that_are_no_utf8_come_through_or_fail_by_name(
    form: CodesFormat, model: Model, pixels: np.ndarray
) -> None:
    name = os.fsdecode(b"a/\xff.png")
    codes = model.encode(pixels[:1])
    row = Encoded(Source(name, name), codes.y_hat[0].numpy(), codes.z[0].numpy())
    (result,) = writable([row], form)
    if form is CodesFormat.PARQUET:
        assert isinstance(result, Failed)
        assert "no UTF-8" in result.reason
        return
    handle = io.BytesIO()
    write_codes(handle, [result], columns_of(model), form)
    path = Path("codes")
    path.write_bytes(handle.getvalue())
    assert [row.source.name for row in rows_of(path, model)] == [name]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_npz_is_four_arrays_without_pickle(model: Model, saved: Saved) -> None:
    with np.load(saved(CodesFormat.NPZ), allow_pickle=False) as arrays:
        assert arrays["input"].tolist() == INPUTS
        assert arrays["names"].tolist() == list(NAMES)
        assert (arrays["y_hat"].shape, arrays["z"].shape) == ((3, 3), (3, 4))
        assert arrays["y_hat"].dtype == arrays["z"].dtype == np.float32


def test_safetensors_holds_texts_as_bytes_with_nul(saved: Saved) -> None:
    tensors = safetensors.numpy.load_file(saved(CodesFormat.SAFETENSORS))
    assert bytes(tensors["input"]).decode().split("\0")[:-1] == INPUTS
    assert bytes(tensors["names"]).decode().split("\0")[:-1] == list(NAMES)
    assert (tensors["y_hat"].shape, tensors["z"].shape) == ((3, 3), (3, 4))


def test_parquet_has_a_column_of_float32_for_each_number(model: Model, saved: Saved) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="parquet needs pyarrow")
    table = pq.read_table(saved(CodesFormat.PARQUET))
    assert table.column_names == ["input", *NAMES, "z0", "z1", "z2", "z3"]
    assert {str(kind) for kind in table.schema.types[1:]} == {"float"}


def test_the_format_is_the_one_asked_for_else_that_of_the_suffix() -> None:
    assert format_of("x.npz") is CodesFormat.NPZ
    assert format_of("x.NPZ", CodesFormat.CSV) is CodesFormat.CSV
    assert format_of(None) is format_of("/dev/stdout") is CodesFormat.CSV
    with pytest.raises(UsageError, match=r"\.json is no format of codes: add --format csv, jsonl"):
        format_of("codes.json")


def test_parquet_without_pyarrow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"pip install 'mddae\[parquet\]'"):
        check_format(CodesFormat.PARQUET, Columns(NAMES, 4))


def test_an_attribute_with_the_name_of_another_column_is_refused_in_tables() -> None:
    columns = Columns(("input", "Smiling"), 4)
    with pytest.raises(UsageError, match="two columns 'input'"):
        check_format(CodesFormat.CSV, columns)
    check_format(CodesFormat.JSONL, columns)


@pytest.mark.parametrize("text", list(CodesFormat)[:2])
def test_rows_of_text_are_written_one_by_one(text: CodesFormat, model: Model) -> None:
    written: list[int] = []
    handle = io.BytesIO()

    def results() -> Iterator[Encoded]:
        for number in range(3):
            written.append(handle.getvalue().count(b"\n"))
            source = Source(f"{number}.png", "")
            yield Encoded(source, np.zeros(3, np.float32), np.zeros(4, np.float32))

    write_codes(handle, results(), columns_of(model), text)
    headings = int(text is CodesFormat.CSV)
    assert written == [headings, headings + 1, headings + 2]


@pytest.mark.parametrize("form", [f for f in CodesFormat if f != "parquet"], indirect=True)
def test_memory_does_not_hold_the_numbers(form: CodesFormat) -> None:
    columns = Columns(NAMES, 1000)

    def results(count: int) -> Iterator[Encoded]:
        for number in range(count):
            yield Encoded(Source(str(number), ""), np.zeros(3, np.float32), np.ones(1000, "f4"))

    def peak(count: int) -> int:
        with Path(os.devnull).open("wb") as handle:
            tracemalloc.start()
            write_codes(handle, results(count), columns, form)
            top = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return top

    peak(2)  # what is imported the first time
    assert peak(1500) < peak(150) + 1_000_000  # the numbers are 6 MB


def edited_csv(path: Path, change: Callable[[list[str]], list[str]]) -> Path:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    return path


def test_bad_rows_of_csv_are_named_with_their_line_and_the_rest_is_read(
    model: Model, saved: Saved
) -> None:
    path = saved(CodesFormat.CSV, ["one.png", "two.png", "three.png"])
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    bad = [
        ",".join(cells[:-1]),
        ",".join([*cells, "7"]),
        ",".join([cells[0], "nan", *cells[2:]]),
        ",".join([cells[0], "1e39", *cells[2:]]),
        ",".join([cells[0], "strong", *cells[2:]]),
        ",".join([cells[0], "1_0", *cells[2:]]),
        ",".join(["", *cells[1:]]),
        "",
    ]
    path.write_text("\n".join([*lines[:2], *bad, *lines[2:]]) + "\n")
    name = str(path)
    assert reasons(path, model) == [
        f"line 3 of {name}: z3 is missing.",
        f"line 4 of {name}: 9 columns instead of 8.",
        f"line 5 of {name}: Smiling is 'nan', which is no finite number.",
        f"line 6 of {name}: Smiling is '1e39', which is no finite number.",
        f"line 7 of {name}: Smiling is 'strong', which is no finite number.",
        f"line 8 of {name}: Smiling is '1_0', which is no finite number.",
        "line 9: the input has no path.",
    ]
    good = [row.source.name for row in rows_of(path, model) if isinstance(row, Encoded)]
    assert good == ["one.png", "two.png", "three.png"]


def test_columns_may_be_in_another_order_and_numbered_by_pandas(
    model: Model, saved: Saved, pixels: np.ndarray
) -> None:
    path = saved(CodesFormat.CSV)
    rows = list(csv.reader(path.read_text().splitlines()))
    rows[0] = [name.lower().replace("_", " ") for name in rows[0]]
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([[i or "", *row[::-1]] for i, row in enumerate(rows)])
    _, codes = load_codes(path, model)
    assert torch.equal(codes.y_hat, model.encode(pixels).y_hat)
    assert torch.equal(codes.z, model.encode(pixels).z)


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("input,Smiling,No_Beard,z0,z1,z2,z3", "column 'Hat, red' of model 'tiny' is missing"),
        ('input,Smiling,No_Beard,"Hat, red",Smilng,z0,z1,z2,z3', "Did you mean Smiling"),
        ('input,Smiling,No_Beard,"Hat, red",smiling,z0,z1,z2,z3', "a column is there twice"),
        ('input,Smiling,No_Beard,"Hat, red",z0,z1', "2 values of z, but model 'tiny' has 4"),
        ('input,Smiling,No_Beard,"Hat, red"', "written with --soft-target-only"),
        ('Smiling,No_Beard,"Hat, red",z0,z1,z2,z3', "no column 'input'"),
        ("", "no column 'input'"),
    ],
)
def test_headings_that_are_not_the_model_s_are_refused(
    heading: str, said: str, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "codes.csv"
    path.write_text(heading + "\n")
    with pytest.raises(UsageError, match=said):
        rows_of(path, model)


def test_bad_rows_of_json_lines_are_named_and_the_rest_is_read(
    model: Model, tmp_path: Path
) -> None:
    good = {"input": "a.png", "y_hat": dict.fromkeys(NAMES, 0.5), "z": [0, 1, 2, 3.5]}
    bad = [
        {**good, "y_hat": {"Smiling": 1}},
        {**good, "y_hat": {**good["y_hat"], "Hut": 1}},  # type: ignore[dict-item]  # one of three
        {**good, "z": [0, 1, 2]},
        {**good, "z": [0, 1, 2, True]},
        {**good, "z": 7},
        {"input": "b.png", "status": "failed", "error": "does not exist."},
        [1],
    ]
    path = tmp_path / "codes.jsonl"
    lines = [json.dumps(row) for row in [good, *bad]]
    path.write_text("\n".join([*lines, '{"input": "c.png", "z"', json.dumps(good)]) + "\n")
    assert [reason.split(": ", 1)[1][:46] for reason in reasons(path, model)] == [
        "column 'No_Beard' of model 'tiny' is missing.",
        "column 'Hut' does not exist. Known: Smiling, N"[:46],
        "3 values of z.",
        "z3 is True, which is no finite number.",
        "y_hat is no object, or z no list.",
        "it was not encoded: does not exist.",
        "no JSON object.",
        "no JSON object.",
    ]
    assert [r.source.name for r in rows_of(path, model) if isinstance(r, Encoded)] == ["a.png"] * 2


def test_a_first_row_of_json_lines_with_another_z_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "codes.jsonl"
    path.write_text(json.dumps({"input": "a", "y_hat": dict.fromkeys(NAMES, 0), "z": [1]}) + "\n")
    with pytest.raises(UsageError, match="1 values of z, but model 'tiny' has 4"):
        rows_of(path, model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z": np.zeros((3, 5), "f4")}, "5 values of z, but model 'tiny' has 4"),
        ({"y_hat": np.zeros((2, 3), "f4")}, r"y_hat is float32 \(2, 3\) for 3 paths"),
        ({"names": np.array(["Smiling", "Bald", "x"])}, "column 'Bald' does not exist"),
        ({"y_hat": np.zeros((3, 3), object)}, "no readable npz file"),
        ({"input": None}, "array 'input' is missing"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    change: dict[str, np.ndarray | None], said: str, model: Model, saved: Saved
) -> None:
    path = saved(CodesFormat.NPZ)
    arrays = dict(np.load(path)) | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UsageError, match=said):
        rows_of(path, model)


def test_a_row_of_an_array_with_nan_fails_alone(model: Model, saved: Saved) -> None:
    path = saved(CodesFormat.SAFETENSORS)
    tensors = dict(safetensors.numpy.load_file(path))
    tensors["z"][1, 2] = np.nan
    safetensors.numpy.save_file(tensors, path)
    assert reasons(path, model) == [f"row 2 of {path}: z2 is nan, which is no finite number."]


@pytest.mark.parametrize("form", [f for f in CodesFormat if not f.is_text], indirect=True)
def test_a_damaged_file_is_refused(form: CodesFormat, model: Model, saved: Saved) -> None:
    path = saved(form)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UsageError, match=f"no readable {form} file"):
        rows_of(path, model)


def test_a_missing_file_of_codes_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match=r"codes 'none\.csv' cannot be read: No such file"):
        rows_of("none.csv", model)


def test_a_path_that_climbs_stays_below_the_output(model: Model, saved: Saved) -> None:
    path = saved(CodesFormat.CSV, ["../x/a.png", "b.png", "-"])
    with CodesFile(str(path), columns_of(model), "tiny") as file:
        assert [source.below for source in file.sources()] == ["x/a.png", "here/b.png", "-"]


def test_decoded_pictures_are_written_in_order_and_failures_stop_nothing(
    model: Model, pixels: np.ndarray, tmp_path: Path
) -> None:
    codes = model.encode(pixels)
    rows: list[Encoded | Failed] = [
        Encoded(Source(f"{i}.png", ""), codes.y_hat[i].numpy(), codes.z[i].numpy())
        for i in range(3)
    ]
    rows.insert(1, Failed(Source("bad.png", ""), "line 3: no."))
    targets = [tmp_path / f"{i}.png" for i in range(3)]
    targets[0].write_bytes(b"here already")
    written: dict[Path | None, np.ndarray] = {}

    def write(target: Path | None, result: np.ndarray) -> None:
        if target == targets[2]:
            raise ImageError("no space.")
        written[target] = result

    def change(codes: Codes) -> Codes:
        return codes.set(Smiling=2)

    results = list(decode_rows(model, rows, targets, change, batch_size=2, write=write))
    assert [type(result) for result in results] == [Skipped, Failed, Edited, Failed]
    assert isinstance(results[2], Edited)
    assert results[2].after[0] == 2
    expected = editing.to_pixels(model.decode(codes.set(Smiling=2)))[1]
    assert np.abs(written[targets[1]].astype(int) - expected).max() <= 1
    again = list(
        decode_rows(model, rows, targets, change, overwrite=True, batch_size=64, write=write)
    )
    assert [type(result) for result in again] == [Edited, Failed, Edited, Failed]


def test_an_image_is_what_its_codes_give(
    model: Model, pixels: np.ndarray, saved: Saved, tmp_path: Path
) -> None:
    _, codes = load_codes(saved(CodesFormat.CSV), model)
    once, twice = (
        images.image_bytes(editing.to_pixels(model.decode(c))[0])
        for c in (codes, model.encode(pixels))
    )
    assert once == twice
