"""A budget under lm-eval: a race on the engine, resumed, on two ranks, and what it leaves."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import load_teacher_set, read_scores, score
from lnat_plugins.budget.records import estimate_of
from lnat_plugins.errors import ConfigError, DataError, LnatError
from lnat_plugins.harness.prompt_scorer import PromptScorer
from lnat_plugins.ranking import RacedRanking
from lnat_plugins.scores import Scores
from tests.helpers_ranks import launch
from tests.helpers_students import assert_near

from .lab import evaluate, figures, hf, load, prompts_read, records, save, write_set

SENTENCES = ("First step.", "Second step.", "So 3 + 4 = 7.", "Wait.", "Now the next one.", "Done.")
BUDGET = {"windows": [2], "budget": {"steps": 2}}


def traces(prompts: int = 60, steps: int = 12) -> list[dict[str, Any]]:
    """Two teachers whose sentences the student finds about as probable, and one far behind."""
    draw = random.Random(3)
    found = []
    for i in range(prompts):
        texts = {
            "calm": " ".join(
                draw.choice(SENTENCES[: 3 if draw.random() < 0.4 else None]) for _ in range(steps)
            ),
            "mixed": " ".join(draw.choice(SENTENCES) for _ in range(steps)),
            "odd": "首先计算三加四。" * steps,
        }
        for teacher, text in texts.items():
            found.append(
                {"prompt_id": f"p{i}", "prompt": f"What is {i} + 4?", "teacher": teacher,
                 "response": text}
            )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race")
    write_set(folder, traces(), block=BUDGET)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path, model: Any, tokenizer: Any) -> dict[str, Any]:
    return evaluate(folder, hf(model, tokenizer))


@pytest.fixture(scope="module")
def scores(results: dict[str, Any], folder: Path) -> Scores:
    return read_scores(save({**results}, folder / "out"))


@pytest.fixture(scope="module")
def race(scores: Scores) -> RacedRanking:
    return scores.race()


def test_a_teacher_far_behind_is_read_no_further(scores: Scores, race: RacedRanking) -> None:
    (dropped,) = [one for one in race.raced.outcome.placed if one.place == "out"][:1]
    assert dropped.prompts < 60
    unread = [row for row in scores.rows if row.record.part.get("steps") == []]
    of = [row for row in unread if row.teacher == dropped.teacher]
    assert len(of) == 60 - dropped.prompts
    assert {row.record.undefined["2"] for row in of} == {
        f"not read: settled after {dropped.prompts} prompts"
    }
    assert race.verdict.startswith(race.raced.outcome.sentence)
    *_, rendering, metric = race.to_markdown().partition("\n\n")[0].splitlines()
    assert rendering == "rendering: plain text"
    assert metric == "metric: local_naturalness_sampled (nats per token, higher is better)"
    assert "pilot of 5 prompts" in race.verdict


def test_what_is_read_is_exact_and_the_estimate_is_near(
    scores: Scores, folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, traces(), block={"windows": [2, "global"], "sensitivity": "none"})
    full = read_scores(save(evaluate(tmp_path, hf(model, tokenizer)), tmp_path / "out"))
    exact = {(row.prompt_id, row.teacher): row.record for row in full.rows}
    errors = []
    for row in scores.rows:
        truth = exact[row.prompt_id, row.teacher]
        assert row.record.tokens == truth.tokens
        for window, sums in row.record.sums.items():
            found, known = np.array(sums), np.array(truth.sums[window])
            read = ~np.isnan(found)
            assert_near(found[read], known[read])
        estimate = estimate_of(row.record)
        if math.isfinite(estimate.mean):
            mean = np.mean(truth.step_means("2") or [])
            errors.append((estimate.mean - mean, estimate.variance))
    deviations, variances = np.array(errors).T
    assert_near(deviations[variances == 0], 0 * deviations[variances == 0])
    drawn = variances > 0
    assert drawn.sum() > 10
    assert abs(deviations[drawn].mean()) < 3 * math.sqrt(variances[drawn].sum()) / drawn.sum()


def test_the_table_shows_the_estimate_and_no_win_rate(results: dict[str, Any]) -> None:
    shown = {name.split("/")[0] for name in figures(results)}
    assert {"local_naturalness_sampled", "coverage"} <= shown
    assert not shown & {"local_naturalness", "global_naturalness", "win_rate"}
    assert figures(results)["coverage/odd"] < 1


def test_a_killed_race_goes_on_and_ends_alike(
    folder: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run() -> dict[str, Any]:
        lm = hf(model, tokenizer)
        try:
            return evaluate(folder, lm, use_cache=str(tmp_path / "cache"))
        finally:
            lm.cache_hook.dbdict.close()

    whole = records(evaluate(folder, hf(model, tokenizer)))
    score, seen = PromptScorer.score_parts, []

    def killed(self: PromptScorer, job: Any, ready: Any) -> Any:
        seen.append(job)
        if len(seen) == 27:  # behind the pilot
            raise KeyboardInterrupt
        return score(self, job, ready)

    monkeypatch.setattr(PromptScorer, "score_parts", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(PromptScorer, "score_parts", score)
    assert records(run()) == whole
    read = prompts_read(monkeypatch)
    assert records(run()) == whole and not read


def test_two_ranks_run_the_race_of_one(
    folder: Path, results: dict[str, Any], race: RacedRanking, repo: Path, tmp_path: Path
) -> None:
    write_set(tmp_path, traces(), block=BUDGET)
    launch("tests.harness.budget_rank", [str(tmp_path)], tmp_path, repo)
    for name in ("first", "again"):
        found = read_scores(tmp_path / name)
        assert found.race().verdict == race.verdict
        assert found.race().raced.outcome.placed == race.raced.outcome.placed
        assert len(found.rows) == 180


def test_nothing_takes_an_estimate_for_a_score(scores: Scores, tmp_path: Path) -> None:
    for use in (
        scores.rank,
        lambda: scores.compare(["local_naturalness"]),
        scores.leaderboard,
        lambda: scores.report(tmp_path / "report.html"),
        lambda: scores.select("best"),
        lambda: scores.select("random"),
    ):
        with pytest.raises(ConfigError, match="estimates from a run with a budget"):
            use()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"metrics": ["rsr"]}, "reads one window.*found 'metrics'"),
        ({"tokens": True}, "reads one window.*found 'tokens'"),
        ({"sensitivity": "basic"}, "reads one window.*found 'sensitivity'"),
        ({"windows": [2, "global"]}, "reads one window.*found 'several windows'"),
        ({"windows": ["global"]}, "a budget saves nothing under the whole context"),
        ({"budget": {"max_tokens": 10}}, "the first 20 prompts take about"),
        ({"budget": {"top": 3}}, "3 teachers have no best 3"),
    ],
)
def test_what_cannot_be_is_one_line(
    block: dict[str, Any], message: str, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, traces(), block=BUDGET | block)
    with pytest.raises((LnatError, SystemExit), match=message):
        evaluate(tmp_path, hf(model, tokenizer))


def test_a_budget_of_one_run_takes_the_place_of_the_files(
    scores: Scores, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, traces(), block={"windows": [2, "global"], "metrics": "all"})
    results = evaluate(tmp_path, hf(model, tokenizer), metadata={"budget": {"steps": 2}})
    found = read_scores(save(results, tmp_path / "out"))
    ours, theirs = ([row.record.to_json() for row in each.rows] for each in (found, scores))
    assert ours == theirs
    with pytest.raises((LnatError, SystemExit), match="--metadata: unknown key in `budget`"):
        evaluate(tmp_path, hf(model, tokenizer), metadata={"budget": {"stepz": 2}})


def test_a_program_runs_the_same_race(
    scores: Scores, race: RacedRanking, folder: Path, model: Any, tokenizer: Any
) -> None:
    teacher_set = load_teacher_set(folder / "my_teachers.yaml")
    found = score(model, tokenizer, teacher_set, apply_chat_template=False)
    assert found.race().verdict == race.verdict
    for ours, theirs in zip(found.rows, scores.rows, strict=True):
        assert ours.record.part == theirs.record.part
        estimates = estimate_of(ours.record), estimate_of(theirs.record)
        np.testing.assert_allclose(*estimates, atol=1e-4)
        assert ours.record.undefined == theirs.record.undefined


def test_a_budget_may_be_given_to_a_program(
    race: RacedRanking, folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, traces(), block={"windows": [2, "global"], "metrics": "all"})
    teacher_set = load_teacher_set(tmp_path / "my_teachers.yaml")
    found = score(model, tokenizer, teacher_set, budget={"steps": 2}, apply_chat_template=False)
    outcome = found.race().raced.outcome
    assert (outcome.placed, outcome.tokens) == (
        race.raced.outcome.placed,
        race.raced.outcome.tokens,
    )
    for wrong in ({"metrics": "all"}, {"tokens": True}, {"sensitivity": "full"}):
        with pytest.raises(ConfigError, match="Leave that out, or the budget"):
            score(model, tokenizer, teacher_set, budget={}, **wrong)
    with pytest.raises(ConfigError, match="score: unknown key in `budget`"):
        score(model, tokenizer, teacher_set, budget={"stepz": 2})


def test_scores_without_a_budget_have_no_race(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, traces(prompts=2), block={"windows": [2]})
    found = read_scores(save(evaluate(tmp_path, hf(model, tokenizer)), tmp_path / "out"))
    with pytest.raises(DataError, match="without a budget"):
        found.race()


def test_the_task_says_its_budget(folder: Path) -> None:
    settings = load(folder).run_settings()
    assert settings["budget"]["steps"] == 2 and settings["budget"]["error"] == 0.05
    assert settings["metrics"] == ["local_naturalness_sampled"]
