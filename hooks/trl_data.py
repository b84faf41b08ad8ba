"""Data sets for SFT: a teacher set as rows, rows as candidates, and the chosen rows.

A row holds TRL's `messages`, or `prompt` and `completion`, and a column with its teacher. Nothing
here needs a trainer: `select_dataset` is for those that bring no hook of their own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, IterableDataset

from lnat_plugins.errors import ConfigError, DataError, visible
from lnat_plugins.plugins.configured import read_block
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection
from lnat_plugins.selection.answers import answer_in
from lnat_plugins.selection.formats.columns import (
    as_table,
    extra_column,
    extra_names,
    prompts,
)
from lnat_plugins.selection.formats.columns import responses as completions
from lnat_plugins.selection.spec import SelectionSpec
from lnat_plugins.teacher_set import Candidate, Candidates, TeacherSet
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.conversations import THINKING_KEYS
from lnat_plugins.teacher_set.join import join
from lnat_plugins.teacher_set.layouts import RowReader
from lnat_plugins.teacher_set.loaders import Row
from lnat_plugins.teacher_set.responses import ParsedResponse
from lnat_plugins.teacher_set.template_columns import settle_template_columns
from lnat_plugins.teacher_set.unusable import Tally
from lnat_plugins.teacher_set.whole_conversations import join_openings

_log = logging.getLogger(__name__)

SCORE: Final = "lnat_score"
WEIGHT: Final = "lnat_weight"
ANSWER_ONLY: Final = "lnat_answer_only"
FIELDS: Final = ("teacher", "prompt_id", "sample", "correct", "steps")
"""What `columns` may name; the texts are read from TRL's own columns."""

TWO_STAGES: Final = "choose first with `lnat select`, and train on what it wrote with `trl sft`"
_VISION: Final = ("image", "images", "pixel_values")
_TOKENIZED: Final = ("input_ids", "labels")
_SCRIPTED: Final = "scripted"
_FORMATS: Final = ({"messages"}, {"prompt", "completion"})


def sft_rows(teacher_set: TeacherSet, tokenizer: Any, *, plain: bool) -> Dataset:
    """A teacher set as an SFT data set: one row per response.

    Args:
        teacher_set: the responses.
        tokenizer: the student's, whose chat template may take thinking apart from the answer.
        plain: for a student without a chat template: the prompt as text, followed by the set's
            `target_delimiter`. Else conversations.

    Returns:
        `prompt` and `completion`, `teacher`, `prompt_id`, `sample`, `correct` and `steps`, and the
        rows' other columns; of conversations with scripted turns `scripted`, their places.

    Raises:
        DataError: columns that TRL would not give to the template as they are.
    """
    delimiter = teacher_set.settings.target_delimiter
    renderer = Renderer(tokenizer, plain)
    read = Candidates.of_prompts(teacher_set.prompts, plain=plain, delimiter=delimiter).rows
    rows = [replace(row, response=renderer.own(row.response)) for row in read]
    responses = [row.response for row in rows]
    numbered = all(isinstance(response.sample, int) for response in responses)
    about = {
        "teacher": [row.teacher for row in rows],
        "prompt_id": [row.prompt_id for row in rows],
        "sample": [one.sample if numbered else str(one.sample) for one in responses],
        "correct": [one.correct for one in responses],
        "steps": [None if one.steps is None else list(one.steps) for one in responses],
    }
    columns = as_table(prompts(rows, plain) | completions("completion", rows, plain))
    scripted = [_scripted_places(one.turns or ()) for one in responses]
    if any(scripted):
        about[_SCRIPTED] = scripted
    for name, values in about.items():
        columns = columns.append_column(name, pa.array(values))
    extras: list[Mapping[str, Any]] = [response.extra for response in responses]
    if not plain:
        extras = [*settle_template_columns(responses)]
    for name, written in extra_names(extras, plain=plain, taken=columns.column_names).items():
        values = [one.get(name) for one in extras]
        column = extra_column(values, as_json=written == "tools")
        columns = columns.append_column(written, column)
    return Dataset(columns)


def _scripted_places(turns: Sequence[Mapping[str, Any]]) -> list[int]:
    return [place for place, turn in enumerate(turns) if turn.get("scripted")]


