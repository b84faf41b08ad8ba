"""Rows as token ids: those that TRL trains on, and which of them are the response."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tokenizers import normalizers, processors
from trl import SFTConfig, SFTTrainer

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.scoring.rows import (
    END,
    MERGED,
    NOT_TRAINED,
    OPENED,
    OTHER_PROMPT,
    PROMPT_CUT,
    SPACE,
    WARNED,
    Renderer,
    RowTokens,
    _match,
    count_warned,
)
from lnat_plugins.teacher_set import Candidate, Response
from tests.helpers_students import CHATML, student, tokenizer
from tests.helpers_tokenizers import byte_level, metaspace
from tests.scoring.builders import scorer_of

PROMPTS = ("What is 3 + 4?", "Second step.\n\nThird one", " ")
RESPONSES = (
    "<think>\nFirst step. Wait.\n</think>\n\nDone.",
    "\n\nSo 3 + 4 = 7.  ",
    "结果是七！🎉",
    "Done.<|end|>",
    "step " * 1200,
)
ROWS = [(prompt, response) for prompt in PROMPTS for response in RESPONSES]


def candidate(prompt: Any, response: str, **extra: Any) -> Candidate:
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    found = Response("QwQ", response, extra=extra, where="x.jsonl row 3")
    return Candidate(0, "p", tuple(prompt), found)


def turns(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Think."}, {"role": "user", "content": prompt}]


def in_trl(folder: Path, model: Any, reader: Any, rows: list[dict[str, Any]]) -> list[list[int]]:
    """The ids that SFTTrainer gives each row when it may not cut."""
    args = SFTConfig(
        str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=None,  # False too is deprecated
        report_to="none",
        max_length=None,
    )
    trainer = SFTTrainer(
        model, args, train_dataset=Dataset.from_list(rows), processing_class=reader
    )
    return [list(ids) for ids in trainer.train_dataset["input_ids"]]


def table(form: str) -> list[dict[str, Any]]:
    """The rows as a data set in that form has them."""
    if form == "plain":
        return [{"prompt": prompt, "completion": response} for prompt, response in ROWS]
    pairs = [(turns(p), [{"role": "assistant", "content": r}]) for p, r in ROWS]
    if form == "messages":
        return [{"messages": prompt + answer} for prompt, answer in pairs]
    return [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]


def rendered(reader: Any, form: str) -> list[RowTokens]:
    renderer = Renderer(reader, plain=form == "plain")
    prompts = ((p if form == "plain" else turns(p), r) for p, r in ROWS)
    return [renderer.row(candidate(*one)) for one in prompts]


def whole(row: RowTokens) -> list[int]:
    found: list[int] = row.ids.tolist()
    return found


def assert_the_responses(rows: list[RowTokens]) -> None:
    """Their tokens hold every visible character of the response, in order."""
    for row, (_, text) in zip(rows, ROWS, strict=True):
        begins, ends = row.response.offsets.T.tolist()
        assert begins == sorted(begins) and ends == sorted(ends)
        covered = {i for begin, end in row.response.offsets.tolist() for i in range(begin, end)}
        assert covered >= {i for i, c in enumerate(text) if not c.isspace()}
        assert row.n_tokens == len(whole(row))


@pytest.mark.parametrize("form", ["plain", "prompt_completion", "messages"])
@pytest.mark.parametrize("begins", [False, True])
def test_a_toy_student(tmp_path: Path, form: str, begins: bool) -> None:
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    if begins:
        reader.bos_token = "<|end|>"
        reader.add_bos_token = True
        assert reader("a").input_ids[0] == reader.bos_token_id
    rows = rendered(reader, form)
    assert [*map(whole, rows)] == in_trl(tmp_path, student("llama"), reader, table(form))
    assert max(map(len, map(whole, rows))) > 1024
    assert_the_responses(rows)


@pytest.mark.parametrize("form", ["plain", "prompt_completion", "messages"])
def test_a_trained_student(tmp_path: Path, shared: Path, form: str) -> None:
    from transformers import AutoModelForCausalLM

    folder = str(shared / "models" / "student-base")
    model = AutoModelForCausalLM.from_pretrained(folder)
    reader = load_tokenizer(folder)
    rows = rendered(reader, form)
    assert [*map(whole, rows)] == in_trl(tmp_path, model, reader, table(form))
    assert_the_responses(rows)


def test_a_plain_prompt_gets_the_opening_token_and_not_the_closing_one() -> None:
    built = tokenizer()
    built.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|end|> $A <|end|>", special_tokens=[("<|end|>", built.eos_token_id)]
    )
    row = Renderer(built, plain=True).row(candidate("First?\n\n", "Done."))
    assert built.decode(row.prompt) == "<|end|>First?\n\n"
    assert built.decode(row.response.ids) == "Done."
    assert row.after.tolist() == [built.eos_token_id] * 2


def template(assistant: str, opens: str = "", end: str = "<|end|>\\n") -> str:
    """ChatML whose assistant turns hold `assistant`; the student's turn opens with `opens`."""
    return (
        "{% for m in messages %}{% set c = m.content %}<|im_start|>{{ m.role }}\\n"
        "{% if m.role == 'assistant' %}"
        + assistant
        + "{% else %}{{ c }}{% endif %}"
        + end
        + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\\n"
        + opens
        + "{% endif %}"
    ).replace("\\n", "\n")


