"""Steps of the latent: none up to a ŷ of 1, whole from where they were found on."""

from __future__ import annotations

import torch

from mddae_cli.model import LatentSteps


def steps() -> LatentSteps:
    made = LatentSteps(2, 3)
    made.put(0, torch.tensor([1.0, 0.0, 0.0]), 3.0)
    made.put(1, torch.tensor([0.0, 2.0, 0.0]), 1.5)
    return made


def test_at_first_nothing_moves() -> None:
    assert not LatentSteps(2, 3)(torch.tensor([[9.0, 9.0]])).any()


def test_a_step_begins_at_one_grows_and_is_whole_where_it_was_found() -> None:
    y_hat = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 0.0], [8.0, 0.0]])
    moved = steps()(y_hat)
    expected = torch.zeros(5, 3)
    expected[2:, 0] = torch.tensor([0.5, 1.0, 1.0])
    torch.testing.assert_close(moved, expected)


def test_steps_of_several_attributes_add_up() -> None:
    torch.testing.assert_close(
        steps()(torch.tensor([[3.0, 1.25]])), torch.tensor([[1.0, 1.0, 0.0]])
    )


def test_clear_takes_all_steps_away() -> None:
    made = steps()
    made.clear()
    assert not made(torch.tensor([[3.0, 3.0]])).any()