def select_dataset(dataset: Dataset, model: Any, tokenizer: Any, **selection: Any) -> Dataset:
    """The rows of `dataset` that the student should train on, in the block's `order`.

    For trainers that bring no hook of their own: call it before the trainer is built.

    Args:
        dataset: TRL's `messages`, or `prompt` and `completion`, with a column `teacher`.
        model: the student, before training; not prepared for distributed training.
        tokenizer: its fast tokenizer, with the chat template that training will use.
        **selection: the keys of a `selection:` block: `strategy`, `windows`, `require_correct` …

    Returns:
        The chosen rows with all their columns, `lnat_score` (null if undefined) and `lnat_weight`
        (1.0 unless the strategy weighs rows).

    Raises:
        ConfigError, DataError, StudentError: one line that says what to change.
    """
    chooser = read_block(selection)
    if chooser.spec.teacher_set is not None:
        raise ConfigError(
            "`teacher_set` and a data set are both given",
            where=chooser.spec.source,
            remedy="leave one of them out",
        )
    spec = chooser.spec
    candidates = candidates_of(dataset, spec.columns, tokenizer, name="dataset", turns=spec.turns)
    student = LocalStudent(model, tokenizer, chooser.spec, plain=candidates.plain)
    choice = chooser.choose(candidates, student)
    for warning in choice.warnings:
        _log.warning("%s", visible(warning))
    return chosen_rows(dataset, choice)


def chosen_rows(dataset: Dataset, selection: Selection) -> Dataset:
    """The training set's rows in its order, with their scores and weights as columns."""
    rows = _without_thinking(dataset.select(selection.rows), selection)
    chosen = [selection.scores[i] for i in selection.rows]
    scores = [None if math.isnan(score) else score for score in chosen]
    for name, values in ((SCORE, scores), (WEIGHT, list(selection.row_weights))):
        if name in rows.column_names:
            rows = rows.remove_columns(name)
        rows = rows.add_column(name, values)
    return rows


def tokens_in(rows: Any) -> dict[str, float]:
    """The figure of all tokens of a prepared training set, prompts included; {} if it has none."""
    if not isinstance(rows, Dataset) or "input_ids" not in rows.column_names:
        return {}
    ids = rows.select_columns("input_ids").with_format("arrow")
    lengths = (pc.list_value_length(batch["input_ids"]) for batch in ids.iter(10_000))
    return {"lnat/tokens": sum(pc.sum(one).as_py() or 0 for one in lengths)}


def _without_thinking(rows: Dataset, selection: Selection) -> Dataset:
    """The training set's rows, those of `answers_only` cut to their answers, with a column."""
    if not selection.mixes_answers:
        return rows
    changed = {*selection.answers_only}
    only = [index in changed for index in selection.rows]
    name = "completion" if "completion" in rows.column_names else "messages"

    def cut(row: dict[str, Any], place: int) -> dict[str, Any]:
        value = row[name]
        if not only[place]:
            return {}
        if isinstance(value, str):
            return {name: answer_in(value, row["prompt"])}
        *before, last = value
        asked = before or row["prompt"]
        keys = dict.fromkeys(set(last) & set(THINKING_KEYS))
        thought = next((last[key] for key in THINKING_KEYS if last.get(key)), None)
        answer = last["content"] if thought else answer_in(last["content"], asked[-1]["content"])
        return {name: [*before, {**last, **keys, "content": answer.lstrip()}]}

    rows = rows.map(cut, with_indices=True, features=rows.features, load_from_cache_file=False)
    if ANSWER_ONLY in rows.column_names:
        rows = rows.remove_columns(ANSWER_ONLY)
    return rows.add_column(ANSWER_ONLY, only)


