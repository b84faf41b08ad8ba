"""Easy prompts that keep the answer without the thinking: `mix_answers`.

NaturalThoughts (arXiv 2507.01921) mixes full traces with condensed answers, by difficulty, so that
the student learns to answer easy questions at once. The rule below is **ours**: which prompts are
easy is the paper's own measure of difficulty, disagreement, turned round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lnat_plugins.selection.conditions import disagreement
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.conversations import THINKING_KEYS
from lnat_plugins.teacher_set.prompts import Candidate, Candidates
from lnat_plugins.teacher_set.thinking import split_thinking, visible


def answer_of(row: Candidate) -> str:
    """As `answer_in`, of a candidate."""
    return answer_in(row.text, row.messages[-1]["content"])


def answer_in(text: str, prompt: str) -> str:
    """A response without its thinking part and the white space after it; "" if there is none.

    There is none where no thinking part is opened and closed with something in it, nothing follows
    it, or the prompt itself has opened it.
    """
    found = split_thinking(text)
    opened = split_thinking("", prompt).is_open
    if opened or not found.is_filled or not visible(found.body):
        return ""
    return found.body.lstrip()


def without_thinking(row: Candidate) -> Candidate:
    """The row as it is trained on, with its answer alone; its steps are gone."""
    response, answer = row.response, answer_of(row)
    turn = response.turn and {
        **{key: value for key, value in response.turn.items() if key not in THINKING_KEYS},
        "content": answer,
    }
    return replace(
        row, response=replace(response, text=answer, steps=None, parts=None, turn=turn)
    )  # fmt: skip


def mixed(selection: Selection, candidates: Candidates, share: float | None) -> Selection:
    """The choice with the easiest share of its prompts trained on by their answers alone.

    Easier is the prompt on whose final answer fewer pairs of teachers disagree, among all its
    candidates; those of which that is not known come last. Of equally easy ones first the prompt
    whose chosen responses have the fewest characters. The number of prompts is rounded. Rows
    without a separable thinking part are left whole, and counted.
    """
    if share is None:
        return selection
    rows_of: dict[str, list[Candidate]] = {}
    for row in candidates.rows:
        rows_of.setdefault(row.prompt_id, []).append(row)
    chosen: dict[str, list[Candidate]] = {}
    for index in selection.indices:
        chosen.setdefault(selection.prompts[index], []).append(candidates.rows[index])

    def difficulty(prompt: str) -> tuple[bool, float, int]:
        found = disagreement(rows_of[prompt])
        length = sum(len(row.text) for row in chosen[prompt])
        return math.isnan(found), 0.0 if math.isnan(found) else found, length

    easiest = sorted(chosen, key=difficulty)[: math.floor(share * len(chosen) + 0.5)]
    rows = [row for prompt in easiest for row in chosen[prompt]]
    changed = {row.index for row in rows if answer_of(row)}
    whole = {row.index for row in rows} - changed
    return replace(
        selection, answers_only=tuple(sorted(changed)), answers_left_whole=tuple(sorted(whole))
    )


def as_trained(
    selection: Selection, candidates: Candidates, indices: Sequence[int] | None = None
) -> list[Candidate]:
    """Rows of the training set as they are trained on.

    Args:
        indices: which; by default all, in its order, each as often as it stands there.
    """
    changed = {*selection.answers_only}
    rows = (candidates.rows[i] for i in (selection.rows if indices is None else indices))
    return [without_thinking(row) if row.index in changed else row for row in rows]
