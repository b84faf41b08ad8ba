"""`lnat select` from samples files to the printed tables and the training set.

`lnat select` with something wrong: one line, code 2, nothing printed and nothing written.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lnat_plugins.cli import main
from lnat_plugins.cli.select import strategy_options
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.selection.training_set import read_selection
from tests import helpers_students
from tests.helpers_samples import DATE, write_lines

from .select_runs import write_run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_run(tmp_path / "out")
    return tmp_path / "out"


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "data" / "train.parquet").to_pylist()
    return found


def cells(printed: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in printed.splitlines()
        if line.startswith("|") and not line.startswith("|--")
    ]


def test_without_a_folder_the_counts_are_printed(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(out.rglob("*"))
    assert main(["select", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[:5] == [
        "task: sums, student: org/student, prompts: 3 of 3, responses: 3 of 9, ties: 0",
        "strategy: best, metric: local_naturalness (nats per token, higher is better), window: 4",
        "steps: sentence (sentence@1), markers: keep, engine: packed, settings: 0123456789ab",
        "rendering: plain text",
        "",
    ]
    assert cells(captured.out) == [
        ["Teacher", "Candidates", "Chosen", "Share", "Mean of chosen", "Mean of eligible"],
        ["QwQ", "3", "1", "0.333", "-2.0000", "-2.1667"],
        ["R1", "3", "2", "0.667", "-1.2500", "-1.8333"],
        ["DSQ", "3", "0", "0.000", "N/A", "-3.2500"],
        ["all", "9", "3", "1.000", "-1.5000", "-2.4167"],
        ["Left out", "QwQ", "R1", "DSQ", "all"],
        ["another response to the prompt scored better", "2", "1", "3", "6"],
        ["all", "2", "1", "3", "6"],
    ]
    assert f"lnat: read {out}/samples_sums_{DATE}.jsonl\n" in captured.err
    assert "lnat: nothing is written: give --output_path" in captured.err
    assert sorted(out.rglob("*")) == before


def test_the_training_set(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "chosen"
    for _ in range(2):
        assert main(["select", str(out), "--output_path", str(target)]) == 0
    err = capsys.readouterr().err
    for name in ("data/train.parquet", "selection.json", "sft.yaml", "README.md"):
        assert f"lnat: wrote {target / name}\n" in err
    assert err.count(f"lnat: replaced the training set in {target} (3 rows of sums)\n") == 1
    found = rows(target)
    assert [row["lnat_teacher"] for row in found] == ["R1", "R1", "QwQ"]
    assert found[0]["prompt"] == "What is 0?\n\n"
    assert found[0]["completion"] == "R1 says step "
    assert [row["year"] for row in found] == [0, 1, 2]
    assert [row["lnat_score"] for row in found] == [-1.0, -1.5, -2.0]
    values = json.loads((target / "selection.json").read_text(encoding="utf-8"))
    assert values["task"] == "sums"
    assert values["files"] == [str(out / f"samples_sums_{DATE}.jsonl")]
    assert values["versions"] == {"lnat_plugins": "0.1.0", "torch": "2.13"}
    assert values["settings"]["windows"] == ["4", "global"]
    assert read_selection(target).indices == (1, 4, 6)
    assert "org/student" in (target / "sft.yaml").read_text(encoding="utf-8")


def test_rows_drawn_by_weight_in_order(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "chosen"
    drawn = ["--strategy", "weighted", "--budget", "2", "--resample", "--seed", "1"]
    order = ["--order", "hard_to_easy"]
    assert main(["select", str(out), *drawn, *order, "--output_path", str(target)]) == 0
    line = "Drawn by weight: 6 rows, 4 of them distinct; the most repeated one stands 2 times."
    assert line in capsys.readouterr().out.splitlines()
    assert line in (target / "README.md").read_text(encoding="utf-8").splitlines()
    found = rows(target)
    scores = [row["lnat_score"] for row in found]
    assert len(found) == 6
    assert scores == sorted(scores)
    assert {row["lnat_weight"] for row in found} == {1.0}
    assert [row["lnat_index"] for row in found] == list(read_selection(target).rows)
    assert "train_sampling_strategy: sequential" in (target / "sft.yaml").read_text("utf-8")
    assert main(["select", str(out), "--resample"]) == 2
    assert "`resample` does nothing with strategy 'best'" in capsys.readouterr().err


def test_degenerate_rows_among_the_chosen_are_counted(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In what is printed, in the card, and in `selection.json`; never those left out."""
    target = tmp_path / "chosen"
    assert main(["select", str(out), "--output_path", str(target)]) == 0
    line = (
        "Degenerate among the chosen: R1 (answer only 1, loop 1), QwQ (loop 1). Look at them "
        "before training."
    )
    assert f"\n\n{line}\n\n" in capsys.readouterr().out
    assert f"\n\n{line}\n\n" in (target / "README.md").read_text(encoding="utf-8")
    stored = json.loads((target / "selection.json").read_text(encoding="utf-8"))
    assert stored["degenerate"] == {"R1": {"answer only": 1, "loop": 1}, "QwQ": {"loop": 1}}
    assert read_selection(target).degenerate == stored["degenerate"]


