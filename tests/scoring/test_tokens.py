"""Token ids of responses: every token belongs to one step, and no text is lost."""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.tokens import check_tokenizer
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.markers import find_tags, without_tags
from tests.helpers_tokenizers import byte_level, metaspace
from tests.scoring.builders import encode


@pytest.fixture(scope="module", params=["offsets_with_blank", "offsets_without_blank"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return byte_level(trim_offsets=request.param == "offsets_without_blank")


def pieces(tokenizer: Any, text: str, how: str = "sentence", **kwargs: Any) -> list[str]:
    """The text of each step's tokens."""
    encoded = encode(tokenizer, text, parse_steps(how), **kwargs)
    return [
        tokenizer.decode(encoded.ids[a:b])
        for a, b in zip(encoded.bounds, encoded.bounds[1:], strict=False)
    ]


def test_the_first_word_of_a_step_is_its_own_although_its_token_begins_with_the_blank(
    tokenizer: Any,
) -> None:
    assert " Second" in tokenizer.convert_tokens_to_string(tokenizer.tokenize("step. Second"))
    assert pieces(tokenizer, "First step. Second step.") == ["First step.", " Second step."]


def test_a_token_that_holds_the_stop_and_the_blank_line_ends_the_step(tokenizer: Any) -> None:
    text = "First step.\n\nSecond step."
    assert len(tokenizer(".\n\n")["input_ids"]) == 1
    assert pieces(tokenizer, text) == ["First step.\n\n", "Second step."]


def test_white_space_alone_stays_with_the_step_before(tokenizer: Any) -> None:
    assert pieces(tokenizer, "Third one:\n\n\nSecond step.", "paragraph")[1] == "Second step."


def test_metaspace_agrees_with_byte_level() -> None:
    encoded = encode(metaspace(), "First step. Second step.", parse_steps("sentence"))
    assert encoded.spans == ((0, 12), (12, 24))
    assert encoded.bounds == (0, 2, 4)


def test_a_response_that_begins_with_newlines_loses_none(tokenizer: Any) -> None:
    encoded = encode(tokenizer, "\n\nFirst step. Second step.", parse_steps("sentence"))
    assert encoded.spans[0][0] == 0
    assert tokenizer.decode(encoded.ids) == "\n\nFirst step. Second step."


@pytest.mark.parametrize(
    "text",
    [
        "是的。我们计算。",
        "One 🎉🎉. Two 🎉.",
        "a\r\nb\r\nc",
        "null\x00byte. Next.",
        "e\u0301. Next one.",
    ],
)
def test_awkward_text_is_tiled(tokenizer: Any, text: str) -> None:
    encoded = encode(tokenizer, text, parse_steps("sentence"))
    assert tokenizer.decode(encoded.ids) == text
    assert "".join(text[a:b] for a, b in encoded.spans) == text


def test_a_step_that_lies_inside_one_token_joins_the_step_before(tokenizer: Any) -> None:
    text = "step step"
    assert len(tokenizer(text)["input_ids"]) == 3  # "st", "ep", " step"
    encoded = encode(tokenizer, text, parse_steps("supplied"), steps=["step", " s", "te", "p"])
    assert encoded.spans == ((0, 4), (4, 9))
    assert encoded.tokens_per_step == (2, 1)


def test_steps_of_n_tokens(tokenizer: Any) -> None:
    encoded = encode(tokenizer, "First step. Second step.", parse_steps("tokens:2"))
    assert set(encoded.tokens_per_step[:-1]) == {2}
    assert encoded.spans[0][0] == 0 and encoded.spans[-1][1] == 24


def test_steps_of_n_tokens_never_cut_a_character(tokenizer: Any) -> None:
    text = "🎉🎊🎈"
    assert len(tokenizer(text)["input_ids"]) == 12  # four bytes each
    encoded = encode(tokenizer, text, parse_steps("tokens:3"))
    assert encoded.spans == ((0, 1), (1, 2), (2, 3))


def test_a_special_token_spelled_out_is_what_the_tokenizer_makes_of_it(tokenizer: Any) -> None:
    encoded = encode(tokenizer, "Done. <|end|> Next step.", parse_steps("sentence"))
    assert tokenizer.eos_token_id in encoded.ids


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(StudentError, match="no character offsets.*Slow.*fast tokenizer"):
        check_tokenizer(Slow())


def test_a_tokenizer_that_drops_text_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Replace("b", "")
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    with pytest.raises(StudentError, match=r"row 3: the student's tokenizer drops 1 char.*'b a'"):
        encode(fast, "a b a", parse_steps("sentence"), where="row 3")


def test_supplied_steps_are_required_where_asked_for(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="row 3: the row carries no steps.*supplied_or_sentence"):
        encode(tokenizer, "a b", parse_steps("supplied"), where="row 3")


def test_supplied_or_sentence_takes_what_there_is(tokenizer: Any) -> None:
    text = "First step. Second step."
    own = pieces(tokenizer, text, "supplied_or_sentence", steps=["First ", "step. Second step."])
    assert own == ["First", " step. Second step."]
    assert pieces(tokenizer, text, "supplied_or_sentence") == ["First step.", " Second step."]


def counted(tokenizer: Any, text: str, how: str = "sentence", **options: Any) -> list[str]:
    """The text of each step's tokens that count, those of tags in brackets."""
    markers = options.pop("markers", "skip")
    encoded = encode(tokenizer, text, parse_steps(how, markers=markers), **options)
    found = []
    for begin, end in pairwise(encoded.bounds):
        parts = groupby(range(begin, end), encoded.scored.__getitem__)
        found.append(
            "".join(
                text if counts else f"[{text}]"
                for counts, part in parts
                for text in [tokenizer.decode(encoded.ids[list(part)])]
            )
        )
    return found


TAGGED = "<think>\nFirst step. Second step.\n</think>\n\nThird one: done."


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (TAGGED, ["[<think>\n]First step.", " Second step.\n", "[</think>\n\n]Third one: done."]),
        ("First step.</think>Done it is.", ["First step.", "[</think>]Done it is."]),
        ("Third: <answer>7</answer>. Second.", ["Third:[ <answer>]7[</answer>].", " Second."]),
        ("think\nFirst step.\nanswer\n7777", ["[think\n]First step.\n", "[answer\n]7777"]),
        ("First step.\n\n</think>\n\n", ["First step.\n\n[</think>\n\n]"]),
        ("\n\n<think>\r\n\nFirst step", ["[\n\n<think>\r\n\n]First step"]),
        ("First step. <|end|>", ["First step.[ <|end|>]"]),
        ("In <answer> tags.", ["In <answer> tags."]),
        ("Code `<think>` it.", ["Code `<think>` it."]),
    ],
)
def test_tokens_of_tags_do_not_count(text: str, steps: list[str], tokenizer: Any) -> None:
    """A token that begins in a tag, or in white space beside one."""
    assert counted(tokenizer, text) == steps
    keep = counted(tokenizer, text, markers="keep")
    assert keep == ["".join(re.sub(r"\[([^\]]*)\]", r"\1", step)) for step in steps]


