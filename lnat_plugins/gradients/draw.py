"""Which responses gradients are taken of, and what of each is read: the same prompts for all.

Prompts are drawn at random among those to which every teacher has a response that can be used, and
of each the same number of responses of every teacher, so that no teacher's figures rest on more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lnat_plugins.scoring.rows import Renderer, RowTokens
from lnat_plugins.scoring.tokens import Bools, Ids, encode_response
from lnat_plugins.steps import StepSpec
from lnat_plugins.teacher_set.prompts import Candidate, Candidates, TeacherSet

TOO_LONG = "longer than the student's context"
ONE_TOKEN = "one scored token, whose weight log |y| is 0"
NO_TOKEN = "no token to score"
ABSENT = "a prompt that not every teacher answers"


@dataclass(frozen=True)
class DrawnRow:
    """A response whose gradient is taken.

    Attributes:
        prompt: its place among the drawn prompts.
        teacher: who wrote it.
        tokens: the row as training renders it.
        scored: shape (T,), which of the response's tokens count, as in scoring.
        where: file and row, for messages.
    """

    prompt: int
    teacher: str
    tokens: RowTokens
    scored: Bools
    where: str

    @property
    def read(self) -> Ids:
        """What the student reads: all but the last token, which is predicted alone."""
        return np.concatenate([self.tokens.prompt, self.tokens.response.ids])[:-1]

    @property
    def at(self) -> Ids:
        """Positions in `read` at which the scored tokens are predicted."""
        return len(self.tokens.prompt) - 1 + np.flatnonzero(self.scored)

    @property
    def targets(self) -> Ids:
        """The |y| scored tokens."""
        return self.tokens.response.ids[self.scored]


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        rows: prompt by prompt, teacher by teacher.
        prompt_ids: of the drawn prompts.
        left_out: reason -> how many responses, or prompts, were met and passed over.
    """

    rows: tuple[DrawnRow, ...]
    prompt_ids: tuple[str, ...]
    left_out: Mapping[str, int]


def draw(
    teacher_set: TeacherSet, renderer: Renderer, *, prompts: int, samples: int,
    context: int | None, seed: int,
) -> Drawn:  # fmt: skip
    """Draw prompts and responses.

    Args:
        renderer: of the student, not strict.
        prompts: how many at most.
        samples: responses of each teacher to a prompt, at most.
        context: tokens that the student reads at once, None if there is no limit.

    Raises:
        StudentError, DataError: a row that cannot be rendered.
    """
    left_out: Counter[str] = Counter()
    rows: list[DrawnRow] = []
    names: list[str] = []
    order = np.random.default_rng(seed).permutation(len(teacher_set.prompts))
    for index in map(int, order):
        if len(names) == prompts:
            break
        prompt = teacher_set.prompts[index]
        of_teacher: dict[str, list[DrawnRow]] = {name: [] for name in teacher_set.teachers}
        if {response.teacher for response in prompt.responses} != set(teacher_set.teachers):
            left_out[ABSENT] += 1
            continue
        candidates = Candidates.of_prompts(
            [prompt], plain=renderer.plain, delimiter=teacher_set.settings.target_delimiter
        )
        for candidate, row in rendered(candidates.rows, renderer, teacher_set, len(names)):
            reason = _problem(row, context)
            left_out[reason] += bool(reason)
            if not reason:
                of_teacher[candidate.teacher].append(row)
        each = min(samples, *map(len, of_teacher.values()))
        if each:
            random = np.random.default_rng([seed, index])
            names.append(prompt.prompt_id)
            for own in of_teacher.values():
                chosen = np.sort(random.choice(len(own), each, replace=False))
                rows += [own[place] for place in chosen]
    return Drawn(tuple(rows), tuple(names), {name: n for name, n in left_out.items() if n})


def rendered(
    candidates: Sequence[Candidate], renderer: Renderer, teacher_set: TeacherSet, place: int
) -> Iterator[tuple[Candidate, DrawnRow]]:
    """The candidates of one prompt as the student reads them, each with its row.

    Args:
        place: of their prompt.

    Raises:
        StudentError, DataError: a row that cannot be rendered.
    """
    # How a response is cut into steps plays no part; which tokens are scored does not depend on it.
    spec = StepSpec("tokens", n=1, markers=teacher_set.settings.markers)
    for candidate in candidates:
        own = replace(candidate, response=renderer.own(candidate.response))
        tokens = renderer.row(own)
        scored = encode_response(tokens.response, own.text, spec, where=own.where).scored
        yield own, DrawnRow(place, own.teacher, tokens, scored, own.where)


def _problem(row: DrawnRow, context: int | None) -> str:
    """Why the gradient of a response is not defined; "" if it is."""
    if context is not None and len(row.read) > context:
        return TOO_LONG
    count = int(row.scored.sum())
    return {0: NO_TOKEN, 1: ONE_TOKEN}.get(count, "")
