"""A chosen row as named values: its texts in one of TRL's two forms, and where it comes from.

Knows nothing of files. What a column may be called is TRL's affair, because TRL tells a data
set's form by its column names (trl 1.16): a second form beside ours makes it read the wrong one,
and names such as `input_ids` or `images` make it skip its own preparation. A row's other column
of such a name is kept as "row_<name>".

`selection.json`: the selection itself, and what a reader needs to make it again.

Knows nothing of the other files. One line a key, so that the head of a large file can be read.

Chosen rows as one parquet file. Knows nothing of what the columns mean.

Arrow wants one type a column. A column of the rows' own whose values have none in common
(numbers here, text there) is written as JSON text, value by value; a missing value is null.

A training set on the Hugging Face Hub. Knows nothing of what is in it.

A training set as a folder: written aside, then moved into place as a whole.

A run that is killed leaves the old folder or the new one, never half of one; at worst a hidden
folder beside it. Knows nothing of what stands in the files.

What lm-eval has scored, as rows to choose from and as the student that scored them.

Prompts come back the way the run rendered them, up to the chat template itself: the settings in
each record say whether there was one. Knows nothing of models; a tokenizer is loaded only if
something asks for lengths that the records do not hold.

The chosen rows as files: a training set for TRL and others, and rows out of lm-eval's scores.

Knows nothing of hosts: the files are what TRL, LLaMA-Factory and the Hub read, and none of them
is asked.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.scoring.chat import load_tokenizer, training_tokens
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.selection.cards import (
    DATASET_INFO,
    SFT_CONFIG,
    Origin,
    card,
    check_llama_factory,
    dataset_info,
    sft_yaml,
)
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.prompts import Candidate, Candidates, Message, plain_text

FORMS: Final = ("prompt_completion", "messages")
"""TRL's forms; with the first one it trains on the completion alone, with the second on all."""

RESERVED: Final = frozenset(
    """
    prompt completion messages text conversations chosen rejected tools chat_template_kwargs
    image images videos pixel_values input_ids labels label attention_mask position_ids
    completion_mask assistant_masks seq_lengths
    """.split()
)
"""Names that mean something to TRL; none of a row's other columns may go by them."""

_OURS: Final = "lnat_"


def check_form(pool: Candidates, form: str) -> None:
    """Refuse a form that does not exist, or that these rows do not have.

    Raises:
        ConfigError: says which one works.
    """
    if form not in FORMS:
        raise ConfigError("unknown form of rows", found=form, remedy=did_you_mean(form, FORMS))
    if form == "messages" and pool.plain:
        raise ConfigError(
            "prompts that are plain text cannot be written as `messages`",
            remedy="write them as prompt_completion; or score them as conversations (lm_eval "
            "--apply_chat_template) and choose again",
        )


