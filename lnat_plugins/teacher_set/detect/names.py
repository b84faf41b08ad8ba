"""What the name of a column says it may hold; its content decides, see `profile`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final, Literal, NamedTuple

Role = Literal[
    "prompt", "response", "think", "correct", "reference", "teacher", "sample", "prompt_id",
    "system", "",
]  # fmt: skip

_CUT: Final = re.compile(r"([\s_\-./:]|(?<=[a-z])(?=[A-Z]))")
_SPLIT: Final = re.compile(r"[\s_\-./:]+|(?<=[a-z])(?=[A-Z])")

_SEPARATED: Final = re.compile(r"([_.\- ]+)")

_ABOUT: Final = frozenset(
    "id ids idx index type types source sources category domain count counts num tokens token "
    "length len hash url lang language date time version license config configs configuration "
    "name score scores rate tags tag finish metadata meta embedding level difficulty topic "
    "subject split params mode format kind seed quality usage cost history tools".split()
)
"""Words of columns about a row, which hold none of its text."""

_COMMENT: Final = frozenset(
    "reason reasons explanation comment comments feedback critique critiques review judge".split()
)
_VERDICT: Final = frozenset(
    "correct correctness right verdict grade grades graded passed pass verified verify success "
    "solved resolved judgement judgment accuracy acc".split()
)
_REFERENCE: Final = frozenset(
    "ground groundtruth truth gt reference ref gold golden expected final target official label "
    "human".split()
)
_THINK: Final = frozenset(
    "think thinking thought thoughts reasoning reasonings cot rationale trajectory trajectories "
    "scratchpad chain".split()
)
_RESPONSE: Final = frozenset(
    "response responses output outputs completion completions generation generations generated "
    "attempt attempts prediction predictions predicted reply replies pred".split()
)
_MAYBE_RESPONSE: Final = frozenset(
    "answer answers solution solutions trace traces text result results assistant".split()
)
_SOLUTION: Final = frozenset("answer answers solution solutions result results".split())
_PROMPT: Final = frozenset(
    "prompt prompts question questions problem problems instruction instructions query queries "
    "input inputs user".split()
)
_EARLIER: Final = frozenset("prev previous history earlier fewshot demonstrations".split())
_FILLER: Final = frozenset("is was the model full raw my by of content text col column".split())

_SYSTEM: Final = frozenset(("system", "sys"))
_SYSTEM_MORE: Final = frozenset(
    "prompt prompts message instruction instructions text content custom default".split()
)

PROMPT_NAMES: Final = (
    "prompt", "question", "problem", "instruction", "query", "input", "messages", "conversations",
    "conversation", "problem_statement", "user_prompt",
)  # fmt: skip
"""Names that say "this is the prompt" without more words."""

CONTEXT_NAMES: Final = (
    "context", "passage", "document", "background", "choices", "options", "starter_code", "story",
    "article", "paragraph", "premise", "hypothesis", "table", "schema", "image", "images", "audio",
    "video",
)  # fmt: skip
"""Names of text that may belong to a prompt."""

ID_NAMES: Final = (
    "prompt_id", "question_id", "problem_id", "instruction_id", "qid", "task_id", "doc_id",
    "example_id", "custom_id", "id", "uuid", "idx", "index",
)  # fmt: skip
SAMPLE_NAMES: Final = (
    "sample", "sample_id", "sample_idx", "sample_index", "attempt", "rollout", "rollout_id",
    "rollout_idx", "trial", "seed", "generation_id", "generation_idx", "completion_id", "run",
    "response_id", "response_idx", "choice_index",
)  # fmt: skip
_TEACHER: Final = re.compile(
    r"(teacher|teacher_id|generator|author|llm|engine|responder|annotator_model"
    r"|((teacher|source|generation|generator|gen|response|answer|completion|reasoning|solution)_?)?"
    r"models?(_?(name|names|id|used))?|generated_by|teacher_name)"
)
_MODEL: Final = re.compile(
    r"gpt|claude|gemini|gemma|qwen|qwq|llama|deepseek|mistral|mixtral|kimi|grok|opus|sonnet|haiku"
    r"|nemotron|olmo|vicuna|falcon|command-?r|granite|minimax|glm|phi-?\d|(?<![a-z])(?:r1|o1|o3|o4"
    r"|s1|yi|v3|dsq|limo)(?![a-z])|\d+b(?![a-z])",
    re.IGNORECASE,
)


class Named(NamedTuple):
    """What a name says.

    role: "" where it says nothing.
    rank: of a response or a prompt: 0 = this name is usual, 1 = it may mean something else.
    rest: the name without the words of its role and without a number at the end: whose it is.
    number: the number at the end, or "".
    """

    role: Role
    rank: int = 0
    rest: str = ""
    number: str = ""


ABOUT: Final = Named("")
"""What the name of a column says that holds none of a row's text."""


def read_name(name: str) -> Named:
    """The role that a column's name suggests."""
    words = [word.lower() for word in _SPLIT.split(name) if word]
    plain, own = "_".join(words), frozenset(words)
    if _TEACHER.fullmatch(plain):
        return Named("teacher", 0 if plain == "teacher" else 1)
    if own & _SYSTEM and own <= _SYSTEM | _SYSTEM_MORE:
        return Named("system")
    if plain in PROMPT_NAMES:
        return Named("prompt")
    if own & _ABOUT or own & _COMMENT:
        return ABOUT
    usual = own & _RESPONSE
    asked = own & _PROMPT and not own & _SOLUTION
    for role, fits, rank in (
        ("correct", own & _VERDICT, 0),
        ("reference", own & (_REFERENCE - ({"final"} if usual else set())), 0),
        ("think", own & _THINK, 0),
        ("response", usual, 0),
        ("prompt", asked, 1),
        ("response", own & _MAYBE_RESPONSE, 1),
        ("prompt", own & _PROMPT, 1),
    ):
        if fits:
            rest, number = _whose(name)
            return Named(role, rank, rest, number)  # type: ignore[arg-type]
    return Named("", 1, name)


def _whose(name: str) -> tuple[str, str]:
    """A name without the words of its role, and the number behind the last of these."""
    said = _VERDICT | _THINK | _RESPONSE | _MAYBE_RESPONSE | _FILLER
    parts = [part for part in _CUT.split(name) if part]
    number = ""
    if len(parts) > 2 and parts[-1].isdecimal() and parts[-3].lower() in said:
        number = parts[-1]
        parts = parts[:-2]
    kept = [part for part in parts if part.lower() not in said]
    return re.sub(r"([_\s\-./:])[_\s\-./:]+", r"\1", "".join(kept)).strip("_-./: "), number


def differing_parts(names: Sequence[str]) -> list[str]:
    """The part of each name that differs, cut at separators: "run_r1", "run_qwq" as r1 and qwq."""
    parts = [_SEPARATED.split(name) for name in names]
    start = _shared_start(parts)
    end = _shared_start([own[start:][::-1] for own in parts])
    cut = ["".join(own[start : len(own) - end]).strip("_.- ") for own in parts]
    return cut if all(cut) and len(set(cut)) == len(cut) else list(names)


def _shared_start(parts: Sequence[Sequence[str]]) -> int:
    columns = takewhile(lambda own: len(set(own)) == 1, zip(*parts, strict=False))
    return sum(1 for _ in columns)


def is_model_name(name: str) -> bool:
    """Whether a text looks like the name of a language model."""
    return _MODEL.search(name) is not None


def is_earlier(name: str) -> bool:
    """Whether a name says that its turns stand before those of the row."""
    return any(word.lower() in _EARLIER for word in _SPLIT.split(name))
