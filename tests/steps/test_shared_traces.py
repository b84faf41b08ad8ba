"""The sentence splitter on real reasoning traces, where the shared data are at hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lnat_plugins.steps import SPLITTERS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = ["gsm8k_long_cot", "gsm8k_short_cot", "gsm8k_zeroeval", "smallthink", "farel_logic"]
MATHS = re.compile(r"\\\[(?:(?!\n\s*\n|\\\[).)*?\\\]|\\\((?:(?!\n\s*\n|\\\().)*?\\\)", re.DOTALL)


def responses(name: str, every: int) -> list[str]:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no shared data: {path.name} is not beside the repository")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["response"] for at, line in enumerate(lines) if at % every == 0]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("splitter", list(SPLITTERS))
def test_traces_are_tiled(name: str, splitter: str) -> None:
    for text in responses(name, every=7):
        spans = SPLITTERS[splitter].split(text)
        assert "".join(text[start:end] for start, end in spans) == text


@pytest.mark.parametrize("name", FILES)
def test_no_cut_inside_mathematics_and_every_blank_line_cuts(name: str) -> None:
    for text in responses(name, every=7):
        starts = {start for start, _ in SPLITTERS["sentence"].split(text)}
        for formula in MATHS.finditer(text):
            assert not starts & set(range(formula.start() + 1, formula.end())), formula.group()


def test_steps_are_about_as_long_as_sentences() -> None:
    texts = responses("gsm8k_long_cot", every=3)
    lengths = [end - start for text in texts for start, end in SPLITTERS["sentence"].split(text)]
    assert 35 < sum(lengths) / len(lengths) < 80
    assert sorted(lengths)[int(0.99 * len(lengths))] < 300
    assert (
        50 < sorted(len(SPLITTERS["sentence"].split(text)) for text in texts)[len(texts) // 2] < 110
    )
