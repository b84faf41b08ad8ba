"""`lnat select` with something wrong: one line, code 2, nothing printed and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from lnat_plugins.cli import main

from .select_runs import write_run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_run(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "10%"], "task sums: window '10%' was not scored. Known: 4, global"),
        (["--strategy", "bst"], "unknown strategy (found 'bst'). Did you mean 'best'?"),
        (["--metric", "n_tokens"], "metric 'n_tokens' has no better or worse"),
        (["--metric", "global_naturalness", "--window", "4"], "reads the window 'global', what"),
        (["--strategy", "random", "--window", "4"], "`window` does nothing with strategy"),
        (
            ["--strategy", "random", "--metric", "local_naturalness"],
            "`metric` does nothing with strategy 'random'",
        ),
        (["--teachers", "QWQ"], "unknown teacher 'QWQ'"),
        (["--k", "2"], "`k` does nothing with strategy 'best'"),
        (["--strategy", "top_k"], "strategy 'top_k' needs `k`"),
        (["--strategy", "top_k", "--k", "many"], "`k` must be a whole number"),
        (["--option", "colour=red"], "colour"),
        (["--option", "seed=3"], "'seed' is no option of a strategy, or is given twice"),
        (["--k", "2", "--option", "k=3"], "'k' is no option of a strategy, or is given twice"),
        (["--max_length", "0"], "max_length"),
        (["--min_margin", "-1"], "min_margin: this must be a number, 0 or more"),
        (["--min_margin", "99"], "the selection would be empty"),
        (["--seed", "-1"], "seed: this must be a whole number, 0 or more"),
        (["--plugins", "no_such_module"], "no_such_module"),
        (["--strategy", "balanced", "--teacher_mix", "nowhere"], "cannot be opened"),
        (["--format", "messages"], "cannot be written as `messages`"),
        (["--push_to_hub", "a/b/c"], "no repository can have this name"),
    ],
)
def test_a_wrong_setting(
    out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["select", str(out), "--output_path", str(tmp_path / "c"), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith("lnat: error: ")
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no scores are named. Name lm_eval's output folder"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["OUT", "--push_to_hub", "me/x"], "--push_to_hub does nothing without --output_path"),
        (["OUT", "--llama_factory"], "--llama_factory does nothing without --output_path"),
        (["OUT", "--format", "messages"], "--format does nothing without --output_path"),
        (["OUT", "--format", "prompt_completion"], "--format does nothing without --output_path"),
        (["OUT", "--public_repo"], "--public_repo does nothing without --push_to_hub"),
        (["OUT", "--tokenizer", "x"], "--tokenizer does nothing without --max_length"),
    ],
)
def test_something_is_missing(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["select", *(str(out) if one == "OUT" else one for one in arguments)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--strategy", "best"],
        ["--metric", "local_naturalness"],
        ["--window", "4"],
        ["--teachers", "QwQ"],
        ["--require_correct"],
        ["--max_length", "9"],
        ["--min_margin", "0"],
        ["--keep_duplicates"],
        ["--seed", "1234"],
        ["--k", "1"],
        ["--option", "k=1"],
        ["--plugins", "mine"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_config_says_itself_what_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["select", "--config", str(tmp_path / "no.yaml"), *arguments]) == 2
    assert f"{arguments[0]} has no effect beside --config" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--k", "[1"], ["--option", "place"], ["--option", "=1"]])
def test_a_value_that_cannot_be_read(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["select", str(out), *arguments])
    assert caught.value.code == 2
    assert "not " in capsys.readouterr().err


@pytest.mark.parametrize("other", [{"task": "more"}, {"student": "org/other"}])
def test_several_tasks_or_students(
    out: Path, other: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(out / "sub", **other)
    assert main(["select", str(out)]) == 2
    assert "several tasks or students are scored here" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(out.rglob("*"))
    assert main(["select", str(out), "--output_path", str(out)]) == 2
    assert "files that are no part of a training set" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before
