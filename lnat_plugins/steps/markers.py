r"""Find what is markup and no reasoning: tags, role markers, and pieces that hold nothing else.

Every step weighs the same in local naturalness, so a line that holds only ``</think>`` must not
be a step: how natural that tag is to a student says how it was formatted, not what was reasoned.

A *tag* is chat formatting that the student's template may own: a thinking or answer tag, a special
token that is spelled out, a bare role word on a line of its own. *Markup* is a tag, or a piece of
text that holds only a rule, a fence, marks of headings or lists, or the label of a part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from lnat_plugins.steps.blocks import Span, has_blank_line
from lnat_plugins.steps.protected import code_regions, matches_outside

_THINKING: Final = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad"
_ANSWER: Final = "answer|final_answer|final|solution|response|conclusion"
_ROLES: Final = "assistant|user|system|tool|model|analysis|commentary|final|think|thought|answer"
# Names between <| and |>; `<|psi>` and `<|x|>` are formulas.
_TOKENS: Final = (
    r"[A-Za-z]{2,40}_[A-Za-z]\w{0,40}|start|end|message|channel|return|call|constrain|endoftext|user"
    r"|assistant|system|tool|think|thought"
)
_CHINESE: Final = "思考|思考过程|推理|分析|回答|答案|最终答案|解答"
_LABELS: Final = (
    "(?:final )?(?:answer|solution|response)|(?:thinking|thought|reasoning) process|"
    f"{_THINKING}|conclusion|final|{_CHINESE}"
)

# Every branch begins with a literal, so that the regex engine jumps from candidate to candidate.
_TAG: Final = re.compile(
    rf"<(?P<close>/)?(?:seed:)?(?:(?:{_THINKING})|(?P<answer>{_ANSWER}))>"
    rf"|<(?:\|(?:{_TOKENS})\||｜[^｜<>\r\n]{{1,40}}｜)>(?:(?:{_ROLES})(?![^\W_]))?"
    rf"|<(?:start|end)_of_turn>(?:(?:{_ROLES})(?![^\W_]))?"
    r"|</?s>|\[/?(?:INST|THINK)\]|◁/?think▷",
    re.IGNORECASE,
)
_BARE: Final = re.compile(
    rf"^[^\S\n]*(?P<word>{_THINKING}|{_ANSWER}|{_CHINESE})[^\S\n]*$", re.IGNORECASE | re.MULTILINE
)
_FINISHED: Final = '.!?。！？…:：)]}$"”»`*'
"""What the line before a bare role word ends with, unless the text begins with such a word."""
_REACH: Final = 64  # characters read before a tag

_RULE: Final = re.compile(r"[-*_=~#>|+•‣◦▪●–—·:\s]*|\s*(?:```+|~~~+)[\w+#.-]*\s*")
_LABEL: Final = re.compile(
    r"[(\[*_]*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.):][*_)\]]*"  # an enumerator
    r"|</?[A-Za-z][\w-]{0,20}>"
    rf"|[-*_#>\s]*(?:{_LABELS})[*_\s]*[:：]?[*_\s]*",
    re.IGNORECASE,
)
_LONGEST_LABEL: Final = 64


def find_tags(text: str) -> list[Span]:
    r"""The spans of the tags in `text`: ascending, disjoint, without white space around them.

    - thinking tags: ``<think>`` and its kin, opened or closed, paired or not;
    - answer tags: ``<answer>`` and its kin in pairs, a closing one alone, and an opening one alone
      that begins a line (``write it in <answer> tags`` only mentions one);
    - special tokens spelled out, such as ``<|im_start|>assistant`` or ``<｜Assistant｜>``;
    - bare role words: ``think``, ``answer``, ``回答`` and the like on a line of their own, at the
      start of the text, after a blank line or a finished one, or anywhere in a text that begins
      with one.

    None inside code. Time is linear in the text.
    """
    code = code_regions(text)
    marks = [*matches_outside(_TAG, text, code)]
    paired = _paired(marks)
    tags = [one.span() for one in marks if _is_tag(text, one, paired)]
    # `^` and `$` do not see "\r"; replacing it keeps every offset.
    words = [one.span("word") for one in matches_outside(_BARE, text.replace("\r", "\n"), code)]
    first = bool(words) and not text[: words[0][0]].strip()
    tags += [span for span in words if first or _after_finished_line(text, span[0])]
    return sorted(tags)


def _paired(marks: Iterable[re.Match[str]]) -> set[int]:
    """Where the opening answer tags begin that a later tag of that name closes."""
    opened: dict[str, int] = {}
    paired = set()
    for one in marks:
        if name := one["answer"]:
            if not one["close"]:
                opened[name.lower()] = one.start()
            elif name.lower() in opened:
                paired.add(opened.pop(name.lower()))
    return paired


def _is_tag(text: str, mark: re.Match[str], paired: set[int]) -> bool:
    """Whether it is one, and not only mentioned in a sentence."""
    if not mark["answer"] or mark["close"] or mark.start() in paired:
        return True
    before = text[max(0, mark.start() - _REACH) : mark.start()].rstrip(" \t")
    return not before or before[-1] in "\r\n"


def _after_finished_line(text: str, start: int) -> bool:
    before = text[max(0, start - _REACH) : start]
    visible = before.rstrip()
    return not visible or visible[-1] in _FINISHED or has_blank_line(before[len(visible) :])


def without_tags(text: str, tags: Iterable[Span]) -> str:
    """The text with blanks in place of its tags; every offset stays."""
    return "".join(_kept_and_blank(text, tags))


def _kept_and_blank(text: str, tags: Iterable[Span]) -> Iterator[str]:
    reached = 0
    for start, end in tags:
        yield text[reached:start]
        yield " " * (end - start)
        reached = end
    yield text[reached:]


def join_markup(blanked: str, spans: Iterable[Span]) -> list[Span]:
    """Join each span that holds only markup to the one after it, at the end to the one before it.

    Args:
        blanked: the text as `without_tags` gives it.
        spans: tile the text.
    """
    joined: list[Span] = []
    begin = -1  # where the markup that waits for the next span began
    end = 0
    for start, end in spans:
        if begin < 0:
            begin = start
        if not _is_markup(blanked, start, end):
            joined.append((begin, end))
            begin = -1
    if begin >= 0:
        joined.append((joined.pop()[0] if joined else begin, end))
    return joined


def _is_markup(blanked: str, start: int, end: int) -> bool:
    if _RULE.fullmatch(blanked, start, end):
        return True
    piece = blanked[start:end].strip()
    return len(piece) <= _LONGEST_LABEL and _LABEL.fullmatch(piece) is not None