SPLIT = (
    "{% if '</think>' in c %}<think>\\n{{ c.split('</think>')[0].split('<think>')[-1].strip() }}"
    "\\n</think>\\n\\n{{ c.split('</think>')[-1].strip() }}{% else %}{{ c }}{% endif %}"
)
EMPTY = "<think>\\n\\n</think>\\n\\n"

# Template, what opens the student's turn, response; what stands in prompt and response, notes.
CASES: dict[str, tuple[str, str, str, str, str, tuple[str, ...]]] = {
    "as it is": ("{{ c }}", "", "First step. Done.", "assistant\n", "First step. Done.", ()),
    "trimmed at the end": ("{{ c | trim }}", "", "First. \n", "assistant\n", "First.", (SPACE,)),
    "trimmed at both ends": (
        "{{ c | trim }}", "", "\n\nFirst.\n", "assistant\n", "First.", (SPACE,),
    ),
    "an empty thinking part": (
        EMPTY + "{{ c }}", "", "First.", "assistant\n<think>\n\n</think>\n\n", "First.",
        (OTHER_PROMPT,),
    ),
    "an empty thinking part that is opened so": (
        EMPTY + "{{ c }}", EMPTY, "First.", "assistant\n<think>\n\n</think>\n\n", "First.", (),
    ),
    "a tag that is opened, by both": (
        SPLIT, "<think>\\n", "<think>\nFirst.\n</think>\n\nDone.", "assistant\n<think>\n",
        "First.\n</think>\n\nDone.", (OPENED,),
    ),
    "a tag that is opened, by the template alone": (
        SPLIT, "<think>\\n", "First.\n</think>\n\nDone.", "assistant\n<think>\n",
        "First.\n</think>\n\nDone.", (),
    ),
    "a tag that is opened and not trained": (
        "{{ c }}", "<think>\\n", "First.", "assistant\n", "First.", (OTHER_PROMPT,),
    ),
    "white space inside": (
        SPLIT, "", "<think>\n\nFirst.\n</think>Done.", "assistant\n",
        "<think>\nFirst.\n</think>\n\nDone.", (SPACE,),
    ),
    "a newline of both": (
        "{{ c }}", "", "\n\nFirst.", "assistant", "\n\n\nFirst.", (MERGED,),
    ),
    "a tag that begins like the one that is opened": (
        "{{ c }}", "<think>\\n", "<answer>12</answer> Done.", "assistant\n",
        "<answer>12</answer> Done.", (OTHER_PROMPT,),
    ),
    "a line break as the template's own": (
        "{{ c }}", "", "First.\n", "assistant\n", "First.\n", (),
    ),
    "an end token": ("{{ c }}", "", "First.<|end|>", "assistant\n", "First.<|end|>", (END,)),
    "the words of the end": ("{{ c }}", "", "assistant end", "assistant\n", "assistant end", ()),
}  # fmt: skip


