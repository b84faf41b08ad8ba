"""What a program calls: the same definitions as the commands, plugins included.

`score()` in a program: ranked, chosen from, and as a table.
"""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lnat_plugins
from lnat_plugins import hookimpl, load_teacher_set, score
from lnat_plugins.engine.types import TOKEN
from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.metrics import METRICS, Metric
from lnat_plugins.plugins import load_with_plugins
from lnat_plugins.scores import Scores
from lnat_plugins.teacher_set.config import parse_task
from tests.harness.lab import evaluate, figures, hf, rows, write_set
from tests.helpers_students import assert_near, student, tokenizer

PLUGIN = """\
from lnat_plugins import Loader, Splitter, hookimpl

def read(path, shown):
    return [{"prompt": "p", "teacher": t, "response": "r"} for t in path.read_text().split()]

@hookimpl
def lnat_register(registry):
    registry.add_loader(Loader("names", (".names",), read))
    registry.add_splitter(Splitter("whole", "1", lambda text: [(0, len(text))]))
"""
KEYS = {"task": "t", "dataset_path": "rows.names"}
BLOCK = {"plugins": ["mine.py"], "steps": "whole"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "rows.names").write_text("QwQ R1")
    (tmp_path / "t.yaml").write_text(
        "task: t\ndataset_path: rows.names\nnaturalness: {plugins: [mine.py], steps: whole}\n"
    )
    return tmp_path


def test_a_yaml_brings_its_plugins(folder: Path) -> None:
    found = load_teacher_set(folder / "t.yaml")
    assert found.teachers == ("QwQ", "R1")
    assert found.settings.steps == "whole"
    assert load_teacher_set(str(folder / "t.yaml")) == found


def test_a_dictionary_starts_from_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    config = {**KEYS, "naturalness": BLOCK}
    found = load_teacher_set(config)
    assert found.n_responses == 2
    assert load_with_plugins(parse_task(config)) == found


def test_a_plugin_that_is_not_there_names_the_yaml(folder: Path) -> None:
    (folder / "mine.py").unlink()
    with pytest.raises(ConfigError, match=r"t\.yaml: naturalness: plugins: the file cannot be"):
        load_teacher_set(folder / "t.yaml")


@pytest.fixture(scope="module")
def scored_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("set")
    write_set(found, rows(), block={"windows": [1, "global"]})
    return found


@pytest.fixture(scope="module")
def scores(scored_folder: Path) -> Scores:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    return score(student("llama"), tokenizer(), teacher_set)


def test_the_ranking_is_that_of_the_task(scores: Scores, scored_folder: Path) -> None:
    expected = figures(
        evaluate(scored_folder, hf(student("llama"), tokenizer()), apply_chat_template=True)
    )
    ranking = scores.rank(bootstrap_iters=50)
    assert [line.teacher for line in ranking.teachers] == sorted(
        ("QwQ", "R1"), key=lambda name: -expected[f"local_naturalness/{name}"]
    )
    for line in ranking.teachers:
        assert_near(line.mean, expected[f"local_naturalness/{line.teacher}"], 1e-5)
    assert scores.rank("global_naturalness", bootstrap_iters=50).metric == "global_naturalness"


def test_without_a_template_prompts_are_plain(scored_folder: Path) -> None:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    model = student("llama")
    expected = figures(evaluate(scored_folder, hf(model, tokenizer())))
    found = score(model, tokenizer(), teacher_set, apply_chat_template=False)
    for line in found.rank(bootstrap_iters=50).teachers:
        assert_near(line.mean, expected[f"local_naturalness/{line.teacher}"], 1e-5)


def test_the_choice(scores: Scores) -> None:
    chosen = scores.select("best")
    table = scores.to_pandas()
    best = table.groupby("prompt_id")["local_naturalness[1]"].idxmax()
    assert list(chosen.indices) == sorted(best)
    worst = scores.select("best", metric="global_naturalness", window="global")
    assert list(worst.indices) == sorted(table.groupby("prompt_id")["global_naturalness"].idxmax())


def test_the_table(scores: Scores) -> None:
    table = scores.to_pandas()
    assert len(table) == len(scores.candidates.rows) == 6
    assert {"prompt_id", "teacher", "sample", "correct", "n_tokens"} <= set(table.columns)
    assert list(table["n_tokens"]) == [
        record.n_tokens for record in (row.record for row in scores.rows)
    ]
    assert table["local_naturalness[1]"].notna().all()