def candidates_of(
    dataset: Any,
    columns: Mapping[str, str | None],
    tokenizer: Any = None,
    *,
    name: str = "train_dataset",
    tokenized: bool = False,
    eos: str | None = None,
    turns: Literal["last", "all"] = "last",
) -> Candidates:
    """An SFT data set's rows as candidates, checked; row i of the data has index i.

    Args:
        dataset: a `datasets.Dataset`.
        columns: field -> column, for `FIELDS`.
        tokenizer: with the template that training will use, which may take thinking apart from
            the answer.
        name: how messages call it.
        tokenized: whether TRL has prepared it already, with its texts still beside the token ids.
        eos: what TRL has appended to plain completions then.
        turns: "all" = the response is every turn of the assistant in `messages`, or in
            `completion`.

    Raises:
        ConfigError: a kind of data that rows cannot be chosen from here; names the way that works.
        DataError: no teacher, no text, two responses of one teacher and sample to one prompt.
    """
    check_dataset(dataset, columns, name, tokenized=tokenized)
    dataset = dataset.with_format(None)
    layout = "messages" if "messages" in dataset.column_names else "prompt_completion"
    texts = () if layout == "messages" else ("prompt", "completion")
    plain = bool(texts) and isinstance(dataset[0]["prompt"], str)
    if turns == "all" and plain:
        raise ConfigError(
            "plain text is no conversation", where=name, found="turns: all",
            remedy="leave it out, or give lists of turns",
        )  # fmt: skip
    # TRL reads its own columns alone, so no other one is part of a prompt or a response.
    alone = {"system": None, "instruction": None, "think": None}
    if turns == "all":
        layout = "messages"
        alone["response"] = None
    spec = DataSpec(
        name, name, Path(), name, layout=layout, columns={**columns, **alone}, turns=turns
    )
    reader = RowReader(spec, Tally(strict=True))
    renderer = Renderer(tokenizer, plain=plain or tokenizer is None)
    read = [column for column in dataset.column_names if column not in _TOKENIZED]
    found = []
    for number, values in enumerate(dataset.select_columns(read)):
        where = f"{name}[{number}]"
        for column in texts:
            if isinstance(values[column], str) != plain:
                raise DataError(
                    "plain text and conversations are mixed",
                    where=f"{where}, column {column!r}",
                    found=values[column],
                    remedy="write all prompts and completions in one way",
                )
        if turns == "all":
            found.append(_conversation(reader, renderer, Row(values, where)))
            continue
        if plain and eos and values["completion"] != eos:
            values["completion"] = values["completion"].removesuffix(eos)
        one, *more = reader.read(Row(values, where), None)
        response = renderer.own(one.response)
        answer = values[texts[-1] if texts else "messages"]
        # TRL hands the turn to the template, so its keys must be the template's.
        apart = response.turn.keys() if response.turn else {"content"}
        if more or (one.response.parts and not _turn_has(answer, apart)):
            raise DataError(
                "a row must be one response, whose text is all in the content",
                where=where,
                found=answer,
                remedy="write a row for each response, and its thinking part into `content`",
            )
        one = one._replace(response=response)
        given = [] if plain else list(values["prompt"] if texts else values["messages"][:-1])
        for turn, read_as in zip(given, () if plain else one.messages, strict=True):
            keys = ("role", "content", *THINKING_KEYS)
            if any((turn.get(key) or None) != (read_as.get(key) or None) for key in keys):
                raise DataError(
                    "turns must be written as `role` and `content`, as TRL reads them",
                    where=where,
                    found=turn,
                    remedy='write {"role": "user", "content": ...}',
                )
        found.append(one)
    index_of = {one.response.where: index for index, one in enumerate(found)}
    joined = join_openings(found, "own") if turns == "all" else found
    rows = [
        Candidate(index_of[response.where], prompt.prompt_id, prompt.messages, response)
        for prompt in join(joined)
        for response in prompt.responses
    ]
    return Candidates(tuple(sorted(rows, key=lambda row: row.index)), plain)


def refuse_other_losses(args: Any, spec: SelectionSpec) -> None:
    """Refuse settings of TRL with which more is trained on than is scored of conversations.

    Raises:
        ConfigError: names the key and its value.
    """
    if spec.turns == "last":
        return
    where = f"{spec.source}: turns"
    if not getattr(args, "assistant_only_loss", False):
        raise ConfigError(
            "TRL would train on what users and tools wrote, too", where=where,
            found="assistant_only_loss: false", remedy="set `assistant_only_loss: true`",
        )  # fmt: skip
    if getattr(args, "completion_only_loss", None) is False:
        raise ConfigError(
            "TRL would train on turns of the assistant in the prompt, too", where=where,
            found="completion_only_loss: false", remedy="leave `completion_only_loss` out",
        )  # fmt: skip