def merging() -> Any:
    """A tokenizer for which three newlines are one token."""
    found = tokenizer()
    found.add_tokens(["\n\n\n"])
    return found


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_where_the_response_is(name: str, strict: bool) -> None:
    assistant, opens, text, before, own, notes = CASES[name]
    reader = merging()
    reader.chat_template = template(assistant, opens)
    row = Renderer(reader, plain=False, strict=strict).row(candidate("What?", text))
    assert reader.decode(row.prompt) == f"<|im_start|>user\nWhat?<|end|>\n<|im_start|>{before}"
    assert reader.decode(row.response.ids) == own
    assert row.notes == notes
    everything = reader.apply_chat_template(
        [{"role": "user", "content": "What?"}, {"role": "assistant", "content": text}]
    )["input_ids"]
    assert whole(row) == everything
    if OTHER_PROMPT in notes:
        assert row.added == before.removeprefix("assistant\n")
    begins, ends = row.response.offsets.T.tolist()
    assert begins == sorted(begins) and ends == sorted(ends)
    for (begin, end), token in zip(row.response.offsets.tolist(), row.response.ids, strict=True):
        if visible := reader.decode([token]).strip():
            assert text[begin:end].strip() == visible


DROPS = "{{ c.split('</think>')[-1] }}"


@pytest.mark.parametrize(
    ("assistant", "text"),
    [
        (DROPS, "<think>\nFirst.\n</think>\n\nDone."),
        ("{{ c | upper }}", "First."),
        ("{{ c[:5] }}", "First step."),
        ("", "First."),
    ],
)
def test_a_response_that_training_would_not_see(assistant: str, text: str) -> None:
    reader = tokenizer()
    reader.chat_template = template(assistant)
    one = candidate("What?", text)
    with pytest.raises(DataError, match=r"x\.jsonl row 3: .* drops or changes part of the resp"):
        Renderer(reader, plain=False).row(one)
    row = Renderer(reader, plain=False, strict=False).row(one)
    assert row.notes == (NOT_TRAINED,)
    opened = "<|im_start|>user\nWhat?<|end|>\n<|im_start|>assistant\n"
    assert reader.decode(whole(row)) == opened + text
    assert reader.decode(row.response.ids) == text
    assert count_warned([row, row]) == {WARNED[NOT_TRAINED]: 2}


def test_a_turn_that_the_reply_may_end_itself() -> None:
    reader = tokenizer()
    reader.chat_template = template("{{ c }}", end="").replace(
        "{{ c }}{% else %}", "{{ c }}{% if not c.endswith('<|end|>') %}<|end|>{% endif %}{% else %}"
    )
    for text in ("First.", "First.<|end|>"):
        row = Renderer(reader, plain=False).row(candidate("What?", text))
        assert reader.decode(row.response.ids) == text
        assert row.ids[-1] == reader.eos_token_id


def test_a_blank_that_the_tokenizer_puts_before_a_text() -> None:
    """Alone, the response begins with a blank that it does not have behind a prompt."""
    reader = metaspace()
    reader.chat_template = template("{{ c }}")
    row = Renderer(reader, plain=False).row(candidate("a", "First step."))
    everything = reader.apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "First step."}]
    )["input_ids"]
    assert whole(row) == everything


@pytest.mark.parametrize("kept", [True, False])
def test_a_template_that_leaves_the_system_turn_out(kept: bool) -> None:
    reader = tokenizer()
    reader.chat_template = (
        CHATML if kept else CHATML.replace("{% for m in messages %}", "{% for m in messages[1:] %}")
    )
    row = Renderer(reader, plain=False).row(candidate(turns("What?"), "Done."))
    assert row.notes == (() if kept else (PROMPT_CUT,))
    assert ("Think." in reader.decode(row.prompt)) is kept


