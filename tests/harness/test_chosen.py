"""A budget for a choice under lm-eval: on the engine, resumed, on two ranks, and what it leaves."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import load_teacher_set, read_scores, score
from lnat_plugins.budget.choice import NAME
from lnat_plugins.cli import main
from lnat_plugins.errors import ConfigError, DataError, LnatError
from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.harness.prompt_scorer import PromptScorer
from lnat_plugins.scores import Scores
from lnat_plugins.selection.training_set import read_selection
from tests.helpers_ranks import launch
from tests.helpers_students import assert_near

from .lab import evaluate, figures, hf, load, prompts_read, records, save, write_set

WORDS = "first second so three four seven wait now the next one done is it was that".split()
FAR = "首先计算三加四结果是七然后等于"
TEACHERS = ("calm", "mixed", "third", "fourth", "fifth", "odd")
BUDGET = {"windows": [3], "budget": {"goal": "choice", "stride": 6, "error": 0.1}}
PROMPTS, PILOT = 30, 9


def traces() -> list[dict[str, Any]]:
    """Five teachers that the student finds about as probable, and one far behind."""
    draw = random.Random(3)
    found = []
    for i in range(PROMPTS):
        for teacher in TEACHERS:
            steps = [" ".join(draw.choices(WORDS, k=4)).capitalize() + "." for _ in range(10)]
            if teacher == "odd":
                steps = ["".join(draw.choices(FAR, k=9)) + "。" for _ in range(10)]
            row = {"prompt_id": f"p{i}", "prompt": f"What is {i} + 4?", "teacher": teacher}
            row |= {"response": " ".join(steps), "correct": teacher != "calm" or i % 3 > 0}
            found.append(row)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice")
    write_set(folder, traces(), block=BUDGET)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path, model: Any, tokenizer: Any) -> dict[str, Any]:
    return evaluate(folder, hf(model, tokenizer))


@pytest.fixture(scope="module")
def scores(results: dict[str, Any], folder: Path) -> Scores:
    return read_scores(save({**results}, folder / "out"))


@pytest.fixture(scope="module")
def exact(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    folder = tmp_path_factory.mktemp("exact")
    write_set(folder, traces(), block={"windows": [3, "3/6"], "sensitivity": "none"})
    return read_scores(save(evaluate(folder, hf(model, tokenizer)), folder / "out"))


def test_what_is_read_is_exact_and_the_rest_says_why(scores: Scores, exact: Scores) -> None:
    pilot = scores.choices.pilot
    assert pilot.prompts == PILOT and pilot.error == pytest.approx(0.1)
    unread = 0
    for row, truth in zip(scores.rows, exact.rows, strict=True):
        assert (row.prompt_id, row.teacher) == (truth.prompt_id, truth.teacher)
        assert_near(np.array(row.record.sums["3/6"]), np.array(truth.record.sums["3/6"]))
        if row.record.part["steps"]:
            assert_near(np.array(row.record.sums["3"]), np.array(truth.record.sums["3"]))
            assert not row.record.undefined
        else:
            unread += 1
            assert np.isnan(row.record.sums["3"]).all() and math.isnan(row.record.totals["3"])
            assert row.record.undefined["3"].startswith("not read: ")
    assert unread > PROMPTS / 2
    assert {
        row.teacher for row in scores.rows if "below the best" in row.record.undefined.get("3", "")
    }


@pytest.mark.parametrize("more", [{}, {"require_correct": True}, {"drop_duplicates": False}])
def test_the_choice_is_that_by_exact_scores(
    scores: Scores, exact: Scores, more: dict[str, Any]
) -> None:
    found, truth = scores.select("best", **more), exact.select("best", window="3", **more)
    differing = set(found.indices) ^ set(truth.indices)
    assert len(differing) / 2 <= 3 * PROMPTS * scores.choices.pilot.error / 2
    assert len(found.indices) == len(truth.indices) == PROMPTS
    assert found.metric == NAME and found.window == "3/6" and found.strategy == "best"
    for row, value in zip(exact.rows, found.scores, strict=True):
        assert value == pytest.approx(np.mean(row.record.step_means("3/6") or []), abs=1e-4) or (
            math.isnan(value) and more and row.correct is False
        )
    said = found.settings["choice"]
    assert said["pilot_prompts"] == PILOT and said["margin"] == scores.choices.pilot.margin
    assert said["found"] == scores.choices.sentence and 0 < said["tokens_of_exact"] < 1


def test_the_tokens_read_are_those_said(
    folder: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, scorers = hf(model, tokenizer), []
    original = PromptScorer.get_ready

    def ready(self: PromptScorer, jobs: Any) -> None:
        original(self, jobs)
        scorers.append(
            (self, self.backend.tokens_read)
        )  # the path is checked with tokens of its own

    monkeypatch.setattr(PromptScorer, "get_ready", ready)
    results = evaluate(folder, lm)
    ((scorer, before),) = scorers
    choices = read_scores(save(results, folder / "counted")).choices
    assert scorer.backend.tokens_read - before == choices.tokens
    assert choices.tokens < 0.9 * choices.exact_tokens


def test_the_table_shows_stride_scores_under_their_name_and_no_win_rate(
    results: dict[str, Any], folder: Path
) -> None:
    shown = {name.split("/")[0] for name in figures(results)}
    assert {NAME, "coverage"} <= shown
    assert not shown & {"local_naturalness", "local_naturalness_sampled", "win_rate"}
    assert figures(results)["coverage/odd"] == 1
    settings = load(folder).run_settings()
    assert settings["metrics"] == [NAME]
    assert settings["budget"] == {
        "goal": "choice", "error": 0.1, "max_tokens": None, "seed": 1234, "stride": 6
    }  # fmt: skip


def test_a_killed_run_goes_on_and_ends_alike(
    folder: Path, model: Any, tokenizer: Any, results: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    def run() -> dict[str, Any]:
        lm = hf(model, tokenizer)
        try:
            return evaluate(folder, lm, use_cache=str(tmp_path / "cache"))
        finally:
            lm.cache_hook.dbdict.close()

    whole = records(evaluate(folder, hf(model, tokenizer)))
    score_parts, seen = PromptScorer.score_parts, []

    def killed(self: PromptScorer, job: Any, ready: Any) -> Any:
        seen.append(job)
        if len(seen) == PROMPTS + 2:  # behind the strides
            raise KeyboardInterrupt
        return score_parts(self, job, ready)

    monkeypatch.setattr(PromptScorer, "score_parts", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(PromptScorer, "score_parts", score_parts)
    assert records(run()) == whole
    read = prompts_read(monkeypatch)
    assert records(run()) == whole and not read


def chosen(scores: Scores) -> set[tuple[str, str]]:
    rows = [scores.rows[i] for i in scores.select().indices]
    return {(row.prompt_id, row.teacher) for row in rows}


def test_two_ranks_choose_as_one(scores: Scores, repo: Path, tmp_path: Path) -> None:
    write_set(tmp_path, traces(), block=BUDGET)
    launch("tests.harness.budget_rank", [str(tmp_path)], tmp_path, repo)
    for name in ("first", "again"):
        found = read_scores(tmp_path / name)
        assert found.choices.sentence == scores.choices.sentence
        assert chosen(found) == chosen(scores)
        assert {str(row.record.part) for row in found.rows} == {
            str(row.record.part) for row in scores.rows
        }


def test_nothing_takes_them_for_exact_scores(scores: Scores, tmp_path: Path) -> None:
    for use in (
        scores.rank,
        scores.race,
        lambda: scores.compare(["local_naturalness"]),
        scores.leaderboard,
        lambda: scores.report(tmp_path / "report.html"),
        lambda: scores.only(["calm", "mixed"]),
        lambda: scores.select("best", window="3"),
    ):
        with pytest.raises(ConfigError, match="read to choose a response of each prompt, and say"):
            use()


@pytest.mark.parametrize(
    "block",
    [
        {"strategy": "random"}, {"strategy": "top_k", "k": 3}, {"min_margin": 0.1},
        {"max_length": 100}, {"metric": "local_naturalness"}, {"metric": "rsr"},
        {"order": "easy_to_hard"},
    ],
    ids=str,
)  # fmt: skip
def test_a_choice_that_needs_exact_scores_of_all_is_refused(
    scores: Scores, block: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="needs exact scores of all responses"):
        scores.select(**block)


def test_rows_at_random_need_no_exact_scores(scores: Scores) -> None:
    found, plain = scores.select("best", order="random"), scores.select("best")
    assert set(found.rows) == set(plain.indices)
    assert found.rows != plain.rows


def test_the_command_chooses_and_says_how_far_to_rely_on_it(
    scores: Scores, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    out, chosen = str(folder / "out"), tmp_path / "chosen"
    beside = ["--tokenizer", str(tmp_path / "tokenizer")]
    assert main(["select", out, "--strategy", "best", "--output_path", str(chosen)]) == 0
    printed = capsys.readouterr().out
    sentence = scores.choices.sentence
    assert f"metric: {NAME} (nats per token, higher is better), window: 3/6" in printed
    assert sentence in printed
    assert sentence in (chosen / "README.md").read_text(encoding="utf-8")
    stored = read_selection(chosen)
    assert stored.indices == scores.select().indices
    assert json.loads((chosen / "selection.json").read_text("utf-8"))["settings"]["choice"][
        "margin"
    ] == pytest.approx(scores.choices.pilot.margin)
    for wrong in (["rank", out], ["report", out], ["select", out, "--teachers", "calm"]):
        assert main(wrong) == 2
        assert "read to choose a response of each prompt" in capsys.readouterr().err
    assert main(["select", out, "--max_length", "9", *beside]) == 2


def test_a_program_chooses_alike(
    scores: Scores, folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    teacher_set = load_teacher_set(folder / "my_teachers.yaml")
    found = score(model, tokenizer, teacher_set, apply_chat_template=False)
    assert found.choices.sentence == scores.choices.sentence
    assert chosen(found) == chosen(scores)
    written = found.write(found.select(require_correct=True), tmp_path / "chosen")
    assert read_selection(written[0].parent.parent).metric == NAME
    again = score(
        model, tokenizer, teacher_set, apply_chat_template=False,
        budget={"goal": "choice", "stride": 2, "error": 0.2},
    )  # fmt: skip
    assert again.choices.pilot.prompts == 4 and again.select().window == "3/2"


def test_the_table_of_responses_names_stride_scores_as_such(scores: Scores) -> None:
    frame = scores.to_pandas()
    assert scores.windows == ("3",) and not [name for name in frame if "3/6" in name]
    unread = [bool(row.record.undefined) for row in scores.rows]
    assert frame["local_naturalness[3]"].isna().tolist() == unread
    assert frame[f"{NAME}[3]"].notna().all()


def test_scores_without_such_a_budget_have_no_choice(exact: Scores) -> None:
    with pytest.raises(ConfigError, match="not read for a choice"):
        _ = exact.choices


def test_scores_of_another_seed_are_not_taken(scores: Scores) -> None:
    from dataclasses import replace

    budget = {**scores.scored.settings["budget"], "seed": 7}
    other = replace(scores.scored, settings={**scores.scored.settings, "budget": budget})
    with pytest.raises(DataError, match="not those that this budget reads"):
        _ = replace(scores, scored=other).choices


def test_a_back_end_that_shares_no_runs_is_refused(
    folder: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnat_plugins.harness.requests.choose_backend", LoglikelihoodBackend)
    with pytest.raises((LnatError, SystemExit), match="reads every step by itself"):
        evaluate(folder, hf(model, tokenizer))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"windows": ["10%"]}, "is by a window of a number of steps"),
        ({"windows": [0]}, "is by a window of a number of steps"),
        ({"windows": ["4/8"]}, "is by a window of a number of steps"),
        ({"windows": ["global"]}, "a budget saves nothing under the whole context"),
        ({"metrics": ["local_naturalness"]}, "nothing for other metrics"),
        ({"budget": {"goal": "choice", "max_tokens": 10}}, "prompts of the pilot take about"),
        ({"budget": {"goal": "choice", "steps": 4}}, "`steps` is of a race over teachers only"),
        ({"budget": {"stride": 4}}, "`stride` is of `goal: choice` only"),
        ({"budget": {"goal": "choice", "top": 2}}, "exclude each other"),
        ({"budget": {"goal": "choice", "stride": 1}}, "a whole number, 2 or more"),
    ],
)
def test_what_cannot_be_is_one_line(
    block: dict[str, Any], message: str, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, traces(), block=BUDGET | block)
    with pytest.raises((LnatError, SystemExit), match=message):
        evaluate(tmp_path, hf(model, tokenizer))
