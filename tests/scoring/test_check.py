"""What a check says of a teacher set and a student; its counts are those of scoring."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import check_teacher_set, load_teacher_set
from lnat_plugins.cli import main
from lnat_plugins.engine.cost import Shape
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.planning import Planned
from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.plugins import load_plugins
from lnat_plugins.plugins.configured import plan_of
from lnat_plugins.scoring.check import ALL_METRICS, AS_SET, WHOLE, NoteOnRows, Trial, shorten
from lnat_plugins.scoring.check_student import OpenedStudent, check_student
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.rows import END, NOT_TRAINED
from lnat_plugins.scoring.student import LocalStudent, context_of
from lnat_plugins.teacher_set import Candidates, TeacherSet
from tests.harness.lab import rows, write_set
from tests.helpers_students import CHATML, student, tokenizer

DROPS = CHATML.replace("{{ m['content'] }}", "{{ m['content'].split('</think>')[-1] }}")
BLOCKS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "all metrics": {"metrics": "all"},
    "no global window": {"windows": ["10%", 2]},
    "every way": {"sensitivity": "full", "metrics": "all"},
    "nothing beside": {"sensitivity": "none", "tokens": False},
    "tags kept": {"markers": "keep", "steps": "line"},
    "a prefix": {"prefix": 9},
    "a prefix in every way": {"prefix": "2 steps", "sensitivity": "full"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student as a folder."""
    found = tmp_path_factory.mktemp("student")
    student("llama").save_pretrained(found)
    tokenizer().save_pretrained(found)
    return found


def plan(teacher_set: TeacherSet, metrics: tuple[str, ...] | None = None) -> Any:
    return plan_of(
        teacher_set.settings, load_plugins().registry, tokens=teacher_set.tokens,
        sensitivity=teacher_set.sensitivity, metrics=metrics,
    )  # fmt: skip


def opened(model: Any, reader: Any = None, path: str = "auto", **changes: Any) -> OpenedStudent:
    backend = EngineBackend(Engine(model, path=path))
    own, context = reader or tokenizer(), context_of(model.config)
    found = OpenedStudent("toy", own, context, backend, Shape.of_model(model))
    return dataclasses.replace(found, **changes)


def read_by_scoring(model: Any, teacher_set: TeacherSet, own: Any, *, plain: bool) -> Planned:
    """What the engine counts when the set is really scored."""
    engines: list[Engine] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "lnat_plugins.scoring.student.Engine",
            lambda model: engines.append(Engine(model)) or engines[0],
        )
        # The facts of a student are read before any row.
        patch.setattr("lnat_plugins.scoring.student.student_facts", lambda *_, **__: {})
        delimiter = teacher_set.settings.target_delimiter
        candidates = Candidates.of_prompts(teacher_set.prompts, plain=plain, delimiter=delimiter)
        LocalStudent(model, tokenizer(), own, plain=plain, training=False).score(candidates.rows)
    (engine,) = engines
    return counted(engine.counts)


def counted(counts: Any) -> Planned:
    return Planned(counts.prompt_tokens, counts.body_tokens, counts.projected_tokens)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_tokens_are_those_that_scoring_reads(
    tmp_path: Path, block: dict[str, Any], plain: bool
) -> None:
    model = student("llama")
    teacher_set = load_teacher_set(write_set(tmp_path, rows(prompts=4), block=block))
    every = plan(teacher_set, ("all",))
    found = check_student(teacher_set, opened(model), plan(teacher_set), every, plain=plain)
    asked = read_by_scoring(model, teacher_set, plan(teacher_set), plain=plain)
    assert replace(found.planned[AS_SET], attended=0) == asked
    asked = read_by_scoring(model, teacher_set, every, plain=plain)
    assert replace(found.planned[ALL_METRICS], attended=0) == asked
    names = [f"window {window.name}" for window in plan(teacher_set).windows]
    assert [*found.planned] == [AS_SET, *[WHOLE] * ("prefix" in block), *names, ALL_METRICS]


