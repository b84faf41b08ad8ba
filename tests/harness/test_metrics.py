"""`metrics:` in a YAML: what the table shows, what stands in the files, what is refused."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lm_eval.utils import make_table

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples import read_scored_set
from tests.helpers_students import assert_near, student

from .lab import evaluate, figures, hf, load, records, rows, save, write_set

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
    asked = ["rsr", "lark", "aslec_casl", "entropy", "local_naturalness"]
    return run(tmp_path_factory.mktemp("named"), hf(model, tokenizer), asked, rows(prompts=6))


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
    assert {"capped_rank", "brier", "first_token", "entropy"} == set(
        stored.rows[0].record.step_statistics
    )
    assert path.stat().st_size < 200_000


def test_all_shows_the_two_scores_and_keeps_the_rest(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    results = run(tmp_path, hf(model, tokenizer), "all", rows(prompts=6))
    shown = {key.split("/")[0] for key in figures(results)}
    assert shown == {"local_naturalness", "global_naturalness", "win_rate", "coverage"}
    rest = results["configs"]["my_teachers"]["metadata"]["naturalness"]["figures"]
    assert set(rest) == set(METRICS) - {"local_naturalness", "global_naturalness"}
    assert_near(rest["ifd"]["R1"], statistics.fmean(teacher_values(results, "ifd", "R1")))
    assert rest["car"] == {"QwQ": None, "R1": None}
    json.dumps(rest, allow_nan=False)
    record = scored(results)[0].record
    assert record.undefined == {"reward": "the row has no `reward`"}


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
    with pytest.raises(StudentError, match=r"metric 'scas' is not supported by this back end: .*mlp\.up_proj"):
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