def row_columns(row: Candidate, *, plain: bool, form: str) -> dict[str, Any]:
    """The columns that TRL reads: strings for plain text, else lists of turns."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in row.messages]
    answer = [{"role": "assistant", "content": row.text}]
    if form == "messages":
        return {"messages": turns + answer}
    if plain:
        return {"prompt": row.messages[0]["content"], "completion": row.text}
    return {"prompt": turns, "completion": answer}


def own_columns(pool: Candidates, selection: Selection) -> list[dict[str, Any]]:
    """Of each chosen row, ascending: where it comes from and what was thought of it.

    `lnat_sample` is text if any of the samples is.
    """
    samples = [pool.rows[index].response.sample for index in selection.indices]
    numbers = all(isinstance(one, int) and abs(one) < 2**63 for one in samples)
    return [
        {
            "lnat_teacher": pool.rows[index].teacher,
            "lnat_sample": sample if numbers else str(sample),
            "lnat_prompt_id": pool.rows[index].prompt_id,
            "lnat_score": None if math.isnan(selection.scores[index]) else selection.scores[index],
            "lnat_weight": weight,
            "lnat_correct": pool.rows[index].response.correct,
            "lnat_index": index,
        }
        for index, sample, weight in zip(selection.indices, samples, selection.weights, strict=True)
    ]


def spare_names(extras: Iterable[Mapping[str, Any]], kept: Collection[str] = ()) -> dict[str, str]:
    """Name of a row's other column -> the name it is written under, in order of appearance.

    Names in `kept` stay what they are.
    """
    names = list(dict.fromkeys(name for extra in extras for name in extra))
    taken = {name for name in names if name in kept or not _refused(name)}
    found = {}
    for name in names:
        written = name
        if name not in taken:
            written = f"row_{name}"
            while written in taken:
                written = f"row_{written}"
            taken.add(written)
        found[name] = written
    return found


def _refused(name: str) -> bool:
    return name in RESERVED or name.startswith(_OURS)


SELECTION: Final = "selection.json"
OF_TRAINER: Final = "lnat_selection.json"
"""What a trainer keeps in its output folder: the selection alone."""

_MARK: Final = "lnat_plugins"
_REMEDY: Final = "name the folder that `lnat select` or a trainer wrote, or the file in it"


def selection_text(selection: Selection, origin: Origin, form: str) -> str:
    """The file's text. `Selection.from_dict` reads the selection back out of its JSON."""
    values = {
        _MARK: __version__,
        "task": origin.task,
        "files": list(origin.files),
        "scoring": dict(origin.scoring),
        "versions": dict(origin.versions),
        "form": form,
        "chosen_by_teacher": selection.chosen_by_teacher,
        "left_out": selection.left_out,
        **selection.as_dict(),
    }
    # A setting may be a date or a path where YAML or a program gave one.
    lines = (
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in values.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_selection(path: str | Path) -> Selection:
    """The selection of a training set or of a trainer's run, from its folder or the file in it.

    Args:
        path: `selection.json`, `lnat_selection.json`, or a folder with one of them; of both,
            the former.

    Raises:
        DataError: no such file, or not a stored selection.
    """
    path = Path(path)
    if path.is_dir():
        kept = path / OF_TRAINER
        path = kept if kept.exists() and not (path / SELECTION).exists() else path / SELECTION
    return Selection.from_dict(_read(path), str(path))


def is_ours(folder: Path) -> bool:
    """Whether the folder holds the `selection.json` of a training set that we wrote."""
    try:
        return {_MARK, "indices", "reasons"} <= _read(folder / SELECTION).keys()
    except DataError:
        return False


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise DataError(
            "the stored selection cannot be opened",
            where=str(path),
            found=cause.strerror,
            remedy=_REMEDY,
        ) from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        raise DataError("this is not a stored selection", where=str(path), remedy=_REMEDY)
    return values


_BATCH: Final = 1000
_TURNS: Final = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_OWN: Final = {
    "lnat_teacher": pa.string(),
    "lnat_sample": pa.int64(),
    "lnat_prompt_id": pa.string(),
    "lnat_score": pa.float64(),
    "lnat_weight": pa.float64(),
    "lnat_correct": pa.bool_(),
    "lnat_index": pa.int64(),
}


def write_parquet(
    path: Path, pool: Candidates, selection: Selection, form: str, kept: Collection[str] = ()
) -> None:
    """One row per chosen row, ascending: TRL's columns, ours (`lnat_*`), and the row's others.

    Args:
        path: the file; its folder is there.
        pool: all candidates.
        selection: of that pool, at least one row chosen.
        form: one of `columns.FORMS`, and one that these rows have.
        kept: other columns of the rows that keep their name though TRL reads them.
    """
    rows = [pool.rows[index] for index in selection.indices]
    texts = [row_columns(row, plain=pool.plain, form=form) for row in rows]
    own = own_columns(pool, selection)
    types = dict.fromkeys(texts[0], pa.string() if pool.plain else _TURNS) | _OWN
    if isinstance(own[0]["lnat_sample"], str):
        types["lnat_sample"] = pa.string()
    spare = {
        written: _column([row.response.extra.get(name) for row in rows])
        for name, written in spare_names((row.response.extra for row in rows), kept).items()
    }
    schema = pa.schema([*types.items(), *((name, one.type) for name, one in spare.items())])
    with pq.ParquetWriter(path, schema) as writer:
        # In parts, because the texts of one list column must stay below two gigabytes.
        for begin in range(0, len(rows), _BATCH):
            part = slice(begin, begin + _BATCH)
            lines = [ours | theirs for ours, theirs in zip(texts[part], own[part], strict=True)]
            arrays = [pa.array([line[name] for line in lines], types[name]) for name in types]
            arrays += [column.slice(begin, _BATCH) for column in spare.values()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _column(values: Sequence[Any]) -> Any:
    """The values in the type that they share, else each as JSON text."""
    try:
        column = pa.array(values)
        if _can_be_written(column.type):
            return column
    except (pa.ArrowException, OverflowError):
        pass
    texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in values]
    return pa.array(texts, pa.string())


def _can_be_written(kind: Any) -> bool:
    """Parquet has no structure without fields."""
    if pa.types.is_struct(kind):
        fields = [kind.field(place).type for place in range(kind.num_fields)]
        return bool(fields) and all(map(_can_be_written, fields))
    return not pa.types.is_list(kind) or _can_be_written(kind.value_type)


def check_repo_id(repo_id: str) -> None:
    """Refuse what cannot be a repository's name, before anything is written.

    Raises:
        ConfigError: says what is wrong with it.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as cause:
        raise ConfigError(
            f"no repository can have this name: {cause}",
            found=repo_id,
            remedy="give --push_to_hub a name such as me/chosen-traces",
        ) from None


def push_to_hub(folder: str | Path, repo_id: str, *, private: bool = True) -> str:
    """Upload a training set as a data set's repository, made if it is not there; its address.

    `sft.yaml` stays behind: its paths are those of this machine.

    Args:
        folder: as `write_training_set` wrote it.
        repo_id: "name" or "owner/name".
        private: whether a new repository is private; one that is there stays as it is.

    Raises:
        ConfigError: the Hub refuses or cannot be reached; the folder is left as it is.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[SFT_CONFIG],
            commit_message="Training set chosen by lnat-plugins",
        )
    except Exception as cause:
        # The client's errors have no root of their own, and its transport brings more.
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ConfigError(
            f"the training set was not uploaded: {first.rstrip('.')}",
            where=repo_id,
            remedy=f"log in with `hf auth login`, or upload the folder {folder} yourself",
        ) from cause
    return f"https://huggingface.co/datasets/{repo_id}"


