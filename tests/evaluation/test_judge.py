"""The judge on small synthetic pictures: learning, trust, and the cache."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mddae_cli.config import Sight, TargetKind
from mddae_cli.data import load_table
from mddae_cli.data.table import Table
from mddae_cli.errors import DatasetError
from mddae_cli.evaluation import bundled_judges, load_or_train_judge, train_judge
from mddae_cli.evaluation import judge as judging
from mddae_cli.files import current_umask
from mddae_cli.header import Preprocess

KINDS = list(TargetKind)


def bars(kind: TargetKind, rows: int = 400, side: int = 12) -> Table:
    """Return pictures on dark noise; name k is a bright bar in the k-th third of the picture."""
    rng = np.random.default_rng(0)
    if kind is TargetKind.CLASSES:
        labels = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, rows)]
    else:
        labels = rng.integers(0, 2, (rows, 3)).astype(np.uint8)
    images = rng.integers(0, 100, (rows, side, side, 1), dtype=np.uint8)
    shown = labels.repeat(side // 3, axis=1)[:, :, None, None]
    images[:, :, 3:9] += (shown * 150).astype(np.uint8)
    train, val, test = np.split(rng.permutation(rows), (rows // 2, rows * 3 // 4))
    return Table(
        name="bars",
        images=images,
        labels=labels,
        splits={"train": train, "val": val, "test": test},
        names=("top", "middle", "bottom"),
        kind=kind,
        split="random",
        split_seed=0,
        preprocess=Preprocess(side, 1, (0.0, 1.0)),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_learns_what_real_pictures_show(kind):
    table = bars(kind)
    judge = train_judge(table, epochs=12)
    assert judge.accuracy > 0.95
    assert len(judge.accuracies) == 3
    rows = table.splits["test"]
    logits = judge.logits(torch.from_numpy(table.images[rows]).permute(0, 3, 1, 2) / 255)
    if kind is TargetKind.CLASSES:
        right = (logits.argmax(1).numpy() == table.labels[rows].argmax(1)).mean()
    else:
        right = ((logits.numpy() > 0) == table.labels[rows]).mean()
    assert judge.accuracy == pytest.approx(right)


def test_training_a_judge_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(judging, "keep_freed_memory", lambda: kept.append(True))
    train_judge(bars(TargetKind.ATTRIBUTES, rows=80), epochs=1)
    assert kept == [True]


def test_a_judge_never_learns_from_validation_or_test_pictures():
    table = bars(TargetKind.ATTRIBUTES, rows=80)
    images, labels = table.images.copy(), table.labels.copy()
    other = np.concatenate([table.splits["val"], table.splits["test"]])
    images[other], labels[other] = 255 - images[other], 1 - labels[other]
    first = train_judge(table, epochs=2)
    second = train_judge(dataclasses.replace(table, images=images, labels=labels), epochs=2)
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name])


def test_the_same_seed_trains_the_same_judge_and_leaves_torchs_own_generator_alone():
    table = bars(TargetKind.CLASSES, rows=80)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = train_judge(table, epochs=2, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    x = torch.rand(4, 1, 12, 12)
    again, other = (train_judge(table, epochs=2, seed=s).logits(x) for s in (5, 6))
    assert torch.equal(first.logits(x), again)
    assert not torch.equal(first.logits(x), other)


def test_logits_do_not_depend_on_the_batch_size():
    judge = train_judge(bars(TargetKind.CLASSES, rows=80), epochs=1)
    x = torch.rand(9, 1, 12, 12)
    parts = torch.cat([judge.logits(part) for part in x.split(2)])
    torch.testing.assert_close(judge.logits(x), parts, rtol=1e-4, atol=1e-5)


def test_accuracy_of_classes_is_per_picture_and_the_rest_per_class():
    logits = torch.tensor([[2.0, 1.0, 0.0]] * 4)
    labels = np.eye(3, dtype=np.uint8)[[0, 0, 0, 1]]
    assert judging.label_accuracy(logits, labels, TargetKind.CLASSES) == (0.75, (1.0, 0.0, 0.0))


def test_accuracy_of_attributes_counts_the_sign_of_the_logit():
    logits = torch.tensor([[2.0, -1.0], [1.0, -1.0]])
    labels = np.array([[1, 0], [0, 0]], np.uint8)
    assert judging.label_accuracy(logits, labels, TargetKind.ATTRIBUTES) == (0.75, (0.5, 1.0))


def test_a_cached_judge_is_not_trained_again(cache, recorder):
    table = bars(TargetKind.CLASSES, rows=80)
    first = load_or_train_judge(table, epochs=2, reporter=recorder)
    assert recorder.jobs == [("judge", 80, "image")]
    (announced,) = recorder.lines
    assert "is trained" in announced
    assert str(judging.judge_path(table, seed=judging.JUDGE_SEED, epochs=2)) in announced
    assert (recorder.steps, recorder.ended) == (80, 1)
    second = load_or_train_judge(table, epochs=2, reporter=recorder)
    assert len(recorder.jobs) == len(recorder.lines) == 1
    x = torch.rand(4, 1, 12, 12)
    assert torch.equal(first.logits(x), second.logits(x))
    assert first.accuracies == second.accuracies
    assert dataclasses.replace(first, net=second.net) == second


def changed(table: Table, what: str) -> Table:
    images, labels = table.images.copy(), table.labels.copy()
    train = table.splits["train"]
    match what:
        case "a training picture":
            images[train[0], 0, 0, 0] ^= 1
        case "a training label":
            labels[train[0], 0] ^= 1
        case "the rows for training":
            return dataclasses.replace(table, splits=table.splits | {"train": train[:-1]})
        case "the crop":
            crop = dataclasses.replace(table.preprocess, crop=(0.0, 0.0, 0.5, 0.5))
            return dataclasses.replace(table, preprocess=crop)
        case "the names":
            return dataclasses.replace(table, names=("a", "b", "c"))
    return dataclasses.replace(table, images=images, labels=labels)


@pytest.mark.parametrize(
    "what",
    ["a training picture", "a training label", "the rows for training", "the crop", "the names"],
)
def test_a_judge_of_other_content_has_another_place_in_the_cache(what):
    table = bars(TargetKind.ATTRIBUTES, rows=80)
    place = judging.judge_path(table, seed=0, epochs=1)
    assert judging.judge_path(changed(table, what), seed=0, epochs=1) != place
    assert judging.judge_path(changed(table, "nothing"), seed=0, epochs=1) == place


def test_seed_epochs_and_version_have_their_own_places(monkeypatch):
    table = bars(TargetKind.ATTRIBUTES, rows=80)
    places = {judging.judge_path(table, seed=s, epochs=e) for s in (0, 1) for e in (1, 2)}
    monkeypatch.setattr(judging, "JUDGE_VERSION", judging.JUDGE_VERSION + 1)
    places.add(judging.judge_path(table, seed=0, epochs=1))
    assert len(places) == 5


def test_a_name_with_slashes_stays_inside_the_cache(cache):
    table = dataclasses.replace(bars(TargetKind.CLASSES, rows=80), name="../../etc/x")
    assert judging.judge_path(table, seed=0, epochs=1).parent == cache / "judges"


@pytest.mark.parametrize("damage", ["cut", "text", "foreign", "empty"])
def test_a_damaged_file_is_noted_and_replaced(cache, recorder, damage):
    from safetensors.torch import save_file

    table = bars(TargetKind.CLASSES, rows=80)
    first = load_or_train_judge(table, epochs=1)
    path = judging.judge_path(table, seed=judging.JUDGE_SEED, epochs=1)
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("no judge")
        case "foreign":
            save_file({"weight": torch.zeros(2)}, path)
        case "empty":
            path.write_bytes(b"")
    again = load_or_train_judge(table, epochs=1, reporter=recorder)
    assert len(recorder.lines) == 1
    assert "damaged" in recorder.lines[0]
    assert path.read_bytes() == whole
    assert again.accuracies == first.accuracies


def test_a_cache_that_cannot_be_written_costs_no_judge(tmp_path, monkeypatch, recorder):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MDDAE_CACHE", str(blocked))
    judge = load_or_train_judge(bars(TargetKind.CLASSES, rows=80), epochs=1, reporter=recorder)
    assert len(judge.accuracies) == 3
    assert "cannot be kept" in recorder.lines[-1]


def test_the_cached_file_is_readable_for_others(cache):
    load_or_train_judge(bars(TargetKind.CLASSES, rows=80), epochs=1)
    [path] = (cache / "judges").iterdir()
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


@pytest.mark.parametrize("part", ["train", "test"])
def test_too_few_pictures_are_refused(part):
    table = bars(TargetKind.CLASSES, rows=80)
    few = dataclasses.replace(table, splits=table.splits | {part: table.splits[part][:0]})
    with pytest.raises(DatasetError, match=rf"0 {part}"):
        train_judge(few, epochs=1)


def test_digits_are_moved_but_never_mirrored_and_faces_are_both():
    image = np.zeros((1, 12, 12, 1), np.uint8)
    image[0, 5, 3] = 255  # left of the middle
    many = image.repeat(200, axis=0)
    moved = judging._augment(many, np.random.default_rng(0), flip=False)
    rows, columns = moved[:, 0].flatten(1).argmax(1) // 12, moved[:, 0].flatten(1).argmax(1) % 12
    assert (set(rows.tolist()), set(columns.tolist())) == ({3, 4, 5, 6, 7}, {1, 2, 3, 4, 5})
    both = judging._augment(many, np.random.default_rng(0), flip=True)
    right = (both[:, 0].flatten(1).argmax(1) % 12 > 5).float().mean()
    assert 0.35 < right < 0.65


@pytest.mark.parametrize("side", [8, 12, 28, 32, 64, 128])
def test_the_network_fits_every_side(side):
    net = judging.JudgeNet(side, 3, 5).eval()
    assert net(torch.rand(2, 3, side, side)).shape == (2, 5)
    assert net.to_logits.in_features <= 16 * 192


@pytest.mark.parametrize("taken", [None, torch.bfloat16])
def test_the_judge_learns_in_the_arithmetic_that_is_fast_here(monkeypatch, taken):
    seen = set()
    monkeypatch.setattr(judging, "pick_autocast", lambda precision, device: taken)
    honest = judging.F.relu
    monkeypatch.setattr(judging.F, "relu", lambda h, **how: seen.add(h.dtype) or honest(h, **how))
    judging.train_judge(load_table("digits", limit=60), epochs=1)
    assert (torch.bfloat16 in seen) == (taken is torch.bfloat16)


def test_epochs_shrink_as_the_data_grow():
    assert [judging.default_epochs(n) for n in (100, 19_000, 50_000, 10**6)] == [40, 13, 5, 4]


def stripes(rows: int = 1200) -> Table:
    """Return pictures whose one attribute is a pattern that a blur takes away, or half of it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (rows, 1)).astype(np.uint8)
    wave = np.where(np.arange(12) // 2 % 2, 160, 60)[:, None, None]
    images = np.where(labels[:, :, None, None], wave, 110) + rng.integers(
        -20, 20, (rows, 12, 12, 1)
    )
    train, val, test = np.split(rng.permutation(rows), (rows // 2, rows * 3 // 4))
    parts = {"train": train, "val": val, "test": test}
    shape = Preprocess(12, 1, (0.0, 1.0))
    kind = TargetKind.ATTRIBUTES
    return Table("stripes", images.astype(np.uint8), labels, parts, ("a",), kind, "x", 0, shape)


def test_a_soft_sighted_judge_knows_softened_pictures_that_a_sharp_one_does_not() -> None:
    from mddae_cli.evaluation.softness import soften

    table = stripes()
    rows = table.splits["test"]
    x = torch.from_numpy(table.images[rows]).permute(0, 3, 1, 2) / 255
    right = {}
    for sight in Sight:
        judge = train_judge(table, epochs=8, sight=sight)
        assert (judge.sight, judge.accuracy > 0.95) == (sight, True)
        seen = judge.logits(soften(x, torch.full((len(x),), 1.0))) > 0
        right[sight] = (seen.numpy() == table.labels[rows]).mean()
    assert right[Sight.SOFT] > 0.9
    assert right[Sight.SOFT] > right[Sight.SHARP] + 0.1


def test_each_sight_has_its_own_place_in_the_cache(cache):
    table = bars(TargetKind.ATTRIBUTES, rows=80)
    for sight in (*Sight, *Sight):
        assert load_or_train_judge(table, epochs=1, sight=sight).sight is sight
    assert len(list((cache / "judges").iterdir())) == 2


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """Return a table for which the package has a judge, and that judge."""
    table = bars(TargetKind.ATTRIBUTES)
    judge = train_judge(table, epochs=6)
    monkeypatch.setattr(bundled_judges, "_FOLDER", tmp_path)
    bundled_judges.write_bundled(judge.net, table, Sight.SHARP, tmp_path)
    return table, judge


def test_a_bundled_judge_is_taken_instead_of_training_one(bundle, cache, recorder):
    table, judge = bundle
    for _ in "first", "from the cache":
        found = load_or_train_judge(table, reporter=recorder)
        assert recorder.jobs == recorder.lines == []
        assert found.accuracy == pytest.approx(judge.accuracy, abs=0.02)
        x = torch.from_numpy(table.images[:50]).permute(0, 3, 1, 2) / 255
        torch.testing.assert_close(found.logits(x), judge.logits(x), rtol=0.02, atol=0.02)


def test_a_bundled_panel_says_the_mean_of_its_members(tmp_path, monkeypatch, cache, recorder):
    table = bars(TargetKind.ATTRIBUTES)
    judges = [train_judge(table, epochs=1, seed=seed) for seed in (1, 2, 3)]
    monkeypatch.setattr(bundled_judges, "_FOLDER", tmp_path)
    panel = judging.JudgePanel(judge.net for judge in judges)
    bundled_judges.write_bundled(panel, table, Sight.SOFT, tmp_path)
    x = torch.from_numpy(table.images[:50]).permute(0, 3, 1, 2) / 255
    each = torch.stack([judge.logits(x) for judge in judges])
    assert float(each.std(dim=0).mean()) > 0.05
    for _ in "from the package", "from the cache":
        found = load_or_train_judge(table, sight=Sight.SOFT, reporter=recorder)
        torch.testing.assert_close(found.logits(x), each.mean(dim=0), rtol=0.02, atol=0.02)
    assert recorder.jobs == []


@pytest.mark.parametrize(
    "asked", [{"sight": Sight.SOFT}, {"bundled": False}, {"seed": 1}, {"epochs": 1}], ids=str
)
def test_a_judge_that_is_not_the_bundled_one_is_trained(
    bundle, cache, recorder, asked, monkeypatch
):
    monkeypatch.setattr(judging, "default_epochs", lambda num_images: 1)
    load_or_train_judge(bundle[0], reporter=recorder, **asked)
    assert [job[0] for job in recorder.jobs] == ["judge"]


@pytest.mark.parametrize(
    "change",
    [
        {"split": "official"},
        {"names": ("a", "b", "c")},
        {"name": "other"},
        {"preprocess": Preprocess(12, 1, (0.0, 1.0), crop=(0.0, 0.0, 0.5, 0.5))},
    ],
    ids=str,
)
def test_a_bundled_judge_is_not_taken_for_another_table(bundle, change):
    table = bundle[0]
    assert bundled_judges.bundled_judge(table, Sight.SHARP) is not None
    other = dataclasses.replace(table, **change)
    assert bundled_judges.bundled_judge(other, Sight.SHARP) is None


@pytest.mark.data
@pytest.mark.parametrize("sight", list(Sight))
def test_the_package_has_judges_of_real_faces_that_know_them(
    data_root, session_cache, recorder, sight
):
    table = load_table("celeba", data_dir=data_root)
    judge = load_or_train_judge(table, sight=sight, reporter=recorder)
    assert not recorder.jobs
    assert judge.accuracy > 0.9
