"""Metrics against what their authors' own code gave, on the same traces and the same student.

The numbers lie in `../shared/golden`, whose README says how they came about. Where that code scores
other tokens than we do, the comparison is made on its tokens: the end-of-turn token and the
template's line break behind the response (LARK, SCAS, LIMO's global score), the prompt's last token
as the first of the first step (ASLEC), steps without the blank line between them (LIMO's local
score). RSR and the sentence windows need no such change. That code scores tags as any other token:
so it is done here (`markers: keep`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL
from lnat_plugins.metrics import METRICS
from lnat_plugins.metrics.aslec import without_slope
from lnat_plugins.metrics.base import log_prob, summed
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Response

TEACHER = "teacher_a"
TAIL = "<|im_end|>\n"
"""What the template puts behind a response."""

Steps = Sequence[str]


class Golden(NamedTuple):
    """The authors' numbers, the student that they are of, and the prompts and responses."""

    numbers: Mapping[str, Any]
    scorer: Scorer
    prompts: Sequence[str]
    texts: Sequence[str]

    def score(self, texts: Sequence[str], steps: Sequence[Steps] | None = None) -> list[StepSums]:
        """The records of these responses to the prompts, in order."""
        records = []
        for i, (prompt, text) in enumerate(zip(self.prompts, texts, strict=True)):
            ids = self.scorer.tokenizer.encode(prompt, add_special_tokens=False)
            cut = None if steps is None else steps[i]
            records += self.scorer.score(ids, [Response(TEACHER, text, steps=cut)])
        return records

    def of(self, key: str) -> list[Any]:
        """The authors' numbers of the responses, in order."""
        found = self.numbers[key]
        return list(found.values()) if isinstance(found, Mapping) else list(found)


@pytest.fixture(scope="module")
def golden(repo: Path) -> Golden:
    folder = repo.parent / "shared" / "golden"
    if not (folder / "golden.json").is_file():
        pytest.skip("no numbers of the authors' code beside the repository (../shared/golden)")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny-student")
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny-student")
    lines = (folder / f"{TEACHER}.jsonl").read_text(encoding="utf-8").splitlines()
    turns = [json.loads(line)["messages"] for line in lines if line]
    return Golden(
        json.loads((folder / "golden.json").read_text(encoding="utf-8")),
        Scorer(
            tokenizer=tokenizer,
            backend=EngineBackend(Engine(model)),
            spec=parse_steps("supplied_or_sentence", markers="keep"),
            windows=parse_windows(["1", "4", "global"]),
            settings={},
            statistics=frozenset(ALL - {"reward"}),
        ),
        [
            tokenizer.apply_chat_template(each[:-1], tokenize=False, add_generation_prompt=True)
            for each in turns
        ],
        [each[-1]["content"] for each in turns],
    )


@pytest.fixture(scope="module")
def plain(golden: Golden) -> list[StepSums]:
    """Scored as this package does: the response's own tokens, sentences."""
    return golden.score(golden.texts)


@pytest.fixture(scope="module")
def with_tail(golden: Golden) -> list[StepSums]:
    """Scored with the end-of-turn token and the template's line break."""
    return golden.score([text + TAIL for text in golden.texts])


def near(expected: Sequence[float]) -> Any:
    """float32 on both sides, in batches of other shapes."""
    return pytest.approx(expected, rel=1e-5)


def values(name: str, records: Sequence[StepSums], window: str = "4") -> list[float]:
    return [METRICS[name].of(record, window) for record in records]


def means(records: Sequence[StepSums], statistic: str) -> list[float]:
    return [summed(record, statistic) / record.n_tokens for record in records]


def test_rsr(golden: Golden, plain: list[StepSums]) -> None:
    theirs = golden.of("rsr")
    ranks, nlls = zip(*(METRICS["rsr"].parts_of(record, "4") for record in plain), strict=True)
    assert [record.n_tokens for record in plain] == [one["resp_token_length"] for one in theirs]
    assert ranks == near([one["avg_rank_clip"] for one in theirs])
    assert nlls == near([one["avg_surprisal"] for one in theirs])
    assert values("rsr", plain) == near([one["rank_surprisal_ratio"] for one in theirs])


def test_lark(golden: Golden, with_tail: list[StepSums]) -> None:
    theirs = golden.of("lark")
    losses = [-score for score in values("global_naturalness", with_tail)]
    assert losses == near([one["L"] for one in theirs])
    assert means(with_tail, "brier_top50") == near([one["Brier"] for one in theirs])


