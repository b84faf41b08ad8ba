"""A conversation has the scores of the definition, of the tokens that TRL trains on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from tokenizers import normalizers
from trl import SFTConfig, SFTTrainer

from lnat_plugins import load_teacher_set, score
from lnat_plugins.errors import DataError, LnatError, StudentError
from lnat_plugins.scoring import whole_conversations as whole
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.steps import SPLITTERS
from lnat_plugins.teacher_set import Response
from tests.engine.oracle import preceding, step_sums
from tests.harness.lab import evaluate, hf, records, write_set
from tests.helpers_students import assert_near, student, tokenizer
from tests.helpers_tokenizers import byte_level

WINDOWS = ["0", "1", "2", "50%", "global"]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add", "description": "Adds.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]  # fmt: skip
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}
WITH_TOOLS: list[dict[str, Any]] = [
    {"role": "user", "content": "What is 3 + 4?"},
    {"role": "assistant", "content": "\nWait. I add. Now.", "tool_calls": [CALL]},
    {"role": "tool", "name": "add", "content": "7 First step. Second step."},
    {"role": "assistant", "content": "So 3 + 4 = 7. Wait, is that so?\n"},
    {"role": "user", "content": "And 5?"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "Well?"},
    {"role": "assistant", "content": "Done. Five. Now the next one."},
    {"role": "user", "content": "Thanks."},
]
PLAIN: list[dict[str, Any]] = [
    {"role": "user", "content": "What is 3 + 4?"},
    {"role": "assistant", "content": "\nSo 3 + 4 = 7. Wait, is that so?\n"},
    {"role": "user", "content": "Well?"},
    {"role": "assistant", "content": "Done. Five. Now the next one."},
]

N_STEPS = {"turn": (3, 2), "sentence": (8, 5)}

MARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}{% for call in m.tool_calls or [] %}"
    "<call>{{ call.function | tojson }}</call>{% endfor %}<|end|>{% endgeneration %}\n"
    "{% else %}{{ m['content'] }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def marked() -> Any:
    """The usual tokenizer, with a template that marks what the assistant writes."""
    built = tokenizer()
    built.chat_template = MARKED
    return built


def conversations(*turns: Sequence[Mapping[str, Any]], **columns: Any) -> list[dict[str, Any]]:
    return [
        {"prompt_id": "p", "teacher": f"t{i}", "messages": list(one), **columns}
        for i, one in enumerate(turns)
    ]


def teacher_set(folder: Path, rows: Sequence[Mapping[str, Any]], **block: Any) -> Any:
    keys = {"layout": "messages", "turns": "all", "steps": "turn", "windows": WINDOWS}
    return load_teacher_set(write_set(folder, rows, block=keys | block))


def by_definition(
    model: Any, tok: Any, turns: Sequence[Mapping[str, Any]], steps: str, window: str,
    scripted: Sequence[int] = (), observations: str = "window",
) -> list[float]:  # fmt: skip
    """From transformers' own mask; a run of marked tokens is a turn, but for its end token.

    What stands between two turns is context of the later one wherever the earlier one is; with
    `observations: all` also where it is not; with `none`, without the contents.
    """
    if observations == "none":
        n = next(i for i, turn in enumerate(turns) if turn["role"] == "assistant")
        turns = [
            turn if i < n or turn["role"] == "assistant" else {**turn, "content": ""}
            for i, turn in enumerate(turns)
        ]
    ids, mask = masked(tok, turns)
    parts: list[list[int]] = []
    for i in np.flatnonzero(mask):
        if parts and parts[-1][-1] == i - 1:
            parts[-1].append(int(i))
        else:
            parts.append([int(i)])
    texts = [turn for i, turn in enumerate(turns) if turn["role"] == "assistant"]
    written = [i for i, turn in enumerate(turns) if turn["role"] == "assistant"]
    assert len(parts) == len(texts)
    begins: list[int] = []
    counts: set[int] = set()
    for place, part in zip(written, parts, strict=True):
        own = [i for i in part if ids[i] != tok.eos_token_id]
        if place in scripted or not own:
            continue
        counts.update(own)
        text = tok.decode([ids[i] for i in own])
        if steps == "turn":
            begins.append(own[0])
            continue
        ends = np.cumsum([len(tok.decode([ids[i]])) for i in own])
        for start, _ in SPLITTERS[steps].split(text):
            # The token that holds the first visible character of the step.
            first = start + len(text[start:]) - len(text[start:].lstrip()) if start else 0
            begins.append(own[int(np.searchsorted(ends, first, side="right"))])
    last = max(counts) + 1
    steps_of = [*itertools.pairwise([*begins, last])]
    cut = [ids[a:b] for a, b in steps_of]
    scored = [[i in counts for i in range(a, b)] for a, b in steps_of]
    prompt = ids[: begins[0]]
    if observations != "all":
        return step_sums(model, prompt, cut, window, scored)
    sums = []
    for step in range(len(cut)):
        begin = step - preceding(window, step)
        between = [ids[i] for i in range(begins[0], begins[begin]) if i not in counts]
        inside = [*itertools.chain(*cut[begin:step])]
        sums += step_sums(
            model, [*prompt, *between, *inside], [cut[step]], "0", [scored[step]]
        )  # fmt: skip
    return sums


def masked(tok: Any, turns: Sequence[Mapping[str, Any]], **options: Any) -> tuple[list[int], Any]:
    """Ids and mask as TRL's SFTTrainer asks for them with `assistant_only_loss`."""
    found = tok.apply_chat_template(
        [{**turn} for turn in turns], return_dict=True, return_assistant_tokens_mask=True, **options
    )
    return list(found["input_ids"]), np.array(found["assistant_masks"], bool)