@pytest.mark.parametrize("markers", ["skip", "keep"])
def test_the_table_of_tokens(scored_folder: Path, markers: Any) -> None:
    """A row a token, with what a forward over the whole response gives for it."""
    model, built = student("llama"), tokenizer()
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    found = score(model, built, teacher_set, markers=markers, metrics="all", windows=[1, "global"])
    table = found.tokens()
    assert list(table.columns) == [
        "prompt_id", "teacher", "sample", "step", "token", "token_id", "text", "scored",
        "logprob[1]", "logprob[global]", *[name for name in table if name in TOKEN],
    ]  # fmt: skip
    needed = {name for metric in METRICS.values() for name in metric.needs}
    assert {*table} & {*TOKEN} == needed & {*TOKEN} and not table.isna().any().any()
    assert table["scored"].dtype == bool and table["scored"].all() == (markers == "keep")
    for row in found.rows:
        own = table[(table["prompt_id"] == row.prompt_id) & (table["teacher"] == row.teacher)]
        question = row.candidate.messages[0]["content"]
        prompt = built.encode(f"<|im_start|>user\n{question}<|end|>\n<|im_start|>assistant\n")
        ids = built.encode(row.text)
        assert list(own["token_id"]) == ids and list(own["token"]) == [*range(len(ids))]
        assert "".join(own["text"]) == row.text and set(own["sample"]) == {0}
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(-1)
        assert_near(own["logprob[global]"], logprobs[range(len(ids)), ids])
        assert_near(own["entropy"], -(logprobs.exp() * logprobs).sum(-1), 1e-3)
        counted = own[own["scored"]].groupby("step")
        for window in ("1", "global"):
            assert_near(counted[f"logprob[{window}]"].sum(), row.record.sums[window])
        assert list(counted.size()) == list(row.record.tokens)


def test_responses_without_tokens_have_no_rows(scores: Scores, scored_folder: Path) -> None:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    bare = score(student("llama"), tokenizer(), teacher_set, tokens=False)
    assert len(bare.tokens()) == 0
    assert [row.record.token_values for row in bare.rows] == [None] * 6
    rows = (bare.rows[0], *scores.rows[1:])
    table = replace(scores, scored=replace(scores.scored, rows=rows)).tokens()
    assert len(table) == len(scores.tokens()) - bare.rows[0].record.n_tokens
    first = table.iloc[0]
    assert (first["prompt_id"], first["teacher"]) == (rows[1].prompt_id, rows[1].teacher)


def test_broken_tokens_name_their_row(scores: Scores) -> None:
    row = scores.rows[2]
    assert row.record.token_values is not None
    broken = replace(row.record.token_values, ends="x")
    changed = replace(row, record=replace(row.record, token_values=broken))
    rows = (*scores.rows[:2], changed, *scores.rows[3:])
    with pytest.raises(DataError) as caught:
        replace(scores, scored=replace(scores.scored, rows=rows)).tokens()
    assert str(caught.value).startswith(f"{row.where}: the record's tokens cannot be unpacked")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"markers": "drop"}, "score: markers: no such choice (found 'drop'). Known: keep, skip."),
        ({"markers": "Keep"}, "score: markers: no such choice (found 'Keep'). Did you mean 'keep'"),
        ({"sensitivity": "ful"}, "score: sensitivity: no such choice (found 'ful'). Did you mean"),
    ],
)
def test_a_choice_that_there_is_not(scored_folder: Path, options: Any, line: str) -> None:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    with pytest.raises(ConfigError) as caught:
        score(None, tokenizer(), teacher_set, **options)
    assert str(caught.value).startswith(line)


def test_what_a_teacher_set_says_of_tags_is_the_default(tmp_path: Path) -> None:
    found = []
    for own, asked in [("skip", None), ("keep", None), ("keep", "skip"), ("skip", "keep")]:
        write_set(tmp_path / f"{own}{asked}", rows(), block={"markers": own, "windows": [1]})
        teacher_set = load_teacher_set(tmp_path / f"{own}{asked}" / "my_teachers.yaml")
        scores = score(student("llama"), tokenizer(), teacher_set, markers=asked)
        found.append((scores.scored.settings["markers"], [row.record.sums for row in scores.rows]))
    assert [markers for markers, _ in found] == ["skip", "keep", "skip", "keep"]
    assert found[0] == found[2] and found[1] == found[3] and found[0][1] != found[1][1]


