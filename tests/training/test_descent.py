"""A step in two threads: the same gradients as in one, whoever is first; errors are not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from mddae_cli.config import TargetKind, make_config
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.training.beside import Beside, Both, both_on, in_turn
from mddae_cli.training.descent import descend
from mddae_cli.training.objective import Objective, Part, add_up


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def set_up(header: Header) -> tuple[AutoEncoder, Objective]:
    torch.manual_seed(0)
    spec = replace(header.model, target_kind=TargetKind.ATTRIBUTES, dropout=0.3)
    net = AutoEncoder(spec).to(memory_format=torch.channels_last)
    config = make_config("digits", cycle=0.5, cycle_z=0.5, observers=(1.0, 2.0))
    return net, Objective(config, replace(header, model=spec))


def parts_of(net: AutoEncoder, objective: Objective, *, target: bool) -> list[Part]:
    x = torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    y = (torch.rand(12, 10, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    torch.manual_seed(3)
    rng = torch.Generator().manual_seed(4)
    if target:
        return objective.learn_target(net, x, y, rng=rng)
    objective.requires_grad_(False).eval()
    return objective.parts(net, x, y, progress=1.0, rng=rng)


def gradients(header: Header, both: Both, *, target: bool) -> list[torch.Tensor | None]:
    net, objective = set_up(header)
    descend(parts_of(net, objective, target=target), both)
    return [p.grad for p in [*net.parameters(), *objective.parameters()]]


@pytest.mark.parametrize("target", [True, False])
def test_gradients_are_those_of_the_sum_of_all_losses(tiny_header: Header, target: bool) -> None:
    net, objective = set_up(tiny_header)
    add_up(p.losses() for p in parts_of(net, objective, target=target)).total.backward()
    wanted = [p.grad for p in [*net.parameters(), *objective.parameters()]]
    for grad, other in zip(gradients(tiny_header, in_turn, target=target), wanted, strict=True):
        assert (grad is None) == (other is None)
        if grad is not None:
            torch.testing.assert_close(grad, other)
            assert grad.stride() == other.stride()


@pytest.mark.parametrize("target", [True, False])
def test_two_threads_find_the_same_to_the_bit(
    tiny_header: Header, two_threads: None, target: bool
) -> None:
    beside = Beside()
    first = gradients(tiny_header, beside, target=target)
    for _ in range(5):
        for grad, other in zip(gradients(tiny_header, beside, target=target), first, strict=True):
            assert grad is other is None or torch.equal(grad, other)


def test_jobs_meet_in_two_threads_and_leave_the_number_of_threads(two_threads: None) -> None:
    meeting = threading.Barrier(2)

    def job() -> tuple[int, int]:
        return meeting.wait(10), torch.get_num_threads()

    beside = Beside()
    for _ in range(2):
        met, threads = zip(*beside(job, job), strict=True)
        assert set(met) == {0, 1}
        assert threads == (1, 1)
    assert torch.get_num_threads() == 2


def test_one_thread_does_one_after_the_other() -> None:
    threads, done = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        Beside()(lambda: done.append(threading.get_ident()), lambda: done.append(1))
    finally:
        torch.set_num_threads(threads)
    assert done == [threading.get_ident(), 1]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_job_that_fails_is_told_after_the_other_is_over(two_threads: None, failing: int) -> None:
    done = []

    def fail() -> None:
        raise ValueError("no")

    def work() -> None:
        time.sleep(0.05)
        done.append(1)

    with pytest.raises(ValueError, match="no"):
        Beside()(*((fail, work) if failing == 0 else (work, fail)))
    assert done == [1]
    assert torch.get_num_threads() == 2


def test_devices_take_turns_by_themselves() -> None:
    assert both_on(torch.device("cuda")) is in_turn
    assert isinstance(both_on(torch.device("cpu")), Beside)