def _conversation(reader: RowReader, renderer: Renderer, row: Row) -> ParsedResponse:
    """A row whose response is every turn of the assistant, from the completion on if it has one.

    Raises:
        DataError: as `read_conversation`; turns that TRL would render otherwise than they are read.
    """
    names = ("messages",) if "messages" in row.values else ("prompt", "completion")
    values = {name: value for name, value in row.values.items() if name not in names}
    parts = [row.values[name] for name in names]
    for name, part in zip(names, parts, strict=True):
        if not isinstance(part, list):
            raise DataError(
                "this must be a list of turns", where=f"{row.where}, column {name!r}", found=part,
                remedy='write [{"role": "user", "content": ...}]',
            )  # fmt: skip
    given = [turn for part in parts for turn in part]
    scripted = list(values.get(_SCRIPTED) or ())
    if len(parts) == 2:
        # TRL trains on no turn of the prompt.
        roles = [turn.get("role") if isinstance(turn, Mapping) else None for turn in parts[0]]
        scripted = sorted({*scripted, *(i for i, own in enumerate(roles) if own == "assistant")})
    elif scripted:
        raise DataError(
            "TRL trains on every turn of the assistant in `messages`", where=row.where,
            found=f"scripted: {scripted}",
            remedy="write the turns up to the last scripted one as `prompt`, the rest as "
            "`completion`",
        )  # fmt: skip
    one, *_ = reader.read(Row({**values, "messages": given, _SCRIPTED: scripted}, row.where), None)
    response = renderer.own(one.response)
    renderer.check_as_given(response, given)
    return one._replace(response=response)


def _turn_has(answer: Any, keys: Collection[str]) -> bool:
    """Whether the last turn holds its texts under these keys and no others."""
    turn = answer[-1] if isinstance(answer, list) and answer else {}
    texts = {key for key in ("content", *THINKING_KEYS) if turn.get(key)}
    return texts == {*keys}


def check_dataset(
    dataset: Any, columns: Mapping[str, str | None], name: str, *, tokenized: bool = False
) -> None:
    """Refuse data that rows cannot be chosen from, by its kind and columns; no row is read.

    Cheap enough to call before a model is loaded. Arguments and errors as for `candidates_of`.
    """
    if isinstance(dataset, IterableDataset):
        raise ConfigError(
            "a streaming data set cannot be chosen from",
            where=name,
            found="IterableDataset",
            remedy="load it without streaming, or score its files as a teacher set with lm_eval, "
            "then `lnat select` and `trl sft`",
        )
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            "this is not a datasets.Dataset",
            where=name,
            found=type(dataset).__name__,
            remedy="make one: Dataset.from_list(rows)",
        )
    if not len(dataset):
        raise DataError("the data set has no row", where=name)
    there = set(dataset.column_names)
    listed = ", ".join(dataset.column_names)
    if found := sorted(there & set(_VISION)):
        raise ConfigError(
            "rows with images cannot be scored", where=name, found=found, remedy=TWO_STAGES
        )
    if "input_ids" in there and not tokenized:
        raise ConfigError(
            "the rows are tokenised already, so there are no steps to see",
            where=name,
            found="input_ids",
            remedy=TWO_STAGES,
        )
    if "conversations" in there:
        raise DataError(
            "from/value conversations are not read",
            where=name,
            found="conversations",
            remedy="rename the column to `messages` and its keys to `role` and `content`",
        )
    formats = [texts for texts in _FORMATS if texts <= there]
    if len(formats) != 1 or ("prompt" in there and "completion" not in there):
        both = {"messages", "prompt"} <= there
        if both:
            remedy = "remove one of them"
        elif "text" in there:
            remedy = "one `text` does not say where the response begins: split it"
        else:
            remedy = "rename the columns, or write a teacher set (`lnat init`) and name it: "
            remedy += "`selection: {teacher_set: my_teachers.yaml}`"
        raise DataError(
            "the rows must have `messages`, or `prompt` and `completion`"
            + (", and not both" if both else ""),
            where=name, found=listed, remedy=remedy,
        )  # fmt: skip
    if unknown := sorted(set(columns) - set(FIELDS)):
        raise ConfigError(
            "unknown key in `columns`",
            where=name,
            found=unknown,
            remedy=f"known: {', '.join(FIELDS)}; texts stand in `messages`, or in `prompt` and "
            "`completion`",
        )
    if columns.get("teacher", "teacher") is None:
        raise ConfigError(
            "candidates need a column that says who wrote a response",
            where=f"{name}: columns: teacher",
            found=None,
            remedy="name it",
        )
    named = {"teacher": "teacher"} | {field: column for field, column in columns.items() if column}
    for field, column in named.items():
        if column not in there:
            what = " that says who wrote a response" if field == "teacher" else ""
            raise DataError(
                f"the candidates have no column {column!r}{what}",
                where=name,
                found=listed,
                remedy=f"add one, or name it in the selection: `columns: {{{field}: ...}}`",
            )