def test_what_a_prefix_saves(tmp_path: Path, folder: Path) -> None:
    """The tokens of whole responses are those that the set takes without it."""
    path = write_set(tmp_path, rows(prompts=4))
    whole = check_teacher_set(path, folder, trial=False)
    path = write_set(tmp_path, rows(prompts=4), block={"prefix": "2 steps"})
    found = check_teacher_set(path, folder, trial=False)
    assert whole.student is not None and found.student is not None
    assert WHOLE not in whole.student.planned
    assert found.student.planned[WHOLE] == whole.student.planned[AS_SET]
    most = whole.student.planned[AS_SET].tokens
    saved = most - found.student.planned[AS_SET].tokens
    assert saved > 0
    text = found.to_markdown()
    assert (
        f"its prefix, the first 2 steps of each response, saves {saved:,} of the {most:,} tokens "
        "that whole responses take ("
    ) in text
    assert ": 2 steps, " in text and ", the prefix of " in text
    assert "`budget: {}`" not in text  # the two exclude each other


def test_a_student_whose_layers_slide_is_counted_by_the_batched_pass(tmp_path: Path) -> None:
    model = student("llama")
    teacher_set = load_teacher_set(write_set(tmp_path, rows()))
    own = plan(teacher_set)
    packed, batched = (
        check_student(teacher_set, opened(model, path=path), own, own, plain=True).planned[AS_SET]
        for path in ("packed", "batched")
    )
    assert batched.prompt_tokens > packed.prompt_tokens
    assert batched.body_tokens == packed.body_tokens