@pytest.mark.parametrize("steps", ["turn", "sentence"])
@pytest.mark.parametrize("name", ["llama", "qwen3", "phi3", "gpt_neox", "mistral_sliding"])
def test_scores_are_those_of_the_definition(name: str, steps: str, tmp_path: Path) -> None:
    model, tok = student(name), marked()
    rows = conversations(WITH_TOOLS, PLAIN)
    found = score(model, tok, teacher_set(tmp_path, rows, steps=steps), sensitivity="none")
    for row, turns in zip(found.scored.rows, (WITH_TOOLS, PLAIN), strict=True):
        for window in WINDOWS:
            known = by_definition(model, tok, turns, steps, window)
            assert len(known) == N_STEPS[steps][turns is PLAIN]
            assert_near(row.record.sums[window], known)


def test_a_scripted_turn_is_context(tmp_path: Path) -> None:
    model, tok = student("llama"), marked()
    rows = conversations(PLAIN, PLAIN)
    rows[0]["scripted"] = [1]
    first, other = score(model, tok, teacher_set(tmp_path, rows)).scored.rows
    assert (len(first.record.tokens), len(other.record.tokens)) == (1, 2)
    for window in WINDOWS:
        known = by_definition(model, tok, PLAIN, "turn", window, scripted=[1])
        assert_near(first.record.sums[window], known)


def test_a_run_of_lm_eval_has_the_same_numbers(tmp_path: Path) -> None:
    rows = conversations(WITH_TOOLS, PLAIN, tools=TOOLS)
    own = teacher_set(tmp_path, rows)
    known = score(student("llama"), marked(), own)
    results = evaluate(tmp_path, hf(student("llama"), marked()), apply_chat_template=True)
    found = records(results)
    assert len(found) == 2
    for row in known.scored.rows:
        other = found["p", row.candidate.teacher, 0]
        for window in WINDOWS:
            assert_near(other["sums"][window], row.record.sums[window], 1e-5)


