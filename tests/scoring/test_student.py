"""A student in this process scores as the definition says, and as the task of lm-eval does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.progress import TokenBar
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.scoring.rows import END, WARNED
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.scoring.ways import sampled
from lnat_plugins.selection import Choice, Strategy, parse_selection
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Candidates, Prompt, Response
from lnat_plugins.teacher_set.config import Settings
from tests.harness.lab import evaluate, hf, records, rows, write_set
from tests.helpers_students import assert_near, student, tokenizer, truth

PLAN = "lnat: plan: 3 prompts, 2 teachers, 6 responses, {:,} tokens to read "

NONE = {"best": Strategy("best", "the first", lambda candidates: Choice((0,)), "not the first")}
WINDOWS = ["1", "global"]


def local_student(model: Any, plain: bool, **block: Any) -> LocalStudent:
    spec = parse_selection({"windows": WINDOWS, **block}, metrics=METRICS, strategies=NONE)
    return LocalStudent(model, tokenizer(), spec, plain=plain)


@pytest.mark.parametrize("progress", [True, False])
def test_the_plan_is_what_is_read(
    progress: bool, progress_bars_on: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bars: list[TokenBar] = []

    class Kept(TokenBar):
        def __exit__(self, *error: Any) -> None:
            bars.append(self)
            super().__exit__(*error)

    monkeypatch.setattr("lnat_plugins.scoring.student.TokenBar", Kept)
    model, pool = student("llama"), pool_of_rows(plain=True)
    spec = parse_selection({"windows": WINDOWS}, metrics=METRICS, strategies=NONE)
    found = LocalStudent(model, tokenizer(), spec, plain=True, progress=progress)
    found.score(pool.rows)
    printed = capsys.readouterr()
    assert printed.out == ""
    (bar,) = bars
    read = bar._reader.tokens_read
    assert bar._total == read > 0
    lines = [line for line in printed.err.splitlines() if line.startswith("lnat: ")]
    assert [line.partition("(")[0] for line in lines] == [PLAN.format(read)] * progress
    assert ("Scoring:" in printed.err) == progress
    found.score(pool.rows)  # nothing is left to read
    assert len(bars) == 1 and capsys.readouterr().err == ""


def pool_of_rows(plain: bool) -> Candidates:
    prompts: dict[str, list[Any]] = {}
    for row in rows():
        prompts.setdefault(row["prompt_id"], []).append(row)
    built = [
        Prompt(
            name,
            ({"role": "user", "content": own[0]["prompt"]},),
            tuple(Response(row["teacher"], row["response"]) for row in own),
        )
        for name, own in prompts.items()
    ]
    return Candidates.of_prompts(built, plain=plain, delimiter="\n\n")


@pytest.mark.parametrize("plain", [True, False])
def test_the_scores_are_those_of_the_definition(plain: bool) -> None:
    model, built = student("llama"), tokenizer()
    pool = pool_of_rows(plain)
    found = local_student(model, plain).score(pool.rows)
    for row, record in zip(pool.rows, found, strict=True):
        question = row.messages[0]["content"]
        chat = f"<|im_start|>user\n{question}<|end|>\n<|im_start|>assistant\n"
        prompt = built.encode(question if plain else chat)
        expected = truth(model, built, prompt, row.text, WINDOWS)
        assert list(record.tokens) == expected.tokens
        for window in WINDOWS:
            assert_near(record.sums[window], expected.sums[window])


@pytest.mark.parametrize("plain", [True, False])
def test_the_scores_are_those_of_the_task(tmp_path: Path, plain: bool) -> None:
    model = student("llama")
    write_set(tmp_path, [{"sample": 0, **row} for row in rows()], block={"windows": WINDOWS})
    of_task = records(evaluate(tmp_path, hf(model, tokenizer()), apply_chat_template=not plain))
    pool = pool_of_rows(plain)
    for row, record in zip(pool.rows, local_student(model, plain).score(pool.rows), strict=True):
        theirs = of_task[row.prompt_id, row.teacher, 0]
        mine = json.loads(record.to_json())
        for part in ("spans", "tokens", "splitter", "path"):
            assert mine[part] == theirs[part]
        for window in WINDOWS:
            assert_near(mine["sums"][window], theirs["sums"][window], 1e-5)
        assert mine["settings"]["chat_template"] == theirs["settings"]["chat_template"]


class Plan(NamedTuple):
    """What decides the scores, by hand."""

    settings: Settings
    steps: Any
    windows: Any
    requested: RequestedMetrics = RequestedMetrics()
    tokens: bool = False
    sensitivity: Any = "basic"


def plan_of(**options: Any) -> Plan:
    settings = Settings(windows=("1",))
    return Plan(settings, parse_steps("sentence"), parse_windows(settings.windows), **options)


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("sensitivity", ["basic", "full"])
def test_what_is_kept_beside_the_scores(sensitivity: str, tokens: bool) -> None:
    prompts = [
        Prompt(f"p{i}", ({"role": "user", "content": f"{i}?"},), (Response("t", "Wait. Done."),))
        for i in range(22)
    ]
    pool = Candidates.of_prompts(prompts, plain=True, delimiter="\n\n")
    plan = plan_of(tokens=tokens, sensitivity=sensitivity)
    found = LocalStudent(student("llama"), tokenizer(), plan, plain=True).score(pool.rows)
    assert {record.token_values is not None for record in found} == {tokens}
    has = {i for i, record in enumerate(found) if record.variants}
    assert has == (sampled(22) if sensitivity == "full" else set())
    assert {record.settings_hash for record in found} == {found[0].settings_hash}


def test_a_row_is_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of_rows(plain=False)
    local = local_student(student("llama"), plain=False)
    first = local.score(pool.rows[:2])
    monkeypatch.setattr(local, "_scorer", lambda: pytest.fail("scored again"))
    assert local.score(pool.rows[1:2]) == first[1:2]


def test_a_trace_that_does_not_fit_the_context_has_no_global_score() -> None:
    pool = pool_of_rows(plain=False)
    model = student("llama", max_position_embeddings=60)
    found = local_student(model, plain=False).score(pool.rows)
    assert any("the student reads at most 60" in str(one.undefined.get("global")) for one in found)


def test_the_model_is_left_as_it_was_found() -> None:
    model = student("llama").train()
    model.lm_head.eval()
    local_student(model, plain=False).score(pool_of_rows(plain=False).rows)
    assert model.training
    assert not model.lm_head.training
    assert all(weight.requires_grad for weight in model.parameters())


class SecondOfTwo:
    """The second of two processes; the first has found three rows of that kind."""

    count, rank, main = 2, 1, False

    def together(self, work: Any) -> Any:
        return work()

    def gather(self, value: Any) -> list[Any]:
        return [{WARNED[END]: 3}, value]


def test_notes_of_all_processes_are_added_up() -> None:
    """Each renders its share of the rows."""
    text = {"role": "user", "content": "What?"}
    prompts = [Prompt(f"p{i}", (text,), (Response("t", "Done.<|end|>"),)) for i in range(5)]
    rows = Candidates.of_prompts(prompts, plain=True, delimiter="\n\n").rows
    spec = parse_selection({"windows": WINDOWS}, metrics=METRICS, strategies=NONE)
    reader = tokenizer()
    alone = LocalStudent(student("llama"), reader, spec, plain=True)
    assert alone.training_notes(rows) == {WARNED[END]: 5}
    processes: Any = SecondOfTwo()
    second = LocalStudent(student("llama"), reader, spec, plain=True, processes=processes)
    assert second.training_notes(rows) == {WARNED[END]: 3 + 3}  # its share: rows 2 to 4