def test_scas(golden: Golden, with_tail: list[StepSums]) -> None:
    """The end-of-turn token is special and drops out; the line break behind it counts."""
    assert values("scas", with_tail) == near(golden.of("scas"))


def test_scas_of_the_response_alone_is_another_number(
    golden: Golden, plain: list[StepSums]
) -> None:
    """Ours leaves the template's line break out: a few percent, and the same order here."""
    ours, theirs = values("scas", plain), golden.of("scas")
    assert ours == pytest.approx(theirs, rel=0.05)
    assert ours != near(theirs)


def test_global_naturalness(golden: Golden, with_tail: list[StepSums]) -> None:
    assert values("global_naturalness", with_tail) == near(golden.of("limo_global"))


@pytest.mark.parametrize("window", ["1", "4"])
def test_local_naturalness_of_sentences(golden: Golden, plain: list[StepSums], window: str) -> None:
    theirs = golden.of(f"qd_localnat_k{window}")
    assert values("local_naturalness", plain, window) == near(theirs)


def test_local_naturalness_of_blocks(golden: Golden) -> None:
    """Their steps are scored without the blank line between them, which their context keeps."""
    blocks = [re.split(r"\n\s*\n", text) for text in golden.texts]
    assert {len(block) for block in blocks} == {2}
    firsts = golden.score([block[0] for block in blocks], [block[:1] for block in blocks])
    wholes = golden.score(
        ["\n\n".join(block) for block in blocks],
        [(f"{block[0]}\n\n", block[1]) for block in blocks],
    )
    scores = []
    for first, whole in zip(firsts, wholes, strict=True):
        sums = whole.sums["4"]
        assert sums is not None
        scores.append((first.totals["4"] / first.n_tokens + sums[1] / whole.tokens[1]) / 2)
    assert scores == near(golden.of("limo_local_m4"))


class Heads(NamedTuple):
    """Of one response, as the authors' driver of ASLEC counts: sums of log p, and counts.

    Its steps end at ". " and "? ", its head of a step are two tokens. The prompt's last token is
    the first of the first step, without a log p: a head with nothing to add, but counted.
    """

    total: float
    head: float
    tokens: int
    heads: int

    @property
    def rest(self) -> float:
        """Mean log p of the tokens that are no heads: ASLEC-DROP."""
        return (self.total - self.head) / (self.tokens - self.heads)


@pytest.fixture(scope="module")
def heads(golden: Golden) -> list[Heads]:
    cuts = [
        [0, *(end.end() for end in re.finditer(r"[.?] ", text)), len(text)] for text in golden.texts
    ]
    steps = [
        [text[begin:end] for begin, end in pairwise(cut)]
        for text, cut in zip(golden.texts, cuts, strict=True)
    ]
    found = []
    for record in golden.score(golden.texts, steps):
        one = record.step_statistics["first_token"]
        two = record.step_statistics["first_two_tokens"]
        assert min(record.tokens) > 2
        heads = 2 * record.n_steps - 1
        found.append(Heads(log_prob(record), one[0] + sum(two[1:]), record.n_tokens, heads))
    return found


def test_aslec_drop(golden: Golden, plain: list[StepSums], heads: list[Heads]) -> None:
    theirs = golden.of("aslec")
    assert values("global_naturalness", plain) == near([one["avg_log_prob"] for one in theirs])
    assert [one.rest for one in heads] == near([one["avg_logprob_drop"] for one in theirs])


def test_aslec_casl_fitted_per_teacher(golden: Golden, heads: list[Heads]) -> None:
    """The regression itself; four responses are fewer than the metric takes."""
    scores = without_slope(
        np.array([one.total / one.tokens for one in heads]),
        np.array([one.rest for one in heads]),
        np.array([one.head / one.heads for one in heads]),
        np.array([(one.heads + 1) / (one.tokens + 1) for one in heads]),
    )
    assert scores == near([one["avg_logprob_causal"] for one in golden.of("aslec")])


def test_every_number_is_compared(golden: Golden) -> None:
    assert set(golden.numbers) == {
        "rsr", "lark", "scas", "aslec", "limo_global", "limo_local_m4", "qd_localnat_k1",
        "qd_localnat_k4",
    }  # fmt: skip