def test_a_scripted_call_stands_in_the_prompt_of_lm_eval(tmp_path: Path) -> None:
    """A template that takes no output of a tool without its call is given both."""
    tok = marked()
    tok.chat_template = MARKED.replace(
        "<|im_start|>{{ m['role'] }}",
        "{% if m.role == 'tool' and not loop.previtem.tool_calls %}"
        "{{ raise_exception('no call') }}{% endif %}<|im_start|>{{ m['role'] }}",
    )
    turns = [PLAIN[0], {"role": "assistant", "content": "", "tool_calls": [CALL]}, WITH_TOOLS[2]]
    rows = conversations([*turns, PLAIN[1]], [*turns, PLAIN[3]], scripted=[1])
    known = score(student("llama"), tok, teacher_set(tmp_path, rows))
    found = records(evaluate(tmp_path, hf(student("llama"), tok), apply_chat_template=True))
    for row in known.scored.rows:
        other = found["p", row.candidate.teacher, 0]
        assert_near(other["sums"]["global"], row.record.sums["global"], 1e-5)


EMPTY = re.compile(r"<(think)>\s*</think>")


def special(text: str) -> list[str]:
    """The tokens of a template that a tokenizer flags as special."""
    found = re.findall(r"<\|[^|<>\s]+\|>|<｜[^｜<>\s]+｜>|<(?:start|end)_of_\w+>|<turn\|>", text)
    return sorted({*found})


TEMPLATES = {
    path.name.removesuffix(".jinja"): path.read_text("utf-8")
    for path in sorted((files("trl") / "chat_templates").iterdir(), key=str)
    if path.name.endswith(".jinja") and not path.name.endswith("_training.jinja")
}
NO_TRAINING_TEMPLATE = "TRL has no training template"
ALTERNATE = "roles must alternate"
OF_PARTS = "'str object' has no attribute 'text'"
REFUSED = {
    ("cohere", "tools"): ALTERNATE,
    ("cohere2", "tools"): ALTERNATE,
    ("gemma", "tools"): ALTERNATE,
    ("gemma3", "tools"): ALTERNATE,
    ("diffusion_gemma", "tools"): "marks 4 turns of the assistant",
    **{(name, kind): OF_PARTS for name in ("llava_next",) for kind in ("tools", "text")},
    **{
        (name, kind): "writes nothing of what the teacher wrote"
        for name in ("idefics3", "smolvlm")
        for kind in ("tools", "text")
    },
    **{
        (name, kind): NO_TRAINING_TEMPLATE
        for name in TEMPLATES
        if name.startswith(("gemma4", "llama3_"))
        for kind in ("tools", "text")
    },
}
"""What cannot be scored, and why: TRL cannot train on it either, or takes turns of other kinds."""


@pytest.mark.parametrize("kind", ["tools", "text"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_scored_is_what_trl_trains_on_but_for_the_end_of_a_turn(name: str, kind: str) -> None:
    text = TEMPLATES[name]
    tok = byte_level()
    tok.add_special_tokens({"additional_special_tokens": special(text), "bos_token": "<|end|>"})
    tok.chat_template = text
    turns = [turn for turn in (WITH_TOOLS if kind == "tools" else PLAIN) if turn["content"]]
    extra = {"tools": TOOLS} if kind == "tools" else {}
    response = Response("t", "", extra=extra, turns=tuple(turns))
    renderer = Renderer(tok, plain=False)
    if (name, kind) in REFUSED:
        with pytest.raises(LnatError, match=re.escape(REFUSED[name, kind])):
            renderer.own(response)
        return
    response = renderer.own(response)
    row = renderer.response((), response)
    assert row.response.own is not None
    template = whole.training_template(tok)
    ids, mask = masked(tok, turns, chat_template=template, tools=extra.get("tools"))
    assert row.ids.tolist() == ids
    own = np.zeros(len(ids), bool)
    own[len(row.prompt) :][: len(row.response.ids)] = row.response.own
    assert not (own & ~mask).any()
    left = "".join(tok.decode([ids[i]]) for i in np.flatnonzero(mask & ~own)).split()
    n_turns = sum(turn["role"] == "assistant" for turn in turns)
    joined = "".join(left)
    assert 1 <= len(re.findall("|".join(map(re.escape, special(text))), joined)) <= n_turns
    for token in special(text):
        joined = joined.replace(token, "")
    assert EMPTY.sub("", joined) == ""
    for turn in turns:
        if turn["role"] == "assistant" and turn["content"].strip() not in response.text:
            assert row.notes


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "which are read in a chat template"),
        (tokenizer().chat_template, "Put {% generation %}"),
    ],
)
def test_a_template_without_marks_is_refused(
    template: str | None, message: str, tmp_path: Path
) -> None:
    tok = tokenizer()
    tok.chat_template = template
    own = teacher_set(tmp_path, conversations(PLAIN, PLAIN))
    with pytest.raises(StudentError, match=re.escape(message)):
        score(student("llama"), tok, own)


