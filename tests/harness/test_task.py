"""The task: found from any way to name its YAML, and its prompts as they reach the student."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.config.evaluate_config import EvaluatorConfig
from lm_eval.tasks import TaskManager
from tokenizers.processors import TemplateProcessing

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.files import read_yaml
from lnat_plugins.harness.task import source_of
from tests import helpers_students
from tests.helpers_students import assert_near, truth

from .lab import CLASS, evaluate, hf, records, rows, write_set


@pytest.fixture(autouse=True)
def no_built_in_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's command scans its own tasks, which takes long and finds nothing of ours."""
    original = TaskManager.__init__

    def quick(self: TaskManager, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{"include_defaults": False, **kwargs})

    monkeypatch.setattr(TaskManager, "__init__", quick)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is not the set's folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def by_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """The tasks that the command line loads, without running it."""
    from lm_eval._cli.harness import HarnessCLI

    monkeypatch.setattr(sys, "argv", ["lm_eval", "run", *arguments])
    config = EvaluatorConfig.from_cli(HarnessCLI().parse_args())
    manager = config.process_tasks()
    return dict(manager.load(config.tasks)["tasks"])


def prompts_of(task: Any) -> int:
    return len(task.test_docs())


@pytest.mark.parametrize("given", ["absolute", "relative", "--tasks=", "twice"])
def test_a_path_on_the_command_line(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    spelled = {
        "absolute": ["--tasks", str(path)],
        "relative": ["--tasks", "../sets/my_teachers.yaml"],
        "--tasks=": [f"--tasks={path}"],
        "twice": ["--tasks", f"{path},{path}"],
    }
    tasks = by_command(monkeypatch, *spelled[given])
    assert prompts_of(tasks["my_teachers"]) == 3


@pytest.mark.parametrize("spelled", ["list", "arguments", "glob", "folder"])
def test_several_yamls_on_the_command_line(
    spelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_set(tmp_path / "sets", rows(prompts=1), "one")
    two = write_set(tmp_path / "sets", rows(prompts=2), "two")
    arguments = {
        "list": ["--tasks", f"{one},{two}"],
        "arguments": ["--tasks", str(one), str(two)],
        "glob": ["--tasks", str(tmp_path / "sets" / "*.yaml")],
        "folder": ["--tasks", str(tmp_path / "sets")],
    }
    tasks = by_command(monkeypatch, *arguments[spelled])
    assert {name: prompts_of(task) for name, task in tasks.items()} == {"one": 1, "two": 2}


@pytest.mark.parametrize("tasks", ["list", "text"])
def test_a_yaml_that_a_configuration_of_the_run_names(
    tasks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    run = {"model": "hf", "tasks": [str(path)] if tasks == "list" else str(path)}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    loaded = by_command(monkeypatch, "--config", str(tmp_path / "run.yaml"))
    assert prompts_of(loaded["my_teachers"]) == 3


def test_a_name_found_under_include_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "sets" / "deep", rows())
    options = ("--include_path", str(tmp_path / "sets"), "--tasks", "my_teachers")
    assert prompts_of(by_command(monkeypatch, *options)["my_teachers"]) == 3


def test_an_included_template_keeps_the_yamls_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    (tmp_path / "template").write_text(CLASS + "naturalness: {windows: [2]}\n")
    text = path.read_text().replace(CLASS, "include: ../template\n")
    path.write_text(text.replace("naturalness: {}\n", ""))
    task = by_command(monkeypatch, "--tasks", str(path))["my_teachers"]
    assert prompts_of(task) == 3
    assert task.run_settings()["windows"] == ["2"]


def test_two_sets_of_one_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder under --include_path holds a set that is called the same."""
    write_set(tmp_path / "shipped", rows(prompts=1))
    mine = write_set(tmp_path / "mine", rows(prompts=2))
    options = ("--include_path", str(tmp_path / "shipped"), "--tasks", str(mine))
    assert prompts_of(by_command(monkeypatch, *options)["my_teachers"]) == 2


def test_a_set_of_the_same_name_among_the_arguments_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_set(tmp_path / "other", rows(), block={"windows": [1]})
    mine = write_set(tmp_path / "mine", rows())
    monkeypatch.setattr(sys, "argv", ["lm_eval", str(other), str(mine)])
    assert source_of(read_yaml(mine)) == mine


def test_a_relative_path_from_a_program(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path / "sets", rows())
    assert len(records(evaluate(tmp_path / "sets", hf(model, tokenizer), limit=1))) == 2


def test_a_dictionary_starts_from_the_working_directory(elsewhere: Path) -> None:
    from lnat_plugins.harness import NaturalnessTask

    write_set(elsewhere, rows())
    config = {"task": "inline", "dataset_path": "my_teachers.jsonl", "class": NaturalnessTask}
    tasks = TaskManager().load([config])["tasks"]
    assert prompts_of(tasks["inline"]) == 3
    assert source_of(config) == "<dict>"


def test_other_yamls_on_the_command_line_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    (tmp_path / "broken.yaml").write_text("task: [my_teachers\n")
    (tmp_path / "list.yaml").write_text("- my_teachers\n")
    monkeypatch.setattr(
        sys, "argv", ["x", str(tmp_path / "broken.yaml"), str(tmp_path / "list.yaml"), str(path)]
    )
    assert source_of(read_yaml(path)) == path


def test_an_error_names_the_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_set(tmp_path / "sets", rows(), block={"window": [4]})
    monkeypatch.setattr(sys, "argv", ["a_program", str(path)])
    with pytest.raises(ConfigError, match=f"{path}.*found 'window'.*Did you mean 'windows'"):
        TaskManager(include_path=str(tmp_path / "sets")).load(["my_teachers"])


PLAIN = "{}\n\n"
CHAT = "<|im_start|>user\n{}<|end|>\n<|im_start|>assistant\n"
BRIEF = "<|im_start|>system\nBe brief.<|end|>\n"


def contexts(results: Any) -> list[str]:
    return [sample["arguments"][0][0] for sample in results["samples"]["my_teachers"]]


def hashes(results: Any) -> set[str]:
    return {record["settings_hash"] for record in records(results).values()}


@pytest.mark.parametrize(
    ("options", "context"),
    [
        ({}, PLAIN),
        ({"system_instruction": "Be brief."}, "Be brief.\n\n" + PLAIN),
        ({"apply_chat_template": True}, CHAT),
        ({"apply_chat_template": True, "system_instruction": "Be brief."}, BRIEF + CHAT),
        ({"apply_chat_template": True, "fewshot_as_multiturn": True}, CHAT),
    ],
    ids=["plain", "system", "template", "both", "multiturn"],
)
def test_the_prompt_is_rendered_as_asked(
    options: dict[str, Any], context: str, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    results = evaluate(tmp_path, hf(model, tokenizer), **options)
    assert contexts(results) == [context.format(f"What is {i} + 4?") for i in range(3)]
    found = records(results)
    for row in rows():
        prompt = tokenizer.encode(context.format(row["prompt"]))
        expected = truth(model, tokenizer, prompt, row["response"], ("4",))
        assert_near(found[row["prompt_id"], row["teacher"], 0]["sums"]["4"], expected.sums["4"])


def test_the_rendering_is_part_of_the_settings(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows())
    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace("assistant", "model")
    runs = [
        (tokenizer, {}),
        (tokenizer, {"system_instruction": "Be brief."}),
        (tokenizer, {"apply_chat_template": True}),
        (tokenizer, {"apply_chat_template": True, "system_instruction": "Be brief."}),
        (other, {"apply_chat_template": True}),
    ]
    found = [
        hashes(evaluate(tmp_path, hf(model, own), limit=1, **options)) for own, options in runs
    ]
    assert all(len(one) == 1 for one in found)
    assert len(set().union(*found)) == len(runs)
    again = hashes(evaluate(tmp_path, hf(model, tokenizer), limit=2, apply_chat_template=True))
    assert again == found[2]


def test_the_turns_of_a_conversation_keep_their_roles(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    turns = [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "3 + 4?"},
        {"role": "assistant", "content": "7."},
        {"role": "user", "content": "And 5?"},
    ]
    conversations = [
        {"messages": [*turns, {"role": "assistant", "content": text}], "teacher": teacher}
        for teacher, text in [("QwQ", "First step. So 12."), ("R1", "12.")]
    ]
    write_set(tmp_path, conversations, block={"layout": "messages"})
    (chat,) = contexts(evaluate(tmp_path, hf(model, tokenizer), apply_chat_template=True))
    assert chat == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    (plain,) = contexts(evaluate(tmp_path, hf(model, tokenizer)))
    assert plain == "Think.\n\n3 + 4?\n\n7.\n\nAnd 5?\n\n"


def test_the_delimiter_stands_between_prompt_and_response(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), target_delimiter="\nAnswer:")
    plain = evaluate(tmp_path, hf(model, tokenizer), limit=1)
    assert contexts(plain) == ["What is 0 + 4?\nAnswer:"]
    chat = evaluate(tmp_path, hf(model, tokenizer), limit=1, apply_chat_template=True)
    assert contexts(chat) == [CHAT.format("What is 0 + 4?")]


@pytest.fixture
def opening_tokenizer() -> Any:
    """A tokenizer that puts a first token before every text, as Llama's does."""
    built = helpers_students.tokenizer()
    built.add_special_tokens({"bos_token": "<|begin|>"})
    built.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", built.bos_token_id)]
    )
    built.chat_template = "{{ bos_token }}" + built.chat_template
    return built


@pytest.mark.parametrize("chat", [False, True])
def test_the_opening_token_stands_before_the_prompt_once(
    chat: bool, model: Any, opening_tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    own = opening_tokenizer
    results = evaluate(tmp_path, hf(model, own), apply_chat_template=chat)
    for row in rows():
        context = (CHAT if chat else PLAIN).format(row["prompt"])
        prompt = [own.bos_token_id, *own.encode(context, add_special_tokens=False)]
        expected = truth(model, own, prompt, row["response"], ("4", "global"))
        record = records(results)[row["prompt_id"], row["teacher"], 0]
        assert record["tokens"] == expected.tokens
        for window in ("4", "global"):
            assert_near(record["sums"][window], expected.sums[window])


def test_a_tag_that_the_template_opens_is_read_once(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """The scores are those of the rows without their opening tag, behind the same prompt."""
    opens = copy.deepcopy(tokenizer)
    opens.chat_template = tokenizer.chat_template.replace("{{ m['content'] }}", _REOPENS) + _OPENING
    rest = "First step. Wait. Now the next one.\n</think>\n\nDone. Seven."
    found = []
    for name, text in (("tag", f"<think>\n{rest}"), ("bare", rest)):
        own = [row | {"response": text} for row in rows(prompts=1)]
        write_set(tmp_path / name, own)
        results = evaluate(tmp_path / name, hf(model, opens), apply_chat_template=True)
        (prompt,) = contexts(results)
        assert prompt.endswith("assistant\n<think>\n")
        found.append(records(results)["p0", "QwQ", 0])
    tag, bare = found
    assert tag["prompt_tokens"] == bare["prompt_tokens"] == len(opens.encode(prompt))
    assert (tag["tokens"], tag["ids_digest"]) == (bare["tokens"], bare["ids_digest"])
    assert tag["sums"] == bare["sums"]
    expected = truth(model, opens, opens.encode(prompt), rest, ("4",))
    assert_near(tag["sums"]["4"], expected.sums["4"])


_REOPENS = (
    "{% if m['role'] == 'assistant' %}<think>\n{{ m['content'].split('<think>\n')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}"
)
_OPENING = "{% if add_generation_prompt %}<think>\n{% endif %}"


def test_two_system_turns_are_refused(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Think."}, {"role": "user", "content": "What?"}]
    write_set(tmp_path, [row | {"prompt": turns} for row in rows(prompts=1)])
    lm = hf(model, tokenizer)
    evaluate(tmp_path, lm, apply_chat_template=True)
    with pytest.raises(DataError, match="prompt p0: the prompt has a system turn of its own besi"):
        evaluate(tmp_path, lm, apply_chat_template=True, system_instruction="Be brief.")


def test_a_student_without_a_template_is_told_so(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    write_set(tmp_path, rows())
    with pytest.raises(StudentError, match=r"no chat template.*Leave --apply_chat_template out"):
        evaluate(tmp_path, hf(model, bare), apply_chat_template=True)