def test_a_token_that_holds_the_end_of_a_sentence_and_a_tag_counts_as_it_begins() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([".</", ">Done"])
    found = counted(tokenizer, "First step.</think>Done it is.")
    assert found == ["First step.</", "[think>Done] it is."]


@pytest.mark.parametrize(
    ("how", "steps"),
    [
        ("line", ["[<think>\n]First step. Second step.\n", "[</think>\n\n]Third one: done."]),
        ("paragraph", ["[<think>\n]First step. Second step.\n[</think>\n\n]", "Third one: done."]),
        ("turn", ["[<think>\n]First step. Second step.\n[</think>\n\n]", "Third one: done."]),
        ("supplied_or_sentence", ["[<think>\n]First step.", " Second step.\n",
                                  "[</think>\n\n]Third one: done."]),
    ],
)  # fmt: skip
def test_every_splitter_leaves_tags_out(how: str, steps: list[str], tokenizer: Any) -> None:
    assert counted(tokenizer, TAGGED, how) == steps


def test_what_a_splitter_cuts_off_is_kept_as_it_is_with_keep(tokenizer: Any) -> None:
    lines = ["<think>\n", "First step. Second step.\n", "</think>\n\n", "Third one: done."]
    assert counted(tokenizer, TAGGED, "line", markers="keep") == lines
    assert counted(tokenizer, TAGGED, "supplied", markers="keep", steps=lines) == lines
    joined = ["[<think>\n]First step. Second step.\n", "[</think>\n\n]Third one: done."]
    assert counted(tokenizer, TAGGED, "supplied", steps=lines) == joined


