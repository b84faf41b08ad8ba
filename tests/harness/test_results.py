"""The figures of the table of lm-eval: the definition over prompts, and what `metrics:` changes."""

from __future__ import annotations

import logging
import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lm_eval.utils import make_table

from lnat_plugins.engine.types import ALL, CALIBRATION
from lnat_plugins.errors import ConfigError, DataError, StudentError, visible
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples import read_scored_set
from tests.helpers_students import Truth, assert_near, student

from .lab import TEXTS, evaluate, figures, hf, load, records, rows, save, truths, write_set

Truths = dict[tuple[str, str], Truth]


@pytest.fixture(scope="module")
def results(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, rows())
    return evaluate(folder, hf(model, tokenizer))


@pytest.fixture(scope="module")
def truth_of(model: Any, tokenizer: Any) -> Truths:
    return truths(model, tokenizer, rows())


def test_scores_are_means_over_prompts_with_their_errors(results: Any, truth_of: Truths) -> None:
    found = figures(results)
    for teacher in ("QwQ", "R1"):
        own = [one for (_, name), one in truth_of.items() if name == teacher]
        scores = {
            "local_naturalness": [one.local("4") for one in own],
            "global_naturalness": [one.global_() for one in own],
        }
        for metric, values in scores.items():
            assert_near(found[f"{metric}/{teacher}"], statistics.fmean(values))
            error = statistics.stdev(values) / math.sqrt(len(values))
            assert_near(found[f"{metric}/{teacher}_stderr"], error)


def test_the_win_goes_to_the_better_local_score(results: Any, truth_of: Truths) -> None:
    found = figures(results)
    wins = [
        truth_of[prompt, "QwQ"].local("4") > truth_of[prompt, "R1"].local("4")
        for prompt in ("p0", "p1", "p2")
    ]
    assert 0 < sum(wins) < 3  # else a constant would pass
    assert_near(found["win_rate/QwQ"], statistics.fmean(wins))
    assert_near(found["win_rate/R1"], 1 - statistics.fmean(wins))
    for sample, win in zip(results["samples"]["my_teachers"], wins, strict=True):
        assert (sample["win_rate/QwQ"], sample["win_rate/R1"]) == (float(win), float(not win))


def test_every_response_is_covered(results: Any) -> None:
    found = figures(results)
    assert (found["coverage/QwQ"], found["coverage/R1"]) == (1.0, 1.0)
    assert results["n-samples"]["my_teachers"] == {"original": 3, "effective": 3}


def test_the_records_hold_the_sums_of_the_definition(results: Any, truth_of: Truths) -> None:
    found = records(results)
    assert len(found) == 6
    for (prompt, teacher, _), record in found.items():
        expected = truth_of[prompt, teacher]
        assert record["tokens"] == expected.tokens
        assert record["path"] == "packed"
        assert set(record["versions"]) >= {"lnat_plugins", "torch", "transformers", "lm_eval"}
        for window in ("4", "global"):
            assert_near(record["sums"][window], expected.sums[window])


def test_the_table_has_an_arrow_for_each_score(results: Any) -> None:
    directions = results["higher_is_better"]["my_teachers"]
    assert directions["local_naturalness/QwQ"] is True
    assert directions["global_naturalness/R1"] is True
    assert directions["win_rate/R1"] is True
    assert directions["coverage/R1"] is None
    table = make_table(results)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    arrows = {line[4]: line[5] for line in lines}
    assert arrows == {
        f"{metric}/{teacher}": "" if metric == "coverage" else "↑"
        for metric in ("local_naturalness", "global_naturalness", "win_rate", "coverage")
        for teacher in ("QwQ", "R1")
    }
    assert [line[4] for line in lines] == sorted(arrows)


def test_the_configuration_says_what_was_scored(results: Any) -> None:
    config = results["configs"]["my_teachers"]
    assert (
        config["metadata"]["naturalness"].items()
        >= {
            "steps": "sentence",
            "windows": ["4", "global"],
            "teachers": ["QwQ", "R1"],
            "prompts": 3,
            "responses": 6,
            "dropped": {},
        }.items()
    )
    assert results["n-shot"]["my_teachers"] == 0


