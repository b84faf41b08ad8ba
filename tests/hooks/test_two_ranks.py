"""Two processes choose the rows that one would, and train on them as one model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from lnat_plugins.selection import Selection
from tests.helpers_ranks import launch

from . import weighted
from .builders import CORRECT, candidates, expected_rows, natural


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    launch("tests.hooks.rank", [str(folder)], folder, repo)
    return [json.loads((folder / f"found{rank}.json").read_text()) for rank in range(2)]


def test_both_ranks_choose_what_one_process_chooses(
    found: list[dict[str, Any]], tmp_path: Path
) -> None:
    alone = natural(tmp_path, CORRECT, train_dataset=candidates(5))
    first, second = (Selection.from_dict(one["selection"]) for one in found)
    assert found[0]["selection"] == found[1]["selection"]
    assert first.indices == second.indices == alone.selection.indices
    assert first.scores == pytest.approx(alone.selection.scores, abs=1e-5, nan_ok=True)


def test_the_chosen_rows_are_shared_out_and_all_trained_on(found: list[dict[str, Any]]) -> None:
    seen = [Counter({(p, teacher): n for p, teacher, n in one["seen"]}) for one in found]
    expected = expected_rows(Selection.from_dict(found[0]["selection"]))
    # Five rows on two ranks: each epoch repeats one row to give both equally many.
    together = seen[0] + seen[1]
    assert set(together) == set(expected)
    assert together.total() == expected.total() + 2
    assert all(one["max_steps"] == 6 for one in found)
    assert seen[0].total() == seen[1].total() == 6


def test_the_model_is_wrapped_by_training_and_not_before(found: list[dict[str, Any]]) -> None:
    assert [one["wrapped_early"] for one in found] == [False, False]
    assert [one["wrapped"] for one in found] == ["DistributedDataParallel"] * 2
    assert found[0]["weights"] == pytest.approx(found[1]["weights"])


def test_candidates_that_differ_are_refused_by_all(found: list[dict[str, Any]]) -> None:
    for one in found:
        assert "the processes of this run hold different candidates" in one["refused"]


def test_there_is_one_choice_whatever_a_plugin_does(found: list[dict[str, Any]]) -> None:
    assert found[0]["divided"] == found[1]["divided"] == [0]


@pytest.mark.parametrize(("name", "size"), [("rows", 4), ("packs", 2), ("apart", 2)])
def test_weights_count_over_both_ranks(
    found: list[dict[str, Any]], tmp_path: Path, name: str, size: int
) -> None:
    """A step's rows are those of both, however few of them one has."""
    alone = weighted.trainer(tmp_path)
    sequences = weighted.rows_of(alone, "messages")
    if name == "packs":
        sequences = weighted.packed(sequences, 70, "wrapped")
        assert len(sequences) % 2 == 0
    steps = weighted.in_steps(sequences, size)
    losses, parameters = weighted.by_hand(steps, sequences, alone.selection.weights)
    first, second = (one["by_weight"][name] for one in found)
    assert first["losses"] == pytest.approx(losses, rel=1e-6, abs=0)
    for mine, its, other in zip(first["parameters"], second["parameters"], parameters, strict=True):
        assert mine == its
        torch.testing.assert_close(torch.tensor(mine), other.flatten(), atol=1e-4, rtol=1e-4)


def test_the_ranks_take_turns_in_the_order(found: list[dict[str, Any]]) -> None:
    """In batches, here of one row: the rows of a step are the next two of the order."""
    first, second = (one["in_order"] for one in found)
    assert first["order"] == second["order"]
    assert first["seen"] == first["order"][0::2] * 2  # two epochs
    assert second["seen"] == first["order"][1::2] * 2
    assert len(first["order"]) == 12