def test_a_selection_from_before_they_were_counted_is_read(out: Path, tmp_path: Path) -> None:
    target = tmp_path / "chosen"
    assert main(["select", str(out), "--output_path", str(target)]) == 0
    stored = json.loads((target / "selection.json").read_text(encoding="utf-8"))
    del stored["degenerate"]
    (target / "selection.json").write_text(json.dumps(stored), encoding="utf-8")
    assert read_selection(target).degenerate == {}
    assert read_selection(target).indices == (1, 4, 6)


def test_conversations_as_messages_for_llama_factory(tmp_path: Path) -> None:
    write_run(tmp_path / "out", chat_template="0123456789ab", system_instruction="Think.")
    target = tmp_path / "chosen"
    arguments = ["select", str(tmp_path / "out"), "--output_path", str(target)]
    assert main([*arguments, "--format", "llama_factory"]) == 0
    assert rows(target)[0]["messages"] == [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "What is 0?"},
        {"role": "assistant", "content": "R1 says step "},
    ]
    assert (target / "dataset_info.json").is_file()


def test_filters_and_options_reach_the_selection(out: Path, tmp_path: Path) -> None:
    target = tmp_path / "chosen"
    arguments = ["select", str(out), "--output_path", str(target), "--teachers", "QwQ, DSQ"]
    assert main([*arguments, "--require_correct", "--strategy", "top_k", "--k", "2"]) == 0
    assert [row["lnat_teacher"] for row in rows(target)] == ["QwQ", "QwQ"]
    assert read_selection(target).dropped["`correct` is false"] == {"DSQ": 3}
    assert main([*arguments, "--min_margin", "1.1"]) == 0
    assert [row["lnat_prompt_id"] for row in rows(target)] == ["p2"]
    assert main([*arguments, "--strategy", "random", "--seed", "7"]) == 0
    assert read_selection(target).metric is None
    assert read_selection(target).settings["seed"] == 7
    assert main([*arguments, "--window", "global"]) == 0
    assert read_selection(target).window == "global"
    assert main([*arguments, "--metric", "global_naturalness"]) == 0
    assert read_selection(target).window == "global"