def test_steps_are_shown_of_each_teacher_and_of_different_prompts(
    tmp_path: Path, folder: Path
) -> None:
    data = rows(("QwQ", "R1", "s1"), prompts=4)
    # QwQ answers the prompts but the first; s1 the last one alone.
    left_out = {("QwQ", 0), ("s1", 0), ("s1", 1), ("s1", 2)}
    kept = [row for i, row in enumerate(data) if (row["teacher"], i // 3) not in left_out]
    path = write_set(tmp_path, kept, block={"min_teachers": 1})
    found = check_teacher_set(path, folder, trial=False).student
    assert found is not None
    first, second, _, last = dict.fromkeys(row["prompt_id"] for row in data)
    shown = {one.teacher: one.prompt_id for one in found.cut}
    assert shown == {"QwQ": second, "R1": first, "s1": last}
    texts = {(row["teacher"], row["prompt_id"]): row["response"] for row in kept}
    for one in found.cut:
        assert "".join(text for *_, text in one.steps) == texts[one.teacher, one.prompt_id]


def test_rows_that_do_not_fit_and_the_longest_one(tmp_path: Path) -> None:
    teacher_set = load_teacher_set(write_set(tmp_path, rows()))
    own = plan(teacher_set)
    whole = check_student(teacher_set, opened(student("llama")), own, own, plain=True)
    n_tokens, where = whole.longest
    assert where.startswith("my_teachers.jsonl row ") and whole.too_long == 0
    for context, expected in ((n_tokens - 1, 0), (n_tokens - 2, 1)):
        short = opened(student("llama"), context=context)
        found = check_student(teacher_set, short, own, own, plain=True)
        assert (found.longest, found.too_long >= expected) == (whole.longest, True)
        assert bool(found.too_long) is bool(expected)


def test_the_bundled_student_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", None)
    path = write_set(tmp_path, rows())
    found = check_teacher_set(path, "bundled", trial=False, apply_chat_template=True)
    own = found.student
    assert own is not None and own.trial is None and own.seconds is None
    assert (own.path, own.reason, own.context) == ("packed", "", 8192)
    assert own.notes == () and own.refused == ""
    text = found.to_markdown()
    assert "Training would read every response as it is." in text
    assert "on this machine" not in text


def test_a_trial_gives_a_time(tmp_path: Path, folder: Path) -> None:
    path = write_set(tmp_path, rows(prompts=4))
    found = check_teacher_set(path, folder, device="cpu")
    own = found.student
    assert own is not None and own.trial is not None and own.seconds is not None
    assert (own.trial.device, own.trial.prompts) == ("cpu", 4)
    # Of the prompts alone, without what warms up; `sensitivity` adds to what is planned.
    assert 0 < own.trial.tokens <= own.planned[AS_SET].tokens
    assert own.seconds == pytest.approx(own.planned[AS_SET].tokens / own.trial.rate)
    assert " on this machine (cpu, " in found.to_markdown()
    assert "tokens/s in a trial of 4 prompts; an estimate)" in found.to_markdown()
    with_weights = dataclasses.replace(own, trial=None)
    bare = check_teacher_set(path, str(folder), trial=False).student
    assert bare == with_weights


def test_long_prompts_are_not_read_for_a_time(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One response says how long they would take: the shortest of the set."""
    monkeypatch.setattr("lnat_plugins.scoring.check_student._LONGEST_PROMPT", 0.0)
    data = rows(prompts=4)
    data[5]["response"] = "Short."
    whole = check_teacher_set(write_set(tmp_path, data), folder, device="cpu")
    found = whole.student
    assert found is not None and found.trial is not None and found.seconds is not None
    alone = [{**data[5], "prompt_id": "p0"}, {**data[4], "prompt_id": "p0", "response": "Short."}]
    short = check_teacher_set(write_set(tmp_path, alone, "short"), folder, trial=False).student
    assert short is not None and found.trial.prompts == 0
    assert found.trial.tokens == short.planned[AS_SET].tokens  # two responses with the same tokens
    assert "tokens/s in a trial of 1 response; an estimate)" in whole.to_markdown()


def test_there_is_no_time_where_nothing_can_be_read(tmp_path: Path, folder: Path) -> None:
    data = [{**row, "prompt": "Why? " * 3000} for row in rows(prompts=2)]
    found = check_teacher_set(write_set(tmp_path, data), folder, device="cpu").student
    assert found is not None and found.trial is not None
    assert (found.trial.tokens, found.seconds) == (0, None)


def test_what_a_budget_would_read(tmp_path: Path, folder: Path) -> None:
    path = write_set(tmp_path, rows(prompts=40), block={"windows": [1]})
    own = check_teacher_set(path, folder, trial=False)
    assert own.student is not None
    exact = own.student.planned["window 1"].tokens
    assert own.student.budgeted == (round(exact / 2), round(exact * (1 + 1 / 1.2)))
    assert "with `budget: {}`, which settles which teacher is best" in own.to_markdown()
    bounded = {"windows": [1], "budget": {"max_tokens": 700, "steps": "exact"}}
    other = check_teacher_set(
        write_set(tmp_path, rows(prompts=40), block=bounded), folder, trial=False
    )
    assert other.student is not None and other.student.budgeted == (min(round(exact / 2), 700), 700)
    text = other.to_markdown()
    assert "with its budget, " in text and "|both, every step" in text and AS_SET not in text
    assert other.student.planned["window 1"].tokens == exact
    few = check_teacher_set(
        write_set(tmp_path, rows(prompts=20), block={"windows": [1]}), folder, trial=False
    )
    assert few.student is not None and few.student.budgeted is None


def test_the_text_shows_steps_and_openings(tmp_path: Path, folder: Path) -> None:
    found = check_teacher_set(write_set(tmp_path, rows()), folder, trial=False)
    lines = found.to_markdown().splitlines()
    assert f"student: {folder}, prompts as plain text" in lines
    assert any(
        line.startswith("teacher R1, prompt p1 (my_teachers.jsonl row 4): ") for line in lines
    )
    assert any(line.endswith(" not scored: [<think>] First step.") for line in lines)
    (row,) = [line for line in lines if line.startswith("|R1 ")]
    assert "nothing (67 %), `<think>` (33 %)" in row
    assert any(line.startswith(f"|{AS_SET}") for line in lines)


@pytest.mark.parametrize(
    ("tagged", "of", "nothing", "tag"),
    [(1, 4, "75 %", "25 %"), (1, 200, ">99 %", "<1 %"), (2, 200, "99 %", "1 %"),
     (3, 200, "98 %", "2 %"), (199, 200, "<1 %", ">99 %")],
)  # fmt: skip
def test_shares_of_responses_are_rounded_but_never_to_none_or_all(
    tmp_path: Path, tagged: int, of: int, nothing: str, tag: str
) -> None:
    given = [
        {"prompt": f"p{i}", "teacher": "A", "response": ("<think>" if i < tagged else "") + f"A{i}"}
        for i in range(of)
    ]
    path = write_set(tmp_path, given, block={"min_teachers": 1})
    (row,) = [
        line
        for line in check_teacher_set(path).to_markdown().splitlines()
        if line.startswith("|A ") and "nothing" in line
    ]
    assert f"nothing ({nothing})" in row and f"`<think>` ({tag})" in row


@pytest.mark.parametrize("trial", [True, False])
def test_a_metric_that_the_student_cannot_give_is_refused(tmp_path: Path, trial: bool) -> None:
    student("gpt2").save_pretrained(tmp_path / "student")
    tokenizer().save_pretrained(tmp_path / "student")
    path = write_set(tmp_path, rows(), block={"metrics": ["scas"]})
    with pytest.raises(StudentError, match="metric 'scas' is not supported by this back end"):
        check_teacher_set(path, tmp_path / "student", trial=trial)


def test_of_many_openings_the_commonest_are_named(tmp_path: Path) -> None:
    tags = ["<think>"] * 5 + ["<answer>"] * 4 + [""] * 3 + ["<|im_start|>assistant\n", "```\n"]
    given = [
        {"prompt": f"p{i}", "teacher": "A", "response": f"{tag}So {i}."}
        for i, tag in enumerate(tags)
    ]
    path = write_set(tmp_path, given, block={"min_teachers": 1})
    (row,) = [
        line
        for line in check_teacher_set(path).to_markdown().splitlines()
        if line.startswith("|A ") and "nothing" in line
    ]
    opens = row.split("|")[2].strip()
    assert opens == "`<think>` (36 %), `<answer>` (29 %), nothing (21 %), 2 more"


def test_long_responses_are_cut_off(tmp_path: Path, folder: Path) -> None:
    made = [{**row, "response": "So it goes on. " * 42} for row in rows()]
    text = check_teacher_set(write_set(tmp_path, made), folder, trial=False).to_markdown()
    assert "42 steps" in text
    assert "\n  12. " in text and "\n  13. " not in text
    assert "\n      … 30 more\n" in text


def test_a_template_that_drops_thinking_is_noted_and_refused(tmp_path: Path) -> None:
    reader = tokenizer()
    reader.chat_template = DROPS
    teacher_set = load_teacher_set(write_set(tmp_path, rows()))
    own = plan(teacher_set)
    found = check_student(teacher_set, opened(student("llama"), reader), own, own, plain=False)
    (note,) = found.notes
    assert (note.note, note.rows) == (NOT_TRAINED, 1)
    assert note.where == "my_teachers.jsonl row 4"
    assert note.example == "<think>"
    assert found.refused == f"1 of these rows: {NOT_TRAINED}"


def test_every_row_counts_and_the_first_is_named(tmp_path: Path) -> None:
    made = [{**row, "response": row["response"] + "<|end|>"} for row in rows()]
    teacher_set = load_teacher_set(write_set(tmp_path, made))
    own = plan(teacher_set)
    found = check_student(teacher_set, opened(student("llama")), own, own, plain=False)
    (note,) = found.notes
    assert (note.note, note.rows, note.where) == (END, 6, "my_teachers.jsonl row 1")
    assert note.example == "<|end|>"
    assert found.refused == ""


def test_what_training_reads_differently_is_shown_with_its_text(
    tmp_path: Path, folder: Path
) -> None:
    made = [{**row, "response": row["response"] + "<|end|>"} for row in rows()]
    found = check_teacher_set(write_set(tmp_path, made), folder, trial=False)
    assert f"6 of 6 rows: {END} (first: my_teachers.jsonl row 1: '<|end|>')" in found.to_markdown()
    assert "refuse" not in found.to_markdown()


@pytest.mark.parametrize(
    ("examples", "refused", "lines"),
    [
        (["<think>"], "1 of these rows: why", [
            "What training would read differently:",
            "1 of 6 rows: what (first: my_teachers.jsonl row 4: '<think>')",
            "lnat select and training refuse 1 of these rows: why",
        ]),
        ([""], "", [
            "What training would read differently:",
            "1 of 6 rows: what (first: my_teachers.jsonl row 4)",
        ]),
        ([], "every row", [
            "What training would read differently:", "lnat select and training refuse every row",
        ]),
        ([], "", ["Training would read every response as it is."]),
    ],
)  # fmt: skip
def test_what_training_reads_and_refuses_is_shown(
    examples: list[str], refused: str, lines: list[str], tmp_path: Path, folder: Path
) -> None:
    found = check_teacher_set(write_set(tmp_path, rows()), folder, trial=False)
    assert found.student is not None
    notes = tuple(NoteOnRows("what", 1, "my_teachers.jsonl row 4", one) for one in examples)
    text = replace(
        found, student=replace(found.student, notes=notes, refused=refused)
    ).to_markdown()
    assert lines in [block.splitlines() for block in text.split("\n\n")]


def test_plain_text_needs_an_end_token(tmp_path: Path) -> None:
    reader = tokenizer()
    reader.eos_token = None
    teacher_set = load_teacher_set(write_set(tmp_path, rows()))
    own = plan(teacher_set)
    found = check_student(teacher_set, opened(student("llama"), reader), own, own, plain=True)
    assert found.refused == "every row: the student's tokenizer has no end-of-text token"


@pytest.mark.parametrize(
    ("student_", "options", "error"),
    [
        ("/no/such", {}, "the student's folder does not exist"),
        ("plain", {"apply_chat_template": True}, "has no chat template to apply"),
        ("bundled", {"strict": True}, "the text is empty"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    tmp_path: Path, student_: str, options: dict[str, Any], error: str
) -> None:
    reader = tokenizer()
    reader.chat_template = None
    reader.save_pretrained(tmp_path / "plain")
    student("llama").config.save_pretrained(tmp_path / "plain")
    name = str(tmp_path / "plain") if student_ == "plain" else student_
    made = [*rows(), {**rows()[0], "prompt_id": "p9", "response": ""}]
    path = write_set(tmp_path / "set", made)
    with pytest.raises((StudentError, DataError), match=error) as caught:
        check_teacher_set(path, name, trial=False, **options)
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights_passes_without_a_trial_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer().save_pretrained(tmp_path / "bare")
    student("llama").config.save_pretrained(tmp_path / "bare")
    path = write_set(tmp_path / "set", rows())
    arguments = ["check", str(path), "--student", str(tmp_path / "bare")]
    assert main([*arguments, "--no_trial", "--apply_chat_template"]) == 0
    assert "prompts in its chat template" in capsys.readouterr().out
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "lnat: error: " in error and "the student cannot be loaded: " in error


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, folder: Path) -> None:
    path = write_set(tmp_path, rows())
    for device in ("nowhere", "cuda:77"):
        with pytest.raises(StudentError, match="the student cannot be loaded: ") as caught:
            check_teacher_set(path, folder, device=device)
        assert "\n" not in str(caught.value)


def test_a_template_that_refuses_a_conversation_is_an_error(tmp_path: Path) -> None:
    reader = tokenizer()
    reader.chat_template = "{{ raise_exception('users only') }}"
    teacher_set = load_teacher_set(write_set(tmp_path, rows()))
    own = plan(teacher_set)
    with pytest.raises(DataError, match="row 1: the student's chat template does not take"):
        check_student(teacher_set, opened(student("llama"), reader), own, own, plain=False)


def test_a_metric_that_reads_no_window_is_refused(tmp_path: Path) -> None:
    path = write_set(tmp_path, rows(), block={"metrics": ["ifd"], "windows": [4]})
    with pytest.raises(ConfigError, match="reads the window 'global'"):
        check_teacher_set(path)


def test_words() -> None:
    assert shorten("  One\n\ntwo. ") == "One two."
    long = shorten("word " * 40)
    assert " … " in long and len(long) <= 70 and long.startswith("word word")
    assert len(shorten("结" * 200)) <= 70
    assert Trial("cpu", 2, 100, 4.0).rate == 25


def test_thinking_that_stands_apart_is_read_as_a_run_reads_it(tmp_path: Path) -> None:
    own = [row | {"response": "Seven.", "reasoning_content": "So 3 + 4 = 7."} for row in rows()]
    teacher_set = load_teacher_set(write_set(tmp_path, own))
    reader = tokenizer()
    reader.chat_template = DROPS.replace(
        "{{ m['content']",
        "{% if m.reasoning_content %}<t>{{ m.reasoning_content }}</t>{% endif %}{{ m['content']",
    )
    found = check_student(
        teacher_set, opened(student("llama"), reader), plan(teacher_set), plan(teacher_set),
        plain=False,
    )  # fmt: skip
    assert (found.notes, found.refused) == ((), "")
    assert "So 3 + 4 = 7." in "".join(text for _, _, text in found.cut[0].steps)