DATA: Final = "data/train.parquet"
CARD: Final = "README.md"
_FILES: Final = frozenset({DATA, SELECTION, SFT_CONFIG, CARD, DATASET_INFO})


def write_training_set(
    folder: str | Path,
    pool: Candidates,
    selection: Selection,
    *,
    form: str = "prompt_completion",
    origin: Origin | None = None,
    llama_factory: bool = False,
    kept: Collection[str] = (),
    training: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Write the chosen rows and all that training and a reader need; the files written.

    `data/train.parquet`, `selection.json`, `sft.yaml` (for `trl sft --config`), `README.md` (a
    data set's card), and `dataset_info.json` if `llama_factory`.

    Args:
        folder: where to. A training set that stands there is replaced, `sft.yaml` included;
            anything else is refused.
        pool: the candidates.
        selection: made from this pool.
        form: "prompt_completion" or "messages"; see `columns.FORMS`.
        origin: where rows and scores come from.
        llama_factory: whether LLaMA-Factory is to read it too.
        kept: other columns of the rows that TRL is to read as its own, because the rows were
            scored with them: `tools`, `chat_template_kwargs`. By default they are renamed.
        training: keys of TRL's that `sft.yaml` takes over, such as those of the config that the
            rows were chosen by.

    Raises:
        ConfigError: the folder cannot be taken or written, or the rows do not have this form.
        DataError: the selection was made from other rows, or is empty.
    """
    folder = Path(folder).resolve()
    origin = origin or Origin()
    check_form(pool, form)
    if llama_factory:
        check_llama_factory(pool, selection, form)
    if selection.pool != pool.fingerprint:
        raise DataError(
            "the selection was made from other rows",
            found=f"{selection.pool!r}, not {pool.fingerprint!r}",
            remedy="choose again",
        )
    if not selection.indices:
        raise DataError("no row is chosen", remedy="loosen the selection")
    check_folder(folder)
    texts = {
        SELECTION: selection_text(selection, origin, form),
        SFT_CONFIG: sft_yaml(folder, folder / DATA, selection, training),
        CARD: card(selection, origin, form, plain=pool.plain, data=DATA),
    }
    if llama_factory:
        texts[DATASET_INFO] = dataset_info(pool, DATA)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _in_one_move(folder, lambda path: write_parquet(path, pool, selection, form, kept), texts)
    except OSError as cause:
        raise ConfigError(
            "the training set cannot be written",
            where=str(folder),
            found=cause.strerror or str(cause),
            remedy="give a folder that can be written to",
        ) from None
    return tuple(folder / name for name in (DATA, *texts))


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that holds anything but a training set of ours.

    Raises:
        ConfigError: names what is in the way.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(
            "a file stands where the training set is to go",
            where=str(folder),
            remedy="give another folder, or remove the file",
        )
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(found - _FILES if is_ours(folder) else found)
    if foreign:
        raise ConfigError(
            "the folder holds files that are no part of a training set",
            where=str(folder),
            found=", ".join(foreign),
            remedy="give another folder, or move them away",
        )


def _in_one_move(folder: Path, write_data: Callable[[Path], None], texts: dict[str, str]) -> None:
    aside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        (aside / DATA).parent.mkdir(parents=True)
        write_data(aside / DATA)
        for name, text in texts.items():
            (aside / name).write_text(text, encoding="utf-8", newline="\n")
        _replace(folder, aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _replace(folder: Path, new: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    old = new.with_name(f"{new.name}.old")
    folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old)


_RENDERING: Final = ("chat_template", "system_instruction", "target_delimiter")


@dataclass(frozen=True)
class ScoredStudent:
    """A student that has scored everything already; a `selection.Student`.

    Args:
        name: the model's name or path.
        records: one for each row of the pool, in its order.
        plain: see `Candidates.plain`.
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
    arguments: Callable[[Candidate], Mapping[str, Any]] | None = None

    @cached_property
    def _reader(self) -> Any:
        return self.load(self.tokenizer or self.name)

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """The stored record of each row."""
        return [self.records[row.index] for row in rows]

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each response, as counted when it was scored."""
        return [self.records[row.index].n_tokens for row in rows]

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
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


def candidates_of_scores(scored: ScoredSet) -> Candidates:
    """The scored responses as rows to choose from, in order, prompts as they were rendered.

    Raises:
        DataError: scores that do not say how prompts were rendered.
    """
    missing = [name for name in _RENDERING if name not in scored.settings]
    if missing:
        raise DataError(
            "the scores do not say how prompts were rendered",
            where=", ".join(scored.files[:1]),
            found=f"no {', '.join(missing)} among the settings",
            remedy="score the teacher set again with lm_eval --log_samples",
        )
    plain = scored.settings["chat_template"] is None
    rows = (
        replace(
            row.candidate,
            index=index,
            messages=_turns(row.candidate.messages, scored.settings, plain),
        )
        for index, row in enumerate(scored.rows)
    )
    return Candidates(tuple(rows), plain)


def _turns(
    messages: tuple[Message, ...], settings: Mapping[str, Any], plain: bool
) -> tuple[Message, ...]:
    """As the harness's task renders it: the system instruction first, then the turns."""
    system = settings["system_instruction"]
    if plain:
        opening = f"{system}\n\n" if system else ""
        return (
            {
                "role": "user",
                "content": opening + plain_text(messages) + settings["target_delimiter"],
            },
        )
    return (*([{"role": "system", "content": system}] if system else []), *messages)


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