@pytest.mark.parametrize("n", [1, 2, 3, 5, 100])
def test_steps_of_n_tokens_count_tags_and_do_not_score_them(n: int, tokenizer: Any) -> None:
    """N tokens read; a step of tags alone joins the one before, the first one that after."""
    encoded = encode(tokenizer, TAGGED, parse_steps(f"tokens:{n}"))
    keep = encode(tokenizer, TAGGED, parse_steps(f"tokens:{n}", markers="keep"))
    assert {*encoded.bounds} <= {*keep.bounds}
    assert min(encoded.tokens_per_step) > 0
    assert counted(tokenizer, TAGGED, "tokens:100") == [
        "[<think>\n]First step. Second step.\n[</think>\n\n]Third one: done."
    ]
    for begin, end in pairwise(keep.bounds):  # each is a step of its own if it has a token to score
        assert begin in encoded.bounds or not encoded.scored[begin:end].any() or begin == 0 or (
            not encoded.scored[:begin].any()
        )  # fmt: skip


@pytest.mark.parametrize("how", ["sentence", "line", "paragraph", "turn", "tokens:2"])
def test_a_response_of_tags_alone_is_one_step_without_a_score(how: str, tokenizer: Any) -> None:
    text = "<think>\n\n</think>\n\nanswer\n"
    encoded = encode(tokenizer, text, parse_steps(how))
    n = len(encoded.ids)
    assert (encoded.bounds, encoded.spans) == ((0, n), ((0, len(text)),))
    assert not encoded.scored.any()
    assert (encoded.tokens_per_step, encoded.tags_per_step) == ((0,), (n,))
    keep = encode(tokenizer, text, parse_steps(how, markers="keep"))
    assert keep.scored.all() and keep.tags_per_step == ()


def test_where_tokens_end(tokenizer: Any) -> None:
    encoded = encode(tokenizer, "First 🎉.", parse_steps("sentence"))
    assert encoded.ends.tolist()[-1] == 8
    assert encoded.ends.tolist() == sorted(encoded.ends)
    assert [*encoded.scored_in(0)] == [*range(len(encoded.ids))]


@settings(deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(["<think>", "</think>", "\n", "\n\n", " ", "First step.", " Wait", "7", "`",
                         "<answer>", "</answer>", "think\n", "answer\n", "---\n", "🎉", "。"]),
        min_size=1, max_size=14,
    ).filter(lambda found: "".join(found).strip()),
    how=st.sampled_from(["sentence", "line", "paragraph", "turn", "tokens:1", "tokens:3"]),
    markers=st.sampled_from(["skip", "keep"]),
)  # fmt: skip
def test_every_step_has_a_token_that_counts_unless_there_is_none(
    pieces: list[str], how: str, markers: Any
) -> None:
    text = "".join(pieces)
    encoded = encode(_SHARED, text, parse_steps(how, markers=markers))
    assert "".join(text[a:b] for a, b in encoded.spans) == text
    assert encoded.bounds[0] == 0 and encoded.bounds[-1] == len(encoded.ids)
    assert len(encoded.bounds) == encoded.n_steps + 1
    assert min(encoded.tokens_per_step) >= 1 or (
        encoded.n_steps == 1 and not without_tags(text, find_tags(text)).strip()
    )
    assert encoded.scored.all() or markers == "skip"
    tags = encoded.tags_per_step or (0,) * encoded.n_steps
    sizes = [end - begin for begin, end in pairwise(encoded.bounds)]
    assert [a + b for a, b in zip(encoded.tokens_per_step, tags, strict=True)] == sizes


@settings(deadline=None)
@given(
    text=st.text(min_size=1).filter(lambda t: t.strip() and t.isprintable()),
    steps=st.sampled_from(["sentence", "line", "paragraph", "tokens:1", "tokens:3"]),
)
def test_steps_tile_the_text_and_their_tokens_tile_the_response(text: str, steps: str) -> None:
    encoded = encode(_SHARED, text, parse_steps(steps, markers="keep"))
    assert encoded.spans[0][0] == 0 and encoded.spans[-1][1] == len(text)
    assert all(a[1] == b[0] for a, b in zip(encoded.spans, encoded.spans[1:], strict=False))
    assert encoded.bounds[0] == 0 and encoded.bounds[-1] == len(encoded.ids)
    assert min(encoded.tokens_per_step) >= 1
    assert len(encoded.bounds) == len(encoded.spans) + 1


_SHARED = byte_level()