def test_a_mix_may_be_that_of_an_earlier_selection(out: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    arguments = ["select", str(out), "--strategy", "balanced", "--output_path"]
    assert main([*arguments, str(first), "--teacher_mix", "{DSQ: 2, R1: 1}"]) == 0
    assert read_selection(first).chosen_by_teacher == {"QwQ": 0, "R1": 1, "DSQ": 2}
    for target, mix in ((second, first), (third, first / "selection.json")):
        assert main([*arguments, str(target), "--teacher_mix", str(mix)]) == 0
        assert read_selection(target).chosen_by_teacher == {"QwQ": 0, "R1": 1, "DSQ": 2}
    assert read_selection(third).settings["teacher_mix"] == {"R1": 1, "DSQ": 2}


def test_a_mix_may_be_that_of_a_trainer_s_run(out: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    arguments = ["select", str(out), "--strategy", "balanced", "--output_path"]
    assert main([*arguments, str(first), "--teacher_mix", "{DSQ: 2, R1: 1}"]) == 0
    run = tmp_path / "run"
    run.mkdir()
    kept = json.dumps(read_selection(first).as_dict())
    (run / "lnat_selection.json").write_text(kept, encoding="utf-8")
    assert main([*arguments, str(second), "--teacher_mix", str(run)]) == 0
    assert read_selection(second).settings["teacher_mix"] == {"R1": 1, "DSQ": 2}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from lnat_plugins.cli import main\n"
        "try:\n    main(['select', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'lm_eval', 'datasets', 'transformers') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_every_option_of_the_shipped_strategies_has_a_flag() -> None:
    known = {name for strategy in STRATEGIES.values() for name in strategy.options}
    assert set(strategy_options()) == known


def test_equal_responses_are_kept_if_requested(tmp_path: Path) -> None:
    path = write_run(tmp_path / "out", {"R1": [-1.0], "R2": [-2.0]})
    line = json.loads(path.read_text(encoding="utf-8"))
    line["doc"]["responses"][1]["response"] = line["doc"]["responses"][0]["response"]
    write_lines(path, [line])
    arguments = ["select", str(path), "--output_path", str(tmp_path / "c"), "--strategy", "top_k"]
    assert main([*arguments, "--k", "2", "--keep_duplicates"]) == 0
    assert len(rows(tmp_path / "c")) == 2
    assert main([*arguments, "--k", "1"]) == 0
    assert read_selection(tmp_path / "c").dropped == {"duplicate": {"R2": 1}}


PLUGIN = """
from lnat_plugins import Strategy, hookimpl
from lnat_plugins.selection import Choice, Option

@hookimpl
def lnat_register(registry):
    registry.add_strategy(Strategy(
        "of_prompt", "one prompt's rows", default_reason="another prompt",
        choose=lambda candidates: Choice(candidates.by_prompt[candidates.options["place"]]),
        options={"place": Option(int, 0, "which prompt")},
    ))
"""


def test_a_strategy_of_a_plugin_with_its_option(out: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    arguments = ["select", str(out), "--output_path", str(tmp_path / "c")]
    arguments += ["--plugins", str(tmp_path / "mine.py"), "--strategy", "of_prompt"]
    assert main([*arguments, "--option", "place=1"]) == 0
    assert {row["lnat_prompt_id"] for row in rows(tmp_path / "c")} == {"p1"}
    assert read_selection(tmp_path / "c").settings["place"] == 1


def test_too_long_rows_are_counted_with_the_student_s_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = tmp_path / "student"
    helpers_students.tokenizer().save_pretrained(student)
    write_run(tmp_path / "out", student=str(student))
    arguments = ["select", str(tmp_path / "out"), "--max_length", "60"]
    assert main([*arguments, "--output_path", str(tmp_path / "c")]) == 0
    assert [row["lnat_prompt_id"] for row in rows(tmp_path / "c")] == ["p0"]
    assert "max_length: 60" in (tmp_path / "c" / "sft.yaml").read_text(encoding="utf-8")
    assert ["longer than max_length", "2", "2", "2", "6"] in cells(capsys.readouterr().out)


def test_another_tokenizer_may_count(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["select", str(out), "--max_length", "60", "--output_path", str(tmp_path / "c")]
    assert main(arguments) == 2
    assert "org/student: the tokenizer cannot be loaded" in (err := capsys.readouterr().err)
    assert "Give --tokenizer a folder" in err
    assert not (tmp_path / "c").exists()
    helpers_students.tokenizer().save_pretrained(tmp_path / "mine")
    assert main([*arguments, "--tokenizer", str(tmp_path / "mine")]) == 0


@pytest.mark.parametrize("public", [False, True])
def test_the_upload(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, public: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    uploads: list[tuple[Any, str, bool]] = []

    def push(folder: Path, repo_id: str, *, private: bool) -> str:
        uploads.append((folder, repo_id, private))
        return "https://hub/me/chosen"

    monkeypatch.setattr("lnat_plugins.selection.training_set.push_to_hub", push)
    arguments = ["select", str(out), "--output_path", str(tmp_path / "c"), "--push_to_hub"]
    assert main([*arguments, "me/chosen", *(["--public_repo"] if public else [])]) == 0
    assert uploads == [(tmp_path / "c", "me/chosen", not public)]
    assert "lnat: uploaded https://hub/me/chosen\n" in capsys.readouterr().err


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
        (["--format", "trl_messages"], "cannot be written as `messages`"),
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
        (["OUT", "--format", "ms_swift"], "--format does nothing without --output_path"),
        (["OUT", "--format", "trl"], "--format does nothing without --output_path"),
        (["OUT", "--public_repo"], "--public_repo does nothing without --push_to_hub"),
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


BOMB = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--k", "[1"], "'[1' line 1 column 3: not valid YAML: expected ',' or ']', but got"),
        (["--k", "2025-02-30"], "'2025-02-30': not valid YAML: day is out of range for month."),
        (["--k", "[" * 10_000], "not valid YAML: maximum recursion depth exceeded"),
        (["--option", "place"], "not NAME=VALUE: 'place'"),
        (["--option", "=1"], "not NAME=VALUE: '=1'"),
        (
            ["--quota", "{A: 5, A: 1, B: 5}"],
            "argument --quota: '{A: 5, A: 1, B: 5}' line 1: duplicate key 'A' (found 'first in "
            "line 1'). Keep one of them.",
        ),
        (["--option", "place={A: {B: 1, B: 1}}"], "line 1: duplicate key 'B'"),
        (["--option", f"place=a0: &a0 [x]\n{BOMB}"], "make this YAML too large"),
    ],
)
def test_a_value_that_cannot_be_read(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["select", str(out), *arguments])
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"lnat select: error: argument {arguments[0]}: ")
    assert problem in last and len(last) < 500


@pytest.mark.parametrize(
    ("other", "kind"), [({"task": "more"}, "tasks"), ({"student": "org/other"}, "students")]
)
def test_several_tasks_or_students(
    out: Path, other: dict[str, str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(out / "sub", **other)
    assert main(["select", str(out)]) == 2
    assert f"several {kind} are scored here" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(out.rglob("*"))
    assert main(["select", str(out), "--output_path", str(out)]) == 2
    assert "files that are no part of a training set" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before