def test_a_template_that_drops_thinking_says_so(caplog: Any, tmp_path: Path) -> None:
    turns = [{**turn} for turn in PLAIN]
    turns[1]["reasoning_content"] = "Three and four."
    score(student("llama"), marked(), teacher_set(tmp_path, conversations(turns, PLAIN)))
    assert "1 of 2 responses: the chat template leaves out or changes part of a turn" in caplog.text


def test_a_tokenizer_that_drops_text_of_a_turn_is_refused(tmp_path: Path) -> None:
    tok = marked()
    tok.backend_tokenizer.normalizer = normalizers.Replace("§", "")
    turns = [{**turn} for turn in PLAIN]
    turns[-1]["content"] = "By §§ 3"
    own = teacher_set(tmp_path, conversations(turns, PLAIN))
    with pytest.raises(StudentError, match="drops 2 characters of the response"):
        score(student("llama"), tok, own)


def test_another_template_than_scored_with_is_refused() -> None:
    response = Response("t", "another text", turns=tuple(PLAIN))
    with pytest.raises(DataError, match="otherwise than they were scored"):
        Renderer(marked(), plain=False).response((), response)


def test_trl_trains_on_what_was_scored(tmp_path: Path) -> None:
    """From the files that `lnat select` writes: the labels of `trl sft` are the scored tokens."""
    tok = byte_level()
    text = TEMPLATES["qwen3"]
    tok.add_special_tokens({"additional_special_tokens": special(text)})
    tok.eos_token = tok.pad_token = "<|im_end|>"
    tok.chat_template = text
    greeted = [{"role": "assistant", "content": "Yes?"}, *WITH_TOOLS]
    rows = conversations(WITH_TOOLS, PLAIN, greeted, tools=TOOLS)
    rows[2]["scripted"] = [0]
    for i, row in enumerate(rows):
        row["prompt_id"] = f"p{i}"
    model = student("llama", vocab_size=len(tok), max_position_embeddings=4096)
    scores = score(model, tok, teacher_set(tmp_path, rows, min_teachers=1, windows=["1"]))
    scores.write(scores.select("best"), tmp_path / "chosen")
    settings = yaml.safe_load((tmp_path / "chosen" / "sft.yaml").read_text("utf-8"))
    assert settings["assistant_only_loss"] is True
    files = settings["datasets"][0]["data_files"]
    data = datasets.load_dataset("parquet", data_files=files, split="train")
    trainer = SFTTrainer(
        model, SFTConfig(
            str(tmp_path / "out"), assistant_only_loss=True, max_length=None, use_cpu=True,
            report_to="none", bf16=False,
        ),
        train_dataset=data, processing_class=tok,
    )  # fmt: skip
    renderer = Renderer(tok, plain=False)
    by_teacher = {row.candidate.teacher: row.candidate for row in scores.scored.rows}
    assert len(data) == 3
    for teacher, trained in zip(data["lnat_teacher"], trainer.train_dataset, strict=True):
        own = renderer.row(by_teacher[teacher])
        assert own.response.own is not None
        assert trained["input_ids"] == own.ids.tolist()
        labelled = np.array(trained["labels"]) >= 0
        scored = np.zeros(len(own.ids), bool)
        scored[len(own.prompt) :][: len(own.response.ids)] = own.response.own
        assert not (scored & ~labelled).any()
        left = tok.decode(own.ids[labelled & ~scored])
        assert EMPTY.sub("", left.replace("<|im_end|>", "")).strip() == ""


