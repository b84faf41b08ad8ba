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

_SPLIT: Final = re.compile(r"[\s_\-./:]+|(?<=[a-z])(?=[A-Z])")

_SEPARATED: Final = re.compile(r"([_.\- ]+)")

_ABOUT: Final = frozenset(
    "id ids idx index type types source sources category domain count counts num tokens token "
    "length len hash url lang language date time version license config configs configuration "
    "name score scores rate tags tag finish metadata meta embedding level difficulty topic "
    "subject split params mode format kind seed quality usage cost history tools".split()
)
"""Words of columns about a row, which hold none of its text."""

_COMMENT: Final = frozenset("reason reasons explanation comment comments feedback".split())
_VERDICT: Final = frozenset(
    "correct correctness right verdict grade grades graded passed pass verified verify success "
    "solved judgement judgment accuracy acc".split()
)
_REFERENCE: Final = frozenset(
    "ground groundtruth truth gt reference ref gold golden expected final target official label "
    "human".split()
)
_THINK: Final = frozenset(
    "think thinking thought thoughts reasoning cot rationale trajectory trajectories scratchpad "
    "chain".split()
)
_RESPONSE: Final = frozenset(
    "response responses output outputs completion completions generation generations generated "
    "attempt attempts prediction predictions predicted reply replies pred".split()
)
_MAYBE_RESPONSE: Final = frozenset(
    "answer answers solution solutions trace traces text result results assistant".split()
)
_PROMPT: Final = frozenset("prompt prompts question problem instruction query input".split())
_FILLER: Final = frozenset("is was the model full raw my by of content text col column".split())

PROMPT_NAMES: Final = (
    "prompt", "question", "problem", "instruction", "query", "input", "messages", "conversations",
    "conversation", "problem_statement", "user_prompt",
)  # fmt: skip
"""Names that say "this is the prompt" without more words."""

SYSTEM_NAMES: Final = ("system", "system_prompt", "system_message", "system_instruction")
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
    r"(teacher|generator|author|llm|engine|responder|annotator_model"
    r"|((teacher|source|generation|generator|gen|response|answer|completion|reasoning|solution)_?)?"
    r"models?([ _]?(name|names|id|used))?|generated_by|teacher_name|models?_names?)",
    re.IGNORECASE,
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


def read_name(name: str) -> Named:
    """The role that a column's name suggests."""
    plain = name.strip().lower()
    if _TEACHER.fullmatch(name.strip()):
        return Named("teacher", 0 if plain == "teacher" else 1)
    if plain in SYSTEM_NAMES:
        return Named("system")
    if plain in PROMPT_NAMES:
        return Named("prompt")
    words = [word for word in _SPLIT.split(name) if word]
    number = words.pop() if len(words) > 1 and words[-1].isdecimal() else ""
    own = frozenset(word.lower() for word in words)
    if own & _ABOUT or own & _COMMENT:
        return Named("")
    for role, known, rank in (
        ("correct", _VERDICT, 0),
        ("reference", _REFERENCE, 0),
        ("think", _THINK, 0),
        ("response", _RESPONSE, 0),
        ("response", _MAYBE_RESPONSE, 1),
        ("prompt", _PROMPT, 1),
    ):
        if own & known:
            said = _VERDICT | _THINK | _RESPONSE | _MAYBE_RESPONSE | _FILLER
            rest = "_".join(word for word in words if word.lower() not in said)
            return Named(role, rank, rest, number)  # type: ignore[arg-type]
    return Named("", 1, name, number)


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
