"""Every command and snippet of the README and of docs/ runs, and prints what its page says.

Each page has a folder of its own, in which its blocks run from the first to the last. One scoring
run of the bundled set, the command of the quick start, is shared by all of them as `out`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPO

from .lab import Fence, Reader, commands_of, copied, differs, fences_of, quiet

PAGES = [
    "README.md",
    *sorted(p.relative_to(REPO).as_posix() for p in (REPO / "docs").rglob("*.md")),
]
NOT_RUN: dict[str, str] = yaml.safe_load((Path(__file__).parent / "not_run.yaml").read_text())
TUTORIAL = re.compile(r"^`([\w/]+\.py)`")


def reason_not_run(command: str) -> str:
    """Why a command is not run; "" if it is."""
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), "")


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """The quick start's scoring command -> the folder that it wrote, and what it printed."""
    text = (REPO / "docs" / "quickstart.md").read_text(encoding="utf-8")
    command = next(
        line
        for fence in fences_of(text)
        if fence.language == "bash"
        for line in commands_of(fence.code)
        if line.startswith("lm_eval")
    )
    folder = tmp_path_factory.mktemp("scored")
    reader = Reader(folder, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        printed = reader.run(command)
    return {reader.here(command): (folder / "out", printed)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages take as given: rows, a reference, a training config, a study."""
    from tests.study.lab import finished

    for source in ("examples", "tasks/local_naturalness/reference.json", "lnat_plugins/student"):
        copied(source, tmp_path)
    shutil.copy(REPO / "examples/new_teacher_set.jsonl", tmp_path / "traces.jsonl")
    shutil.copy(REPO / "examples/new_teacher_set.jsonl", tmp_path)
    shutil.copy(REPO / "examples/new_teacher_set.yaml", tmp_path)
    for name in ("r1", "qwq"):
        line = json.dumps(
            {"prompt": "What is 2 + 3?", "response": f"Add the two. So 5, says {name}."}
        )
        (tmp_path / f"{name}.jsonl").write_text(line + "\n", encoding="utf-8")
    own = (REPO / "examples/new_teacher_set.yaml").read_text(encoding="utf-8")
    own = own.replace("task: new_teacher_set", "task: my_teachers")
    (tmp_path / "my_teachers.yaml").write_text(own, encoding="utf-8")
    shutil.copy(REPO / "examples/sft.yaml", tmp_path)
    shutil.copy(REPO / "tasks/local_naturalness/reference.json", tmp_path / "accuracies.json")
    # Studies whose units are done: tests/study trains and evaluates.
    (tmp_path / "one").mkdir()
    finished(tmp_path / "one", out=tmp_path / "one" / "small")
    for name in ("sums", "words"):
        (tmp_path / name).mkdir()
        finished(tmp_path / name, keys={"study": name}, out=tmp_path / "results" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES)
def test_a_page(page: str, folder: Path, scored: dict[str, tuple[Path, str]]) -> None:
    text = (REPO / page).read_text(encoding="utf-8")
    reader = Reader(folder, scored)
    fences = fences_of(text)
    if "lnat init traces.jsonl" in text:
        (folder / "my_teachers.yaml").unlink()
    writes_out = any("--output_path out\n" in f.code + "\n" for f in fences if "lm_eval" in f.code)
    if not writes_out:
        ((made, _),) = scored.values()
        shutil.copytree(made, folder / "out")
    names = _Names()
    for fence in fences:
        where = f"{page}:{fence.line}"
        run = {"bash": _bash, "python": _python, "yaml": _yaml, "json": _json}.get(fence.language)
        if run:
            found = run(fence, where, reader, text, names)
            if fence.output is not None and found is not None:
                wrong = differs(fence.output, found)
                assert not wrong, f"{where}: {wrong}\n--- printed ---\n{found}"


def _bash(fence: Fence, where: str, reader: Reader, text: str, names: Any) -> str | None:
    """What the commands print; None if one of them is not run."""
    printed, left_out = "", False
    for command in commands_of(fence.code):
        if reason_not_run(command):
            left_out = True
            continue
        try:
            printed += reader.run(command)
        except AssertionError as cause:
            raise AssertionError(f"{where}: {cause}") from None
    return None if left_out else printed


def _python(fence: Fence, where: str, reader: Reader, text: str, names: _Names) -> str | None:
    """A file of the page's, or what a snippet prints."""
    before = text.splitlines()[: fence.line - 1]
    paragraph = next((line for line in reversed(before) if line.startswith("`")), "")
    near = "\n".join(before[-3:])
    if (named := TUTORIAL.match(paragraph)) and paragraph in near:
        path = reader.folder / named[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fence.code, encoding="utf-8")
        return None
    import contextlib
    import io

    for name in ("model", "args"):  # a model that a trainer has prepared is refused by the next one
        names.pop(name, None)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), quiet():
        exec(compile(fence.code, where, "exec"), names)
    return printed.getvalue()


def _yaml(fence: Fence, where: str, reader: Reader, text: str, names: Any) -> None:
    """YAML that is a teacher set's, a selection's or a study's is one that they take."""
    from lnat_plugins.errors import validate
    from lnat_plugins.metrics import METRICS
    from lnat_plugins.selection.spec import parse_selection
    from lnat_plugins.selection.strategies import STRATEGIES
    from lnat_plugins.study.spec import StudyKeys
    from lnat_plugins.teacher_set.config import parse_task

    config = yaml.safe_load(re.sub(r"!function \S+", "null", fence.code))
    if "selection" in config:
        parse_selection(config["selection"], metrics=METRICS, strategies=STRATEGIES, source=where)
    elif "study" in config:
        validate(StudyKeys, config, where=where)
    elif "naturalness" in config or "dataset_path" in config:
        parse_task({"task": "t", "dataset_path": "traces.jsonl", **config}, source=where)


def _json(fence: Fence, where: str, reader: Reader, text: str, names: Any) -> None:
    """Rows, one a line."""
    for line in fence.code.splitlines():
        json.loads(line)


class _Names(dict[str, Any]):
    """The names that a page's snippets take as given, each made when it is first read."""

    def __missing__(self, name: str) -> Any:
        if name not in _GIVEN:
            raise KeyError(name)
        self[name] = _GIVEN[name]()
        return self[name]


def _model() -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(REPO / "lnat_plugins" / "student")


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(REPO / "lnat_plugins" / "student")


def _candidates() -> Any:
    from datasets import Dataset

    from tests.examples.scripts import bundled

    rows = bundled(prompts=3)
    return Dataset.from_list(
        [{"prompt_id": row["prompt_id"], "teacher": row["teacher"], "correct": row["correct"],
          "prompt": [{"role": "user", "content": row["prompt"]}],
          "completion": [{"role": "assistant", "content": row["response"]}]} for row in rows]
    )  # fmt: skip


def _args() -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir="out/sft", max_steps=1, per_device_train_batch_size=2, max_length=None,
        use_cpu=True, bf16=False, report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip


def _trainer() -> Any:
    from trl import SFTTrainer

    return SFTTrainer


_GIVEN: dict[str, Callable[[], Any]] = {
    "model": _model, "tokenizer": _tokenizer, "candidates": _candidates, "args": _args,
    "SFTTrainer": _trainer, "MyTrainer": _trainer,
}  # fmt: skip


def test_what_is_not_run_is_on_a_page() -> None:
    commands = [
        command
        for page in PAGES
        for fence in fences_of((REPO / page).read_text(encoding="utf-8"))
        if fence.language == "bash"
        for command in commands_of(fence.code)
    ]
    idle = [start for start in NOT_RUN if not any(one.startswith(start) for one in commands)]
    assert idle == []


def test_every_block_says_what_it_is() -> None:
    known = {"bash", "python", "yaml", "json", "text", "math", "toml", "{eval-rst}"}
    for page in PAGES:
        fences = fences_of((REPO / page).read_text(encoding="utf-8"))
        assert {fence.language for fence in fences} <= known, page


# that the checks can fail


def test_outputs_that_differ_are_caught() -> None:
    page = "|a|  mean|\n|-|-----|\n|x|-1.621|\n...\nread ...jsonl\n"
    printed = "|a| mean |\n|-|------|\n|x|-1.63|\nmore\nread out/samples.jsonl\n"
    assert differs(page, printed) == ""
    assert "'| x | -1.621 |'" in differs(page, printed.replace("-1.63", "-1.73"))
    assert "the end" in differs(page, printed.replace("read", "wrote"))
    assert "the page ends" in differs(page, printed + "one more\n")
    assert differs(page + "...\n", printed + "one more\n") == ""
    assert differs("a\n", "b\n") and differs("a 1\n", "a 2\n") and differs("", "b\n")


def test_blocks_and_commands_are_found() -> None:
    text = (
        "```bash\nlnat rank out \\\n    --brief   # short\n\n# all\nlnat rank out\n```\n\n"
        "```text\nx\n```\nand\n```text\ny\n```\n"
    )
    first, second = fences_of(text)
    assert (first.language, first.output, second.output) == ("bash", "x\n", None)
    assert commands_of(first.code) == ["lnat rank out  --brief", "lnat rank out"]


def test_a_command_that_fails_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, {})
    with pytest.raises(AssertionError, match="exit code 2"):
        reader.run("lnat rank gone")
    with pytest.raises(AssertionError, match="needs a shell"):
        reader.run("lnat tasks | head")
    with pytest.raises(AssertionError, match="no way to run 'rm'"):
        reader.run("rm -r out")
