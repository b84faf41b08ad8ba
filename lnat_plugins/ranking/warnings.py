"""What speaks against a verdict: the student, rows left out, degenerate responses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from lnat_plugins.formatting import number, plural
from lnat_plugins.metrics import GLOBAL, Scored
from lnat_plugins.ranking.result import Ranking
from lnat_plugins.steps.prefix import in_words
from lnat_plugins.teacher_set.degenerate import in_words as degenerate_in_words
from lnat_plugins.teacher_set.unusable import in_words as unusable_in_words

OLD_CUT: Final = "sentence@1"
"""The splitter by which a line such as `</think>` was a step."""

_UNKNOWN: Final = 0.5
"""Of a uniform guess: a template whose own tokens are less probable was never seen (ours)."""


def warnings(ranking: Ranking, rows: Sequence[Scored]) -> Iterator[str]:
    """A line each, the gravest first."""
    yield from _student(ranking, rows)
    if prefix := next((row.record.prefix for row in rows if row.record.prefix), ""):
        cut = sum(bool(row.record.whole) for row in rows)
        yield (
            f"Scores are of {in_words(prefix)} ({cut} of {len(rows)} go on), as an estimate of "
            "whole traces: score some prompts whole, and `lnat rank PREFIX WHOLE` says how far "
            "both orders agree."
        )
    if ranking.metric != "global_naturalness" and any(
        OLD_CUT in row.record.splitter for row in rows
    ):
        yield (
            f"Steps were cut by {OLD_CUT}, by which a line that holds only a tag such as </think> "
            "is a step of its own and may decide the order: score again."
        )
    if found := unusable_in_words(ranking.unusable):
        yield (
            f"Rows that could not be used were left out: {found}. A teacher's failures are seldom "
            "spread evenly over its prompts: `lnat check` names the first ones."
        )
    yield from _right(ranking)
    if found := degenerate_in_words(ranking.degenerate):
        yield (
            f"Degenerate responses: {found}. Some scores favour such rows: look at them "
            "before training."
        )


def _right(ranking: Ranking) -> Iterator[str]:
    """Of a first teacher that is right less often than the others mostly are."""
    shares = {name: right / known for name, (right, known) in ranking.right.items() if known}
    first = ranking.teachers[0].teacher
    own = shares.pop(first, math.nan)
    if shares and own < statistics.median(shares.values()):
        right, known = ranking.right[first]
        oftener = sum(own < share for share in shares.values())
        others = f"{oftener} of the {len(shares)} others" if len(shares) > 1 else "the other"
        yield f"{first} is right in {right} of {known}, less often than {others}."


def _student(ranking: Ranking, rows: Sequence[Scored]) -> Iterator[str]:
    # Records of an older version in a cache may lack some.
    facts = {name: value for row in rows for name, value in row.record.student.items()}
    mean = _best_mean(rows)
    uniform = -math.log(facts.get("vocabulary", math.inf))
    if mean < uniform:
        yield (
            "The student predicts this text worse than chance: even for its best teacher the "
            f"mean over all tokens of all responses, {number(mean, 2)} nats, is below a uniform "
            f"guess over its {facts['vocabulary']:,} tokens ({number(uniform, 2)}); the table's "
            "means, over steps or prompts, differ from it."
        )
    limit = facts.get("max_length")
    n_long = sum(
        limit is not None and record.prompt_tokens + record.whole_ids > limit + 1
        for record in (row.record for row in rows)
    )
    if 2 * n_long > len(rows):
        yield (
            f"{n_long} of {plural(len(rows), 'response')} are longer than the {limit:,} tokens "
            "that the student reads at once: it cannot be trained on them whole."
        )
    texts = [str(getattr(row, "text", "")) for row in rows]
    hidden = {tag: sum(tag in text for text in texts) for tag in facts.get("hidden_thinking", ())}
    if n_hidden := sum(hidden.values()):
        yield (
            "The student's chat template leaves out what stands before "
            f"{' or '.join(tag for tag, count in hidden.items() if count)} in a reply (found in "
            f"{n_hidden} of {plural(len(rows), 'response')}), so training in this template would "
            "not see the reasoning that was scored."
        )
    logprob = facts.get("template_logprob")
    if logprob is not None and logprob < _UNKNOWN * uniform:
        yield (
            "The student seems not to be trained on this chat template (mean log p of its own "
            f"tokens {number(logprob, 2)} nats): score a base model without "
            "--apply_chat_template, unless it will be trained with it."
        )


def _best_mean(rows: Sequence[Scored]) -> float:
    """The mean log p of a token, of the teacher for whom it is highest; NaN if nothing is scored.

    Under the whole context; of a trace that is too long for it, in its first window with a score.
    """
    sums: dict[str, tuple[float, int]] = {}
    for row in rows:
        totals = row.record.totals
        first = (totals.get(GLOBAL, math.nan), *totals.values())
        value = next(filter(math.isfinite, first), None)
        if value is not None:
            total, count = sums.get(row.teacher, (0.0, 0))
            sums[row.teacher] = total + value, count + row.record.n_tokens
    return max((total / count for total, count in sums.values()), default=math.nan)
