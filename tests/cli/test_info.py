"""`lnat tasks`: the listing and the check.

`lnat plugins`, and `--plugins` where a command can use some.

`lnat student`: the path alone, or an error.

`lnat eval` checks the student's path and leaves everything else to lm_eval.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest

from lnat_plugins import files
from lnat_plugins.cli import main
from lnat_plugins.harness import command
from tests.helpers_samples import teacher_table, write_lines, write_run
from tests.helpers_students import tokenizer
from tests.plugins.lab import write, write_package

YAML = """\
task: mine
class: !function lnat_plugins.harness.NaturalnessTask
dataset_path: json
dataset_kwargs:
  data_files: rows.jsonl
test_split: train
metadata:
  version: 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(YAML, encoding="utf-8")
    rows = [
        {"prompt_id": f"p{i}", "prompt": "What?", "teacher": teacher, "response": "So. Yes."}
        for i in range(2)
        for teacher in ("A", "B")
    ]
    write_lines(tmp_path / "rows.jsonl", rows)
    return tmp_path


def test_a_folder_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--include_path", str(folder)]) == 0
    out = capsys.readouterr().out
    file = folder / "mine.yaml"
    assert f"\nmine\n    data: rows.jsonl\n    file: {file}\n" in out
    assert out.startswith("local_naturalness")


