"""Teacher sets are read before the harness loads the model, and once."""

from __future__ import annotations

import copy
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lm_eval import evaluator

from lnat_plugins.cli import main
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.harness import definitions
from lnat_plugins.harness.definitions import check_command, definition_of, names_ours_alone
from lnat_plugins.teacher_set.catalog import shipped_folder
from tests.helpers_programs import LM_EVAL, LNAT, run_program
from tests.helpers_students import student

from .lab import CLASS, TASK, evaluate, hf, prompts_read, rows, write_set

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "_waiting", {})
    check_command.cache_clear()


@pytest.fixture(scope="module")
def student_folder(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bad(folder: Path) -> Path:
    return write_set(folder, rows(), block={"stepz": "line"})


def syntax(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "broken.yaml"
    path.write_text(f"task: {TASK}\n{CLASS}dataset_path: [x\n")
    return path


def of_class(name: str, folder: Path) -> Path:
    path = write_set(folder, rows())
    text = path.read_text(encoding="utf-8").replace(CLASS, f"class: !function {name}\n")
    path.write_text(text, encoding="utf-8")
    (folder / "mine.py").write_text("class MyNaturalnessTask: ...\n", encoding="utf-8")
    return path


WRONG_CLASSES = [
    partial(of_class, name)
    for name in ("lnat_plugins.harnes.NaturalnessTask", "my.NaturalnessTask",
                 "mine.MyNaturalnessTask")
]  # fmt: skip


@pytest.mark.parametrize("program", [[LM_EVAL], [LNAT, "eval"]], ids=["lm_eval", "lnat eval"])
def test_the_line_of_a_check_and_no_model(
    tmp_path: Path,
    student_folder: Path,
    program: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = bad(tmp_path / "sets")
    assert main(["check", str(path)]) == 2
    expected = capsys.readouterr().err
    arguments = ["--model", "hf", "--model_args", f"pretrained={student_folder}", "--device", "cpu"]
    code, *first = program
    done = run_program(code, [*first, *arguments, "--tasks", str(path)], cwd=tmp_path)
    assert done.returncode == 2, done.stderr[-2000:]
    assert expected.startswith("lnat: error: ") and expected.count("\n") == 1
    assert [line for line in done.stderr.splitlines() if "error" in line] == [expected.rstrip()]
    assert "Initializing hf model" not in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("kind", [bad, syntax, *WRONG_CLASSES])
def test_of_a_set_that_is_named_too(
    tmp_path: Path,
    student_folder: Path,
    kind: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = kind(tmp_path / "sets")
    assert main(["check", str(path)]) == 2
    expected = capsys.readouterr().err
    monkeypatch.setattr(evaluator, "simple_evaluate", lambda **_: pytest.fail("a model is loaded"))
    arguments = ["--model", "hf", "--model_args", f"pretrained={student_folder}", "--tasks", TASK]
    assert main(["eval", *arguments, "--include_path", str(path.parent)]) == 2
    said = capsys.readouterr()
    assert expected.startswith("lnat: error: ") and expected.count("\n") == 1
    assert [line for line in said.err.splitlines() if "error" in line] == [expected.rstrip()]
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tasks", "{file}"],
        ["--tasks=gsm8k,{file}"],
        ["-t", "gsm8k", "{file}"],
        ["--tasks", "{folder}"],
        ["--tasks", "{folder}/*.yaml"],
        ["--include_path", "{folder}", "--tasks", TASK],
        ["--include_path={folder}", "--tasks", "my_*"],
        ["--config", "{config}"],
        ["--include_path", "{folder}", "--tasks", "of_this_tag"],
    ],
)
def test_every_way_to_name_a_set(tmp_path: Path, arguments: list[str]) -> None:
    path = write_set(tmp_path / "sets", rows(), block={"stepz": 1}, tag="of_this_tag")
    config = tmp_path / "run.yaml"
    config.write_text(f"tasks: [{path}]\n")
    values = {"file": path, "folder": path.parent, "config": config}
    named = [argument.format(**values) for argument in arguments]
    with pytest.raises(ConfigError, match="stepz"):
        check_command(("lm_eval", "run", *named, "--output_path", str(tmp_path)))


@pytest.mark.parametrize(
    ("arguments", "alone"),
    [
        (["--tasks", "{file}"], True),
        (["--tasks", "{folder}/sets"], True),
        (["--tasks={folder}/sets/*.yaml"], True),
        (["--config", "{folder}/run.yaml"], True),
        (["--tasks", TASK, "--include_path", "{folder}/sets"], True),
        (["--tasks", "local_naturalness"], True),
        (["--tasks", "local_naturalness,{file}"], True),
        (["--tasks", "gsm8k"], False),
        (["--tasks", "{file},gsm8k"], False),
        (["--tasks", TASK], False),  # no file and in no folder: an error of the harness
        (["--tasks", "my_*", "--include_path", "{folder}/sets"], False),
        (["--tasks", "of_this_tag", "--include_path", "{folder}/sets"], False),
        (["--tasks", "{folder}/group.yaml"], False),  # its tasks may be the harness's
        (["--tasks", "mine", "--include_path", "{folder}"], False),
        ([], False),
    ],
)
def test_what_names_nothing_of_the_harness(
    tmp_path: Path, arguments: list[str], alone: bool
) -> None:
    path = write_set(tmp_path / "sets", rows(), tag="of_this_tag")
    (tmp_path / "run.yaml").write_text(f"tasks: [{path}]\n")
    (tmp_path / "group.yaml").write_text("group: mine\ntask: [gsm8k]\n")
    named = [argument.format(file=path, folder=tmp_path) for argument in arguments]
    assert names_ours_alone(["run", *named], [shipped_folder()]) is alone


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tasks", "gsm8k", "--output_path", "{folder}"],
        ["--tasks", "gsm8k", "--include_path", "{folder}"],
        ["--model_args", "pretrained={file}"],
        [],
    ],
)
def test_a_set_that_is_not_named_is_not_read(tmp_path: Path, arguments: list[str]) -> None:
    values = {"file": bad(tmp_path), "folder": tmp_path}
    check_command(("lm_eval", *[argument.format(**values) for argument in arguments]))