def test_the_first_window_is_the_local_score(
    model: Any, tokenizer: Any, tmp_path: Path, truth_of: Truths
) -> None:
    write_set(tmp_path, rows(), block={"windows": ["global", 4]})
    found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    own = [one.local("global") for (_, name), one in truth_of.items() if name == "QwQ"]
    assert_near(found["local_naturalness/QwQ"], statistics.fmean(own))


def test_a_set_without_the_global_window_has_no_global_figure(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), block={"windows": [4]})
    found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    assert {name.partition("/")[0] for name in found} == {
        "local_naturalness",
        "win_rate",
        "coverage",
    }


def test_a_comma_in_a_teachers_name(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    """lm-eval cuts figures' names at the comma; the record keeps the name as it is."""
    write_set(tmp_path, rows(("QwQ, 32B", "R1")))
    results = evaluate(tmp_path, hf(model, tokenizer))
    found = figures(results)
    assert math.isfinite(found["local_naturalness/QwQ; 32B"])
    assert math.isfinite(found["local_naturalness/QwQ; 32B_stderr"])
    assert {teacher for _, teacher, _ in records(results)} == {"QwQ, 32B", "R1"}
    assert "local_naturalness/QwQ; 32B" in make_table(results)
    assert results["higher_is_better"]["my_teachers"]["local_naturalness/QwQ; 32B"] is True


def test_a_name_that_a_terminal_would_obey_is_written_out_in_the_table(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """The record keeps the name as it is."""
    names = ("A\x1b[31mX\nY", "R\u202e1")
    write_set(tmp_path, rows(names))
    results = evaluate(tmp_path, hf(model, tokenizer))
    table = make_table(results)
    assert visible(table, keep="\n") == table
    for name in ("local_naturalness", "global_naturalness", "win_rate", "coverage"):
        for teacher in (r"A\x1b[31mX\nY", r"R\u202e1"):
            (line,) = [one for one in table.splitlines() if f"|{name}/{teacher}" in one]
            assert math.isfinite(float(line.split("|")[7])), line
    assert {teacher for _, teacher, _ in records(results)} == {*names}


def test_a_teacher_missing_for_a_prompt(
    model: Any, tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [
        row
        for row in rows(("QwQ", "R1", "s1"))
        if (row["prompt_id"], row["teacher"]) != ("p1", "s1")
    ]
    write_set(tmp_path, kept)
    with caplog.at_level(logging.WARNING):
        found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    expected = truths(model, tokenizer, kept)
    own = [one.local("4") for (_, name), one in expected.items() if name == "s1"]
    assert len(own) == 2
    assert_near(found["local_naturalness/s1"], statistics.fmean(own))
    assert_near(found["coverage/s1"], 2 / 3)
    assert found["coverage/QwQ"] == 1.0
    assert "not scored on the same number of documents" in caplog.text


def test_a_trace_that_does_not_fit_has_no_global_score(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), block={"windows": [0, "global"]})
    whole = evaluate(tmp_path, hf(model, tokenizer))
    results = evaluate(tmp_path, hf(model, tokenizer, max_length=60))
    cut = {key for key, record in records(results).items() if record["undefined"]}
    assert cut and all("global" in records(results)[key]["undefined"] for key in cut)
    assert figures(results)["coverage/QwQ"] == 1.0
    for name in ("local_naturalness/QwQ", "local_naturalness/R1", "win_rate/R1"):
        assert_near(figures(results)[name], figures(whole)[name])
    for sample in results["samples"]["my_teachers"]:
        for teacher in ("QwQ", "R1"):
            defined = (sample["doc"]["prompt_id"], teacher, 0) not in cut
            assert (sample[f"global_naturalness/{teacher}"] is not None) is defined


def test_a_figure_without_any_value_is_nan_and_never_zero(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    results = evaluate(tmp_path, hf(model, tokenizer, max_length=8))
    found = figures(results)
    for name in ("local_naturalness/QwQ", "global_naturalness/R1", "win_rate/R1"):
        assert math.isnan(found[name]) and found[f"{name}_stderr"] == "N/A"
    assert (found["coverage/QwQ"], found["coverage/R1"]) == (0.0, 0.0)
    assert "NaN" in make_table(results)


def test_a_teachers_samples_are_averaged_within_the_prompt(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    twice = [row | {"sample": 0} for row in rows()]
    twice += [
        {**row, "sample": 1, "response": TEXTS[2]} for row in rows() if row["teacher"] == "QwQ"
    ]
    write_set(tmp_path, twice)
    results = evaluate(tmp_path, hf(model, tokenizer))
    for sample in results["samples"]["my_teachers"]:
        rows_of = [row for row in twice if row["prompt_id"] == sample["doc"]["prompt_id"]]
        own = [
            truths(model, tokenizer, [row])[row["prompt_id"], "QwQ"].local("4")
            for row in rows_of
            if row["teacher"] == "QwQ"
        ]
        assert len(own) == 2
        assert_near(sample["local_naturalness/QwQ"], statistics.fmean(own))


def test_a_tied_win_is_shared(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    same = [{**row, "response": TEXTS[0]} for row in rows()]
    write_set(tmp_path, same)
    found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    assert (found["win_rate/QwQ"], found["win_rate/R1"]) == (0.5, 0.5)


WINDOWS = [1, "global"]


class Row(NamedTuple):
    prompt_id: str
    teacher: str
    record: StepSums


def run(folder: Path, lm: Any, metrics: Any, data: Any = None, **block: Any) -> dict[str, Any]:
    write_set(folder, data or rows(), block={"windows": WINDOWS, "metrics": metrics, **block})
    return evaluate(folder, lm)


def scored(results: dict[str, Any]) -> list[Row]:
    found = records(results)
    return [
        Row(prompt, teacher, StepSums.from_json(one)) for (prompt, teacher, _), one in found.items()
    ]


def teacher_values(results: dict[str, Any], name: str, teacher: str) -> list[float]:
    found = scored(results)
    values = METRICS[name].rate(found, "1").values
    return [value for row, value in zip(found, values, strict=True) if row.teacher == teacher]


@pytest.fixture(scope="module")
def named(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    requested = ["rsr", "lark", "aslec_casl", "entropy", "local_naturalness"]
    return run(tmp_path_factory.mktemp("named"), hf(model, tokenizer), requested, rows(prompts=6))


def test_the_table_shows_what_was_asked_for_with_its_arrows(named: Any) -> None:
    table = make_table(named)
    for name, arrow in [("rsr", "↓"), ("lark", "↑"), ("entropy", " "), ("win_rate", "↑")]:
        (line,) = [one for one in table.splitlines() if f"|{name}/QwQ" in one]
        assert line.split("|")[6].strip() == arrow.strip()
    assert "global_naturalness" not in table


@pytest.mark.parametrize("name", ["lark", "entropy", "local_naturalness", "aslec_casl"])
def test_a_figure_is_the_mean_over_prompts(named: Any, name: str) -> None:
    values = teacher_values(named, name, "R1")
    assert_near(figures(named)[f"{name}/R1"], statistics.fmean(values))


def test_rsr_is_a_ratio_of_means(named: Any) -> None:
    own = [row.record for row in scored(named) if row.teacher == "R1"]
    ranks = [sum(one.step_statistics["capped_rank"]) / one.n_tokens for one in own]
    nlls = [-one.totals["global"] / one.n_tokens for one in own]
    expected = statistics.fmean(ranks) / statistics.fmean(nlls)
    assert_near(figures(named)["rsr/R1"], expected)
    assert not math.isclose(expected, statistics.fmean(teacher_values(named, "rsr", "R1")))


def test_the_first_metric_with_a_direction_wins_prompts(named: Any) -> None:
    found = scored(named)
    won = []
    for prompt in {row.prompt_id for row in found}:
        own = {row.teacher: METRICS["rsr"].of(row.record, "") for row in found if row[0] == prompt}
        won.append(own["QwQ"] < own["R1"])
    assert_near(figures(named)["win_rate/QwQ"], statistics.fmean(won))


def test_the_samples_file_holds_everything(named: Any, tmp_path: Path) -> None:
    path = save(dict(named), tmp_path)
    stored = read_scored_set([path])
    assert stored.settings["metrics"] == [
        "rsr", "lark", "aslec_casl", "entropy", "local_naturalness",
    ]  # fmt: skip
    assert set(stored.rows[0].record.step_statistics) == {
        "capped_rank", "brier", "first_token", "first_two_tokens", "entropy",
    }  # fmt: skip
    assert path.stat().st_size < 200_000


def test_all_shows_the_two_scores(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    """`lnat rank --metric all` gives the others: all that they need is in the records."""
    results = run(tmp_path, hf(model, tokenizer), "all", rows(prompts=6))
    shown = {key.split("/")[0] for key in figures(results)}
    assert shown == {"local_naturalness", "global_naturalness", "win_rate", "coverage"}
    record = scored(results)[0].record
    assert record.undefined == {"reward": "the row has no `reward`"}
    assert set(ALL) - {"reward", *CALIBRATION} == {*record.step_statistics, *record.statistics}
    assert math.isfinite(statistics.fmean(teacher_values(results, "ifd", "R1")))


def test_a_window_that_a_metric_reads_must_be_scored(tmp_path: Path) -> None:
    write_set(tmp_path, rows(), block={"windows": [1], "metrics": ["rsr"]})
    with pytest.raises(ConfigError, match="metric 'rsr' reads the window 'global'"):
        load(tmp_path)
    write_set(tmp_path, rows(), block={"windows": [1], "metrics": "all"})
    assert "global_naturalness/QwQ" not in load(tmp_path).higher_is_better()


def test_an_unknown_metric_offers_the_nearest(tmp_path: Path) -> None:
    write_set(tmp_path, rows(), block={"metrics": ["rsrr"]})
    with pytest.raises(
        ConfigError, match=r"yaml: naturalness: metrics: unknown metric 'rsrr'.*rsr"
    ):
        load(tmp_path)


def test_rewards_come_from_the_rows(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    data = [row | {"reward": float(i)} for i, row in enumerate(rows())]
    results = run(tmp_path / "all", hf(model, tokenizer), ["car"], data)
    assert [row.record.statistics["reward"] for row in scored(results)] == [0, 1, 2, 3, 4, 5]
    del data[3]["reward"]
    write_set(tmp_path / "one", data, block={"metrics": ["car"]})
    with pytest.raises(DataError, match=r"row 4: metric 'car' needs a reward"):
        load(tmp_path / "one")
    write_set(
        tmp_path / "text", [{**row, "reward": "good"} for row in data], block={"metrics": "car"}
    )
    with pytest.raises(DataError, match=r"row 1: column 'reward' is not a number \(found 'good'\)"):
        load(tmp_path / "text")


def test_a_student_that_cannot_serve_a_metric_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows(), block={"windows": WINDOWS, "metrics": ["scas"]})
    lm = hf(student("gpt2"), tokenizer)
    with pytest.raises(
        StudentError, match=r"metric 'scas' is not supported by this back end: .*mlp\.up_proj"
    ):
        evaluate(tmp_path, lm)


def test_a_metric_of_all_prompts_alone_has_its_coverage(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    data = rows(prompts=6)[:-1]
    results = run(tmp_path, hf(model, tokenizer), ["aslec_casl"], data, min_teachers=1)
    found = figures(results)
    assert (found["coverage/QwQ"], found["coverage/R1"]) == (1.0, pytest.approx(5 / 6))
    assert math.isfinite(found["aslec_casl/R1"])
    assert "win_rate/R1" not in found


def test_without_a_direction_nothing_is_won(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    results = run(tmp_path, hf(model, tokenizer), ["entropy"])
    assert {key.split("/")[0] for key in figures(results)} == {"entropy", "coverage"}
