"""What lm-eval has scored, as rows to choose from and as the student that scored them.

Prompts come back the way the run rendered them, up to the chat template itself: the settings in
each record say whether there was one. Knows nothing of models; a tokenizer is loaded only if
something asks for lengths that the records do not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.record import StepSums
from lnat_plugins.selection import Pool, PoolRow
from lnat_plugins.store import PromptText, ScoredRow, ScoredSet
from lnat_plugins.teacher_set import Message, Response
from lnat_plugins.training_set.origin import Origin
from lnat_plugins.training_tokens import load_tokenizer, training_tokens

_RENDERING: Final = ("chat_template", "system_instruction", "target_delimiter")


@dataclass(frozen=True)
class ScoredStudent:
    """A student that has scored everything already; a `selection.Student`.

    Args:
        name: the model's name or path.
        records: one for each row of the pool, in its order.
        plain: see `Pool.plain`.
        tokenizer: folder or name of the tokenizer that training will use; by default `name`.
        load: how it is loaded, once, when a length is first asked for.
        arguments: what a row gives to the chat template in training; None for nothing, as where
            lm-eval renders it.
    """

    name: str
    records: Sequence[StepSums]
    plain: bool
    tokenizer: str | None = None
    load: Callable[[str], Any] = load_tokenizer
    arguments: Callable[[PoolRow], Mapping[str, Any]] | None = None

    @cached_property
    def _reader(self) -> Any:
        return self.load(self.tokenizer or self.name)

    def score(self, rows: Sequence[PoolRow]) -> list[StepSums]:
        """The stored record of each row."""
        return [self.records[row.index] for row in rows]

    def response_tokens(self, rows: Sequence[PoolRow]) -> list[int]:
        """Tokens of each response, as counted when it was scored."""
        return [self.records[row.index].n_tokens for row in rows]

    def training_tokens(self, rows: Sequence[PoolRow]) -> list[int]:
        """Tokens of each row as training reads it.

        Raises:
            StudentError: the tokenizer cannot be loaded, or cannot render the rows.
            DataError: the template does not take a row.
        """
        return [
            training_tokens(
                self._reader,
                row.messages,
                row.text,
                plain=self.plain,
                template_arguments=self.arguments and self.arguments(row),
                where=row.where,
            )
            for row in rows
        ]


def pool_of_scores(
    scored: ScoredSet, teachers: Collection[str] | None = None
) -> tuple[Pool, tuple[StepSums, ...]]:
    """The scored responses as a pool, in file order, and the record of each row.

    Args:
        scored: one task by one student.
        teachers: only their responses; None = all.

    Raises:
        ConfigError: a teacher that the scores do not hold.
        DataError: scores that do not say how prompts were rendered.
    """
    kept = scored.rows_of(teachers)
    missing = [name for name in _RENDERING if name not in scored.settings]
    if missing:
        raise DataError(
            "the scores do not say how prompts were rendered",
            where=scored.files[0],
            found=f"no {', '.join(missing)} among the settings",
            remedy="score the teacher set again with lm_eval --log_samples",
        )
    plain = scored.settings["chat_template"] is None
    asked = {
        prompt_id: _turns(prompt, scored.settings, plain)
        for prompt_id, prompt in scored.asked.items()
    }
    rows = (
        PoolRow(index, row.prompt_id, asked[row.prompt_id], _response(row))
        for index, row in enumerate(kept)
    )
    return Pool(tuple(rows), plain), tuple(row.record for row in kept)


def _turns(prompt: PromptText, settings: Mapping[str, Any], plain: bool) -> tuple[Message, ...]:
    """As the harness's task renders it: the system instruction first, then the turns."""
    system = settings["system_instruction"]
    if plain:
        opening = f"{system}\n\n" if system else ""
        return ({"role": "user", "content": opening + prompt.text + settings["target_delimiter"]},)
    return (*([{"role": "system", "content": system}] if system else []), *prompt.messages)


def _response(row: ScoredRow) -> Response:
    return Response(row.teacher, row.text, row.sample, row.correct, row.steps, row.extra, row.where)


def origin_of_scores(scored: ScoredSet) -> Origin:
    """What the training set tells of these scores."""
    versions: dict[str, dict[str, None]] = {}
    for row in scored.rows:
        for package, version in row.record.versions.items():
            versions.setdefault(package, {})[version] = None
    return Origin(
        task=scored.task,
        files=scored.files,
        scoring={
            "settings": dict(scored.settings),
            "settings_hash": scored.settings_hash,
            "splitter": scored.splitter,
            "engine": list(scored.paths),
        },
        versions={package: ", ".join(found) for package, found in versions.items()},
    )
