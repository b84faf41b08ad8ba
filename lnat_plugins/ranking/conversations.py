"""Controls of responses that are conversations, such as agent traces: by their turns alone.

On such traces plain counts may order teachers as a score does, or better: how many turns there
are, how often a tool reports an error, how often an action is repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lnat_plugins.teacher_set.prompts import ConversationTurn
from lnat_plugins.teacher_set.whole_conversations import first_scored, is_scored

CONTROLS: Final = ("n_turns", "tool_errors", "repeated_actions", "empty_turns")

_NOTHING: Final = r"""["']?\s*[:=]\s*(?:null|none|false|""|''|\[\]|\{\}|0)\s*(?:[,}\n]|\Z)"""
_ERROR: Final = re.compile(
    rf"""
    ^[ \t"'{{\[]* (?:E[ ]{{3}})? (?:\w+\.)* (?: traceback | \w*(?:error|exception) ) \b
        (?! {_NOTHING} | [ ]rate | - )
    | [{{,]\s* ["'] errors? ["'] (?! {_NOTHING} )
    | \b (?: exit(?:ed)? [ _]? (?:with[ ])? (?:code|status) | returncode ) ["'>:=\ ]+ (?!0\b) -?\d
    | :\ (?:command\ not\ found|No\ such\ file\ or\ directory|Permission\ denied)\s*$
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def conversation_controls(turns: Sequence[ConversationTurn]) -> tuple[float, ...]:
    """The values of `CONTROLS` for one conversation.

    Of the teacher's turns, scripted ones left out, and what stands between them:

    - n_turns: how many turns the teacher has;
    - tool_errors: the share of the tools' turns that say an error, see `says_error`; where the
      conversation has no turns of tools, of the users' turns; 0 where there are none;
    - repeated_actions: the share of the teacher's turns whose calls, or whose text where there are
      none, are those of an earlier turn;
    - empty_turns: the share of the teacher's turns without text, thinking and calls.
    """
    after = turns[first_scored(turns) :]
    own = [turn for turn in after if is_scored(turn)]
    said = [turn["content"] for turn in after if turn["role"] == "tool"] or [
        turn["content"] for turn in after if turn["role"] == "user"
    ]
    actions = [action for turn in own if (action := _action(turn))]
    empty = sum(not (_action(turn) or turn.get("reasoning_content")) for turn in own)
    repeated = len(actions) - len({*actions})
    errors = sum(map(says_error, said)) / max(1, len(said))
    return float(len(own)), errors, repeated / len(own), empty / len(own)


def says_error(text: str) -> bool:
    """Whether an output of a tool says that something failed; a heuristic.

    A line that begins with a word such as "Error", "KeyError", "Exception" or "Traceback", or with
    such a key of JSON that holds something; an exit code that is not 0; a shell's "command not
    found", "No such file or directory" or "Permission denied" at the end of a line.
    """
    return _ERROR.search(text) is not None


def _action(turn: Mapping[str, Any]) -> str:
    calls = [call["function"] for call in turn.get("tool_calls", ())]
    return json.dumps(calls, sort_keys=True) if calls else turn["content"].strip()