def test_a_selection_says_how_the_responses_were_scored(tmp_path: Path) -> None:
    """Not what a `selection:` block says by default, where `Scores.select` settles neither."""
    write_set(tmp_path, rows(), block={"windows": [1]})
    teacher_set = load_teacher_set(tmp_path / "my_teachers.yaml")
    said = []
    for steps, markers in (("line", "keep"), ("tokens:8", "skip")):
        scores = score(student("llama"), tokenizer(), teacher_set, steps=steps, markers=markers)  # type: ignore[arg-type]
        settings = scores.select(window=1).settings
        said.append((settings["steps"], settings["markers"]))
    assert said == [("line", "keep"), ("tokens:8", "skip")]


def test_the_ranking_prints_itself(scores: Scores) -> None:
    assert "|QwQ " in scores.rank(bootstrap_iters=50).to_markdown()


def test_the_metric_s_own_window_decides(scores: Scores) -> None:
    found = scores.select(metric="global_naturalness")
    # "0" comes out of the same runs as "1".
    assert (found.window, found.settings["windows"]) == ("global", ["1", "global", "0"])
    assert scores.select("random", window=None).metric is None


def test_lengths_are_counted_with_the_tokenizer_that_was_given(
    scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", None)
    reader = tokenizer()
    lengths = [
        len(reader.apply_chat_template(
            [*row.messages, {"role": "assistant", "content": row.text}], tokenize=True
        )["input_ids"])
        for row in scores.candidates.rows
    ]  # fmt: skip
    limit = sorted(lengths)[3]
    left_out = scores.select(max_length=limit, drop_duplicates=False).reasons.items()
    assert {i for i, why in left_out if why.startswith("longer than max_length")} == {
        i for i, length in enumerate(lengths) if length > limit
    }
    assert "tokenizer" not in repr(scores)
    assert scores == replace(scores, tokenizer=None)


class Median:
    """A metric of one's own."""

    @hookimpl
    def lnat_register(self, registry: Any) -> None:
        registry.add_metric(
            Metric("first_step", True, "response", "nats", "made up", "mean",
                   lambda record, window: record.sums[window][0], "window")
        )  # fmt: skip


def test_a_metric_of_a_plugin(scored_folder: Path) -> None:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    found = score(student("llama"), tokenizer(), teacher_set, plugins=[Median()], windows=[0])
    assert found.rank("first_step", bootstrap_iters=50).metric == "first_step"
    assert list(found.to_pandas()["first_step[0]"]) == [
        one.sums["0"][0] for one in [row.record for row in found.rows]
    ]
    assert found.select("best", metric="first_step").metric == "first_step"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda scores: scores.rank("local_naturalnes"), "Did you mean 'local_naturalness'?"),
        (lambda scores: scores.rank(["rsr"]), "metric: this must be the name of one metric"),
        (lambda scores: scores.rank(window=7), "window '7' was not scored"),
        (lambda scores: scores.report("unused.html", window=7), "window '7' was not scored"),
        (lambda scores: scores.select("bets"), "Did you mean 'best'?"),
        (lambda scores: scores.select(window=7), "window '7' was not scored"),
        (lambda scores: scores.select(steps="line"), "`steps` is settled"),
        (lambda scores: scores.select(markers="keep"), "`markers` is settled"),
        (lambda scores: scores.select(metric="n_tokens"), "has no better or worse"),
        (lambda scores: scores.select("random", metric="n_tokens"), "`metric` does nothing"),
        (lambda scores: scores.select(k=3), "`k` does nothing with strategy 'best'"),
    ],
)
def test_what_is_refused(scores: Scores, call: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call(scores)
    assert message in str(caught.value)


def test_a_template_that_is_not_there(scored_folder: Path) -> None:
    bare = tokenizer()
    bare.chat_template = None
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    with pytest.raises(StudentError, match="no chat template to apply"):
        score(student("llama"), bare, teacher_set, apply_chat_template=True)


def test_what_is_not_loaded_yet_is_one_clear_error(scored_folder: Path) -> None:
    path = str(scored_folder / "my_teachers.yaml")
    teacher_set = load_teacher_set(path)
    unloaded: Any = path
    with pytest.raises(
        ConfigError, match=r"^score: teacher_set: this is not a teacher set \(found"
    ):
        score(student("llama"), tokenizer(), unloaded)
    with pytest.raises(StudentError, match=r"^model: this is not a transformers model \(found"):
        score("llama", tokenizer(), teacher_set)
    with pytest.raises(StudentError, match=r"^tokenizer: this is not a tokenizer \(found 'llama'"):
        score(student("llama"), "llama", teacher_set)


def test_the_public_names_are_there() -> None:
    for name in lnat_plugins.__all__:
        assert getattr(lnat_plugins, name) is not None


def test_every_metric_from_one_pass(scored_folder: Path, tmp_path: Path) -> None:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    everything = score(student("llama"), tokenizer(), teacher_set, metrics="all")
    table = everything.to_pandas()
    for name in ("rsr", "lark", "scas", "ifd", "entropy", "aslec_drop", "random"):
        assert table[name].notna().all(), name
    assert table["car"].isna().all()
    ranking = everything.rank("rsr", bootstrap_iters=50)
    assert not ranking.higher_is_better
    chosen = everything.select("best", metric="rsr", window=None)
    best = table.groupby("prompt_id")["rsr"].idxmin()
    assert list(chosen.indices) == sorted(best)
    together = everything.compare(reference="QwQ>R1", bootstrap_iters=50)
    assert {"rsr", "lark", "local_naturalness"} <= {one.metric for one in together.metrics}
    text = together.to_markdown()
    assert "|rsr " in text and "Against QwQ>R1" in text
    ranked = everything.rank(reference="QwQ>R1", bootstrap_iters=50)
    assert ranked.reference is not None
    assert len(repr(everything)) < 200 > len(repr(teacher_set))
    assert repr(together).startswith("<Comparison of local_naturalness, ")
    assert (
        repr(ranking)
        == f"<Ranking by rsr, window global: {', '.join(t.teacher for t in ranking.teachers)}>"
    )
    board = everything.leaderboard(bootstrap_iters=50)
    assert repr(board) == f"<Leaderboard of task {everything.scored.task}: {board.ranking!r}>"
    assert repr(chosen) == f"<Selection of {len(chosen.indices)} of {len(table)} rows by best>"
    everything.report(tmp_path / "r.html", reference="QwQ>R1", prompts=1, bootstrap_iters=50)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Against QwQ&gt;R1" in page and page.count('id="trace-') == 1
    assert type(everything.plot(bootstrap_iters=50)).__name__ == "LayerChart"
    shown = ranked._repr_html_()
    assert ranked.verdict.text in html.unescape(shown) and shown.count("<tr>") == 3


def test_what_was_not_gathered_is_not_in_the_table(scores: Scores) -> None:
    assert {"rsr", "lark", "scas", "ifd"}.isdisjoint(scores.to_pandas().columns)


def test_a_metric_by_name_needs_its_window(scored_folder: Path) -> None:
    teacher_set = load_teacher_set(scored_folder / "my_teachers.yaml")
    with pytest.raises(ConfigError, match="metric 'rsr' reads the window 'global'"):
        score(student("llama"), tokenizer(), teacher_set, windows=[1], metrics=["rsr"])
    local = score(student("llama"), tokenizer(), teacher_set, windows=[1])
    assert local.rows[0].record.settings["metrics"] == ["local_naturalness"]


def test_rows_left_out_of_a_teacher_set_are_a_warning(tmp_path: Path) -> None:
    own = [*rows(), {"prompt": "x", "prompt_id": "x", "teacher": "R1", "response": ""}]
    path = write_set(tmp_path, own)
    teacher_set = load_teacher_set(path)
    with pytest.raises(DataError, match=r"my_teachers\.jsonl row 7, column 'response'"):
        load_teacher_set(path, strict=True)
    found = score(student("llama"), tokenizer(), teacher_set)
    line = "Rows that could not be used were left out: R1 1 of 4 (mostly: column 'response': the "
    for ranking in (found.rank(bootstrap_iters=50), found.leaderboard(bootstrap_iters=50).ranking):
        assert any(one.startswith(line) for one in ranking.warnings)
    assert not any("left out" in one for one in found.only(["QwQ"]).rank().warnings)
