"""Degenerate responses that are counted while something else is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import processes
from lnat_plugins.scoring import samples
from lnat_plugins.scoring.samples import ScoredSet, read_scored_set
from tests.helpers_samples import make_record, samples_line, write_lines

TEXTS = ("#### 18", "I add 3 and 4, so it is 7.", "the same words again. " * 60)


@pytest.fixture
def scored(tmp_path: Path) -> ScoredSet:
    lines = []
    for i in range(40):
        records = [make_record(name, tokens=(1,), sums={"4": [-1.0]}) for name in ("QwQ", "R1")]
        line = samples_line(f"p{i}", records)
        for k, (own, reply) in enumerate(zip(line["doc"]["responses"], line["resps"], strict=True)):
            own["response"] = TEXTS[(i + k) % len(TEXTS)]
            reply[0] = reply[0].replace("[[0, 10]]", f"[[0, {len(own['response'])}]]")
        lines.append(line)
    return read_scored_set([write_lines(tmp_path / "samples_t_2025-01-01T00-00-00.jsonl", lines)])


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few responses count as many, and two processes look at them."""
    monkeypatch.setattr(samples, "_MANY_ROWS", 1)
    monkeypatch.setattr(samples, "_BATCH", 7)
    monkeypatch.setattr(processes, "available_cores", lambda: 2)


def test_the_counts_are_those_of_one_process(
    scored: ScoredSet, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scored.degenerate_meanwhile() as found:
        counted = found()
    assert scored.degenerate is counted is found()
    assert {name: one.rows for name, one in counted.items()} == {"QwQ": 40, "R1": 40}
    assert counted["QwQ"].kinds["answer only"] == 14 and counted["QwQ"].kinds["loop"] == 13
    monkeypatch.setattr(samples, "_MANY_ROWS", 1_000)
    assert counted == scored.only(["QwQ", "R1"]).only(None).degenerate
    del vars(scored)["degenerate"]
    assert scored.degenerate == counted


def test_what_is_not_waited_for_is_given_up(scored: ScoredSet, many: None) -> None:
    """An error in the block is not held up, and nothing half counted is kept."""
    with pytest.raises(KeyError), scored.degenerate_meanwhile():
        raise KeyError
    assert "degenerate" not in vars(scored)
    assert scored.degenerate["R1"].rows == 40


def test_after_it_is_given_up_no_batch_is_looked_at(
    scored: ScoredSet, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []

    def one_process(work: Any, items: Any, count: Any = None) -> Any:
        for item in items:
            looked.append(item)
            with pytest.raises(ValueError, match="stop"), scored.degenerate_meanwhile():
                raise ValueError("stop")
            given_up.set()
            yield item, None

    given_up = samples.threading.Event()
    monkeypatch.setattr(samples, "_MANY_ROWS", 1_000)
    monkeypatch.setattr(samples, "in_processes", one_process)
    assert scored._count_degenerate(given_up) == {}
    assert len(looked) == 1


def test_a_count_that_is_there_is_not_made_again(
    scored: ScoredSet, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = scored.degenerate
    monkeypatch.delattr(ScoredSet, "_count_degenerate")
    with scored.degenerate_meanwhile() as found:
        assert found() is known


def test_the_count_is_told_that_it_is_given_up(
    scored: ScoredSet, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(
        ScoredSet, "_count_degenerate", lambda _, given_up: told.append(given_up.wait(10))
    )
    with scored.degenerate_meanwhile():
        pass
    assert told == [True]


def test_few_responses_are_counted_when_they_are_asked_for(scored: ScoredSet) -> None:
    with scored.degenerate_meanwhile() as found:
        assert "degenerate" not in vars(scored)
        assert found() is scored.degenerate