def test_what_a_row_gives_to_the_template() -> None:
    reader = tokenizer()
    reader.chat_template = "{{ tools or '' }}{{ enable or '' }}" + CHATML
    renderer = Renderer(reader, plain=False, arguments={"enable": "run"})
    tools = [{"name": "add"}]
    texts = [
        reader.decode(renderer.row(candidate("?", "!", **own)).prompt)
        for own in ({}, {"tools": tools}, {"chat_template_kwargs": {"enable": "row"}})
    ]
    assert [text.partition("<")[0] for text in texts] == ["run", f"{tools}run", "row"]


def test_rows_of_one_prompt_and_another() -> None:
    """What is kept of the last prompt is that prompt's, and its arguments'."""
    reader = tokenizer()
    reader.chat_template = "{{ tools or '' }}" + CHATML
    renderer = Renderer(reader, plain=False)
    rows = [candidate("a", "b"), candidate("c", "b"), candidate("a", "b", tools=[{"name": "add"}])]
    for row in (*rows, *rows[::-1]):
        assert whole(renderer.row(row)) == whole(Renderer(reader, plain=False).row(row))


def test_the_digest_tells_ids_and_their_bound_apart() -> None:
    reader = tokenizer()
    renderer = Renderer(reader, plain=True)
    pairs = [("First?", "Done."), ("First?D", "one."), ("First?", "Done. "), ("Third?", "Done.")]
    digests = [renderer.row(candidate(*pair)).digest for pair in pairs]
    assert len({*digests}) == len(pairs)
    assert digests[0] == Renderer(reader, plain=True).row(candidate(*pairs[0])).digest


def test_a_student_that_cannot_be_trained_is_told() -> None:
    bare = byte_level()
    with pytest.raises(StudentError, match=r"x\.jsonl row 3: the rows are conversations, and the "):
        Renderer(bare, plain=False).row(candidate("?", "!"))
    bare.eos_token = None
    with pytest.raises(StudentError, match="has no end-of-text token"):
        Renderer(bare, plain=True).row(candidate("?", "!"))
    assert len(Renderer(bare, plain=True, strict=False).row(candidate("?", "!")).after) == 0
    reader = tokenizer()
    reader.chat_template = "{{ raise_exception('no system turn') }}"
    for strict in (True, False):
        with pytest.raises(DataError, match=r"no system turn \(found \['system', 'user'"):
            Renderer(reader, plain=False, strict=strict).row(candidate(turns("?"), "!"))


@pytest.mark.parametrize("plain", [True, False])
def test_a_tokenizer_that_drops_text_of_the_response_is_refused(plain: bool) -> None:
    reader = tokenizer()
    reader.backend_tokenizer.normalizer = normalizers.Replace("§", "")
    renderer = Renderer(reader, plain=plain)
    with pytest.raises(StudentError, match=r"drops 2 characters of the response \(found '§§ 3'"):
        renderer.row(candidate("What is § 3?", "By §§ 3"))
    assert renderer.row(candidate("What is § 3?", "By 3")).response.ids.size


def test_white_space_is_that_after_the_visible_character_before_it() -> None:
    found = _match("p: ab  c\nd", "ab\ncd")
    assert found is not None
    begin, at = found
    assert (begin, at.tolist()) == (3, [0, 0, 0, 0, 1, 2, 2, 3, 3, 4])


def test_equal_texts_with_other_ids_are_scored_apart(llama: Any) -> None:
    """One row's arguments trim what another's keep; their prompts have the same ids."""
    reader = tokenizer()
    reader.chat_template = template("{% if tidy %}{{ c | trim }}{% else %}{{ c }}{% endif %}")
    text = "First step. Wait.\n\n"
    both = [candidate("?", text), candidate("?", text, chat_template_kwargs={"tidy": True})]
    rows = [Renderer(reader, plain=False).row(one) for one in both]
    assert rows[0].prompt.tolist() == rows[1].prompt.tolist()
    scorer = scorer_of(llama, reader)
    responses = [one.response for one in both]
    records = scorer.prepare_rows(rows, responses).score(scorer.score_prepared)
    assert [one.ids_digest for one in records] == [row.digest for row in rows]
    assert records[0].sums != records[1].sums