def test_a_broken_yaml_does_not_vanish(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text(YAML + "naturalness:\n  stepz: line\n", encoding="utf-8")
    assert main(["tasks", "--include_path", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "cannot be used: " in out
    assert "stepz" in out


def test_a_usable_yaml_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder / "mine.yaml")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder / 'mine.yaml'}: ok\ntask: mine, prompts: 2, data: ")
    assert "teacher A: 2 responses\n" in out


def test_a_check_names_the_columns_of_the_prompt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "Because. " * 40
    row = {"instruction": "Add.", "input": "1 and 2", "system": "Reason.", "reasoning": long}
    rows = [{**row, "output": name, "model": name} for name in "AB"]
    text = "".join(json.dumps(one) + "\n" for one in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    block = "naturalness:\n  columns: {prompt: input, response: output, teacher: model}\n"
    (folder / "alpaca.yaml").write_text(YAML + block, encoding="utf-8")
    assert main(["check", str(folder / "alpaca.yaml")]) == 0
    out = capsys.readouterr().out
    assert "\nprompt: instruction + input, system: system\n" in out
    assert "\nnote: the column 'reasoning' holds long text in 2 rows and is not read" in out


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("metrics: [rsrr]", "unknown metric 'rsrr'"),
        ("metrics: [rsr, car]", "rows.jsonl row 1: metric 'car' needs a reward"),
        ("windows: [4]\n  metrics: [ifd]", "metric 'ifd' reads the window 'global'"),
    ],
)
def test_metrics_are_checked_too(
    folder: Path, capsys: pytest.CaptureFixture[str], block: str, message: str
) -> None:
    path = folder / "bad.yaml"
    path.write_text(f"{YAML}naturalness:\n  {block}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_an_unusable_yaml_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rows.jsonl").unlink()
    assert main(["check", str(folder / "mine.yaml")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lnat: error: ")
    assert captured.out == ""


SPLITTER = """\
from lnat_plugins import Splitter, hookimpl

@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("whole", "1", lambda text: [(0, len(text))]))
"""


def test_a_check_loads_the_plugins_of_the_yaml(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/")
    (folder / "mine.py").write_text(SPLITTER, encoding="utf-8")
    block = "naturalness: {steps: whole%s}\n"
    (folder / "mine.yaml").write_text(YAML + block % ", plugins: [mine.py]", encoding="utf-8")
    assert main(["check", str(folder / "mine.yaml")]) == 0
    (folder / "mine.yaml").write_text(YAML + block % "", encoding="utf-8")
    assert main(["check", str(folder / "mine.yaml")]) == 2
    assert "naturalness: steps: unknown steps setting" in capsys.readouterr().err


def test_a_listing_knows_the_splitters_of_installed_packages(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.yaml").write_text(YAML + "naturalness: {steps: whole}\n", encoding="utf-8")
    arguments = ["tasks", "--include_path", str(folder)]
    main(arguments)
    assert "cannot be used: " in capsys.readouterr().out
    site = folder / "site"
    site.mkdir()
    write_package(site, "lnat-whole", SPLITTER)
    monkeypatch.syspath_prepend(site)
    main(arguments)
    assert "cannot be used: " not in capsys.readouterr().out


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--include_path", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err


METRIC = """\
from dataclasses import replace
from lnat_plugins.metrics import get_metric

@hookimpl
def lnat_register(registry):
    registry.add_metric(replace(get_metric("n_tokens"), name="wordy", higher_is_better=True))
"""
SPLITTER_PLUGINS_COMMAND = """\
from lnat_plugins import Splitter

@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("clauses", "1", lambda text: [(0, len(text))]))
"""


def test_the_built_in_plugins_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(
        "lnat_plugins.hooks.builtin\n"
        "    from: built in\n"
        "    implements: lnat_register, lnat_select\n"
        "    splitters: sentence, line, paragraph, turn\n"
    )
    assert captured.out.endswith("    loaders: jsonl, json, csv, tsv, parquet\n")


def test_named_ones_are_listed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.py", METRIC)
    write(tmp_path / "b.py", SPLITTER_PLUGINS_COMMAND)
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "--plugins", "a.py, b.py"]) == 0
    out = capsys.readouterr().out
    assert "\na.py\n" in out
    assert f"    from: file {tmp_path / 'b.py'}\n" in out
    assert out.endswith("    splitters: clauses\n")


def test_a_named_one_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--plugins", "gone.py"]) == 2
    assert capsys.readouterr().err.startswith("lnat: error: --plugins: the file cannot be read")


def test_an_installed_one_that_fails_is_one_line_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package(tmp_path, "lnat-cli-faulty", "import lnat_gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["plugins"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("lnat: warning: a plugin is not loaded: mine (entry point of lnat-cli-")
    assert (
        "mine\n    from: entry point of lnat-cli-faulty 1.0\n    not loaded: mine (" in captured.out
    )


def test_the_warning_comes_before_an_error_that_it_explains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package(tmp_path, "lnat-cli-broken", "import lnat_gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    write_run(tmp_path, teacher_table({"A": [-1.0], "B": [-2.0]}))
    assert main(["rank", str(tmp_path), "--metric", "wordy"]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("lnat: warning: a plugin is not loaded")
    assert error.startswith("lnat: error: --metric: unknown metric 'wordy'")


def test_rank_takes_a_metric_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = write(tmp_path / "a.py", METRIC)
    write_run(tmp_path / "out", teacher_table({"A": [-1.0, -2.0], "B": [-2.0, -1.0]}))
    arguments = ["rank", str(tmp_path / "out"), "--bootstrap_iters", "10", "--metric", "wordy"]
    assert main([*arguments, "--plugins", str(plugin)]) == 0
    assert "metric: wordy (tokens, higher is better)" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "unknown metric 'wordy'" in capsys.readouterr().err


def test_rank_and_plugins_load_no_torch(tmp_path: Path) -> None:
    write_run(tmp_path / "out", teacher_table({"A": [-1.0, -2.0], "B": [-2.0, -1.0]}))
    code = (
        "import sys\n"
        "from lnat_plugins.cli import main\n"
        f"assert main(['rank', {str(tmp_path / 'out')!r}]) == 0\n"
        "assert main(['plugins']) == 0\n"
        "print([m for m in ('torch', 'lm_eval', 'datasets', 'transformers') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("[]\n"), done.stderr


def test_the_path_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "files", lambda package: tmp_path)
    (tmp_path / "student").mkdir()
    assert main(["student"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'student'}\n"


def test_a_missing_student_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "files", lambda package: tmp_path)
    assert main(["student"]) == 2
    assert "the bundled student is missing" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness's set-up outlives a test and hides its log from the others."""
    monkeypatch.setattr(command, "setup_logging", lambda: None)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been run: the harness's parsed arguments and its argv."""
    seen: list[Any] = []
    monkeypatch.setattr(
        command.HarnessCLI, "execute", lambda self, args: seen.append((args, list(sys.argv)))
    )
    return seen


def arguments(student: str) -> list[str]:
    return ["eval", "--model", "hf", "--model_args", f"pretrained={student}", "--tasks", "x"]


@pytest.mark.parametrize("student", ["/no/such/folder", "./none", "~/none", "a/b/c"])
def test_a_path_that_does_not_exist_is_one_line(
    student: str, executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(student)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("lnat: error: --model_args pretrained: the student's folder does not")
    assert executed == []


def test_a_folder_without_a_model_is_one_line(
    tmp_path: Path, executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(str(tmp_path))) == 2
    assert "has no config.json" in capsys.readouterr().err
    assert executed == []


@pytest.mark.parametrize("student", ["gpt2", "Qwen/Qwen2.5-7B-Instruct"])
def test_a_hub_name_is_left_to_the_harness(student: str, executed: list[Any]) -> None:
    before = list(sys.argv)
    assert main([*arguments(student), "--limit", "3"]) == 0
    ((parsed, argv),) = executed
    assert parsed.model_args["pretrained"] == student
    assert parsed.limit == 3
    assert argv[0] == "lm_eval"  # so that errors of the task end in one line too
    assert sys.argv == before


@pytest.mark.parametrize(("task", "few"), [("local_naturalness", True), ("gsm8k", False)])
def test_the_harness_s_own_tasks_are_read_where_one_is_named(
    task: str, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lm_eval.tasks.TaskManager
    seen: list[bool] = []
    monkeypatch.setattr(
        command.HarnessCLI, "execute",
        lambda *given: seen.append(lm_eval.tasks.TaskManager is not before),
    )  # fmt: skip
    assert main([*arguments("gpt2")[:-1], task]) == 0
    assert seen == [few] and lm_eval.tasks.TaskManager is before


def test_a_folder_with_a_model_is_let_through(tmp_path: Path, executed: list[Any]) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert main(arguments(str(tmp_path))) == 0
    assert len(executed) == 1


def test_a_template_that_is_not_there_is_one_line(
    tmp_path: Path, executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    reader = tokenizer()
    reader.chat_template = None
    reader.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert main([*arguments(str(tmp_path)), "--apply_chat_template"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"lnat: error: {tmp_path}: the student's tokenizer has no chat template"
    )
    assert executed == []


def test_a_task_file_that_is_not_there_is_one_line(
    executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("none.yaml", "mine.yml"):
        assert main([*arguments("gpt2")[:-1], name]) == 2
        error = f"--tasks: no such file, or not one that ends in .yaml (found '{name}')"
        assert error in capsys.readouterr().err
    assert executed == []


def test_results_that_cannot_be_written_are_one_line(
    tmp_path: Path, executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([*arguments("gpt2"), "--output_path", str(tmp_path / "file" / "out")]) == 2
    assert "--output_path: results cannot be written there" in capsys.readouterr().err
    assert executed == []
    assert main([*arguments("gpt2"), "--output_path", str(tmp_path / "new" / "out")]) == 0
    assert len(executed) == 1


def test_the_harness_refuses_its_own_arguments_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--no_such_flag"]) == 2
    assert "no_such_flag" in capsys.readouterr().err


# rows that cannot be used

BAD_ROWS = [
    {"prompt_id": "p2", "prompt": "What?", "teacher": "A", "response": ""},
    {"prompt_id": "p2", "prompt": "What?", "teacher": "A", "response": " "},
    {"prompt_id": "p3", "prompt": "What?", "teacher": "A", "response": ""},
    {"prompt_id": "p4", "prompt": "What?", "teacher": None, "response": "x"},
    {"prompt_id": "p5", "prompt": "What?", "teacher": "B", "response": "x"},
]


def test_a_check_lists_the_rows_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "rows.jsonl").read_text(encoding="utf-8")
    write_lines(folder / "rows.jsonl", BAD_ROWS)
    with (folder / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write(text)
    assert main(["check", str(folder / "mine.yaml")]) == 0
    place = "first: rows.jsonl row {}, column '{}'"
    facts, ends = capsys.readouterr().out.split("\n\n")
    assert [" ".join(line.split()) for line in ends.splitlines()[2:]] == [
        "|A |nothing (100 %)|nothing (100 %)|", "|B |nothing (100 %)|nothing (100 %)|",
    ]  # fmt: skip
    assert facts.splitlines()[2:] == [
        "prompt: prompt",
        "teacher A: 2 responses",
        "teacher B: 2 responses",
        "unusable rows: 2 of 5 of teacher A: column 'response': the text is empty "
        f"({place.format(1, 'response')})",
        "unusable rows: 1 of 5 of teacher A: column 'response': the text is nothing but white "
        f"space ({place.format(2, 'response')})",
        "unusable rows: 1 of an unknown teacher: column 'teacher': the value is null "
        f"({place.format(4, 'teacher')})",
        "dropped 1 response: the prompt has fewer than 2 teachers",
    ]
    assert main(["check", "--strict", str(folder / "mine.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lnat: error: rows.jsonl row 1, column 'response': the text is empty")


def test_a_check_with_a_student(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", str(folder / "mine.yaml")]
    assert main(arguments) == 0
    data = capsys.readouterr().out
    assert main([*arguments, "--student", "bundled", "--no_trial", "--apply_chat_template"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(data)
    assert "2 prompts, 4 responses, " in out and "add --apply_chat_template" not in out
    assert main([*arguments, "--student", "bundled", "--no_trial"]) == 0
    captured = capsys.readouterr()
    assert "\nthe student has a chat template: add --apply_chat_template if" in captured.out
    assert " --apply_chat_template --log_samples " in captured.err
    assert main([*arguments, "--student", "/no/such"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    error = "lnat: error: --student: the student's folder does not exist (found '/no/such')"
    assert captured.err.startswith(error)


def test_a_strict_check_passes_where_every_row_can_be_used(folder: Path) -> None:
    assert main(["check", str(folder / "mine.yaml"), "--strict"]) == 0


def test_a_check_says_which_prompts_are_nearly_equal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": prompt, "teacher": teacher, "response": "So. Yes."}
        for teacher, prompts in (("A", ["p", "Why?\n"]), ("B", ["p", "Why?\r\n"]))
        for prompt in prompts
    ]
    write_lines(folder / "rows.jsonl", rows)
    assert main(["check", str(folder / "mine.yaml")]) == 0
    out = capsys.readouterr().out
    assert (
        "1 prompt left out equals another up to Unicode form, line ends or blanks: 'Why?\\n' "
        "(rows.jsonl row 2) and 'Why?\\r\\n' (rows.jsonl row 4)."
    ) in out