def test_other_formats_hold_no_conversation(tmp_path: Path) -> None:
    scores = score(student("llama"), marked(), teacher_set(tmp_path, conversations(PLAIN, PLAIN)))
    with pytest.raises(DataError, match="one turn a response.*--format trl"):
        scores.write(scores.select("random"), tmp_path / "chosen", format="verl")


def test_equal_text_of_other_turns_is_another_response(tmp_path: Path) -> None:
    again = {"role": "assistant", "content": "So 3 + 4 = 7."}
    asked = {"role": "user", "content": "Well?"}
    turns = [asked, again, asked, again, asked, again, asked, PLAIN[-1]]
    rows = conversations(turns, turns)
    rows[0]["scripted"], rows[1]["scripted"] = [3], [5]
    model, tok = student("llama", max_position_embeddings=1024), marked()
    first, other = score(model, tok, teacher_set(tmp_path, rows)).scored.rows
    assert first.candidate.text == other.candidate.text
    assert first.record.ids_digest != other.record.ids_digest
    for row, scripted in ((first, [3]), (other, [5])):
        known = by_definition(model, tok, turns, "turn", "1", scripted=scripted)
        assert_near(row.record.sums["1"], known)
    assert abs(first.record.sums["1"][1] - other.record.sums["1"][1]) > 1e-3


def steps_of(tmp_path: Path, *turns: str, steps: str = "turn") -> tuple[int, ...]:
    """Scored tokens of each step of a conversation of these turns."""
    asked = {"role": "user", "content": "Well?"}
    own = [part for text in turns for part in (asked, {"role": "assistant", "content": text})]
    rows = conversations(own, own)
    model = student("llama", max_position_embeddings=1024)
    found = score(model, marked(), teacher_set(tmp_path, rows, steps=steps, windows=["0"]))
    return found.scored.rows[0].record.tokens


@pytest.mark.parametrize("short", ["B.", "1.", "---", "Final answer"])
def test_a_short_turn_is_a_step_of_its_own(short: str, tmp_path: Path) -> None:
    alone = steps_of(tmp_path / "alone", short)
    both = steps_of(tmp_path / "both", short, "Because 3 + 4 = 7.")
    assert len(alone) == 1
    assert both[0] == alone[0]
    assert len(both) == 2


@pytest.mark.parametrize("first", ["answer\nfoo", "I write <answer> here.", "Done\n"])
def test_tags_of_one_turn_say_nothing_of_another(first: str, tmp_path: Path) -> None:
    for i, other in enumerate(("Some words,\nanswer\nbar", "7</answer>", "<think>So.</think>7")):
        both = steps_of(tmp_path / f"both{i}", first, other)
        alone = (*steps_of(tmp_path / f"a{i}", first), *steps_of(tmp_path / f"b{i}", other))
        assert both == alone


def test_tools_are_not_counted_as_tags(tmp_path: Path) -> None:
    rows = conversations(WITH_TOOLS, PLAIN)
    scores = score(student("llama"), marked(), teacher_set(tmp_path, rows))
    assert all(not row.record.tag_sums for row in scores.scored.rows)


def test_conversations_that_differ_in_what_tools_said_are_no_duplicates(tmp_path: Path) -> None:
    other = [{**turn} for turn in WITH_TOOLS]
    other[2]["content"] = "Error: no such tool."
    rows = conversations(WITH_TOOLS, other)
    chosen = score(student("llama"), marked(), teacher_set(tmp_path, rows)).select("best")
    assert not any(reason.startswith("duplicate") for reason in chosen.reasons.values())


@pytest.mark.parametrize("content", ["think", "t", "Seven."])
def test_an_empty_thinking_part_of_the_template_is_not_the_teachers(content: str) -> None:
    tok = byte_level()
    tok.add_special_tokens({"additional_special_tokens": special(TEMPLATES["qwen3"])})
    tok.chat_template = TEMPLATES["qwen3"]
    turns = (PLAIN[0], {"role": "assistant", "content": content})
    assert Renderer(tok, plain=False).own(Response("t", "", turns=turns)).text == content