def test_a_yaml_of_another_tool_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("task: other\nstepz: 1\n")
    check_command(("lm_eval", "--tasks", str(tmp_path / "other.yaml")))


def test_what_was_read_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_set(tmp_path, rows())
    check_command(("lm_eval", "--tasks", str(path)))
    calls: list[Any] = []
    original = definitions.load
    monkeypatch.setattr(definitions, "load", lambda *given: calls.append(1) or original(*given))
    config = definitions.read_yaml(path)
    first = definition_of(config, path)
    assert not calls
    assert definition_of(config, path).teacher_set == first.teacher_set
    assert len(calls) == 1


def test_what_was_read_of_other_settings_is_not_taken(tmp_path: Path) -> None:
    path = write_set(tmp_path, rows())
    check_command(("lm_eval", "--tasks", str(path)))
    config = definitions.read_yaml(path) | {"naturalness": {"steps": "line"}}
    assert definition_of(config, path).spec.settings.steps == "line"


def test_the_tokens_are_logged_before_the_first_row(
    tmp_path: Path, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, rows(), block={"metrics": "all", "sensitivity": "full"})
    with caplog.at_level(logging.DEBUG, "lm_eval"):
        evaluate(tmp_path, hf(student("llama"), tokenizer))
    messages = [record.getMessage() for record in caplog.records]
    (planned,) = [one for one in messages if one.startswith("Plan: ")]
    (read,) = [one for one in messages if one.startswith("Read: ")]
    counts = json.loads(read.removeprefix("Read: "))
    # Without a chat template no fact of the student is read.
    of_prompts, of_responses = counts["prompt_tokens"], counts["body_tokens"]
    assert planned == (
        f"Plan: 3 prompts, 2 teachers, 6 responses, {of_prompts + of_responses:,} tokens to read "
        f"({of_prompts:,} of prompts, {of_responses:,} of responses and their windows)"
    )
    assert messages.index(planned) < messages.index(read)


def test_kept_records_are_not_counted(
    tmp_path: Path, model: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, rows())
    for limit in (1, None, None):
        lm = hf(model, tokenizer)
        with caplog.at_level(logging.INFO, "lm_eval"):
            evaluate(tmp_path, lm, use_cache=str(tmp_path / "cache"), limit=limit)
        lm.cache_hook.dbdict.close()
    plans = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Plan: ")]
    first, second, third = plans
    assert first.startswith("Plan: 1 prompt, 2 teachers, 2 responses, ")
    assert second.startswith("Plan: 2 prompts, 2 teachers, 4 responses, ")
    assert "kept" not in first
    assert second.endswith("; the records of 2 other responses are kept")
    assert third == "Plan: nothing to read: the records of 6 responses are kept"


def test_a_row_that_cannot_be_rendered_ends_the_run_before_the_first_is_scored(
    tmp_path: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rows()
    for row in found:
        row["chat_template_kwargs"] = {"refused": row is found[-1]}
    write_set(tmp_path, found)
    reader = copy.deepcopy(tokenizer)
    refuses = "{% if refused %}{{ raise_exception('no twos') }}{% endif %}"
    reader.chat_template = refuses + tokenizer.chat_template
    lm = hf(model, reader)
    read = prompts_read(monkeypatch)
    with pytest.raises(DataError, match="prompt p2, teacher R1: .*: no twos"):
        evaluate(tmp_path, lm, apply_chat_template=True)
    assert len(read) <= 1  # the template's own tokens, a fact of the student


def test_a_prompt_that_the_template_does_not_take_is_named(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    write_set(tmp_path, rows())
    reader = copy.deepcopy(tokenizer)
    refuses = "{% if '2 + 4' in messages[0].content %}{{ raise_exception('no twos') }}{% endif %}"
    reader.chat_template = refuses + tokenizer.chat_template
    with pytest.raises(DataError, match="prompt p2: .* does not take this conversation: no twos"):
        evaluate(tmp_path, hf(model, reader), apply_chat_template=True)
