"""The training set: chosen rows as a folder of files for TRL and others, and on the Hub.

The rows are one parquet file in one of TRL's two formats, with our columns (`lnat_*`) and the rows'
other columns. TRL detects a data set's format by its column names (trl 1.16): a second format
beside ours makes it read the wrong one, and names such as `input_ids` or `images` make it skip its
own preparation. A row's other column of such a name is written as "row_<name>".
"""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.files import RepeatedKeyError, parse_json, require_regular, user_path
from lnat_plugins.folders import replacing, restored
from lnat_plugins.formatting import plural
from lnat_plugins.locks import locked
from lnat_plugins.outputs import OVERWRITE, check_writable
from lnat_plugins.selection.cards import (
    DATASET_INFO,
    SFT_CONFIG,
    Provenance,
    card,
    check_llama_factory,
    dataset_info,
    sft_yaml,
)
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE, Candidate, Candidates

FORMATS: Final = ("prompt_completion", "messages")
"""TRL's formats; with the first one it trains on the completion alone, with the second on all."""

RESERVED: Final = frozenset(
    """
    prompt completion messages text conversations chosen rejected tools chat_template_kwargs
    image images videos pixel_values input_ids labels label attention_mask position_ids
    completion_mask assistant_masks seq_lengths
    """.split()
)
"""Column names that mean something to TRL; none of a row's other columns may have one of them."""

DATA: Final = "data/train.parquet"
SELECTION: Final = "selection.json"
OF_TRAINER: Final = "lnat_selection.json"
"""What a trainer keeps in its output folder: the selection alone."""

_FILES: Final = frozenset({DATA, SELECTION, SFT_CONFIG, "README.md", DATASET_INFO})
_MARK: Final = "lnat_plugins"
_REMEDY: Final = "name the folder that `lnat select` or a trainer wrote, or the file in it"
_BATCH: Final = 1000
_MANY: Final = 100  # files, as one may be a home folder


def write_training_set(
    folder: str | Path,
    candidates: Candidates,
    selection: Selection,
    *,
    format: str = "prompt_completion",
    provenance: Provenance | None = None,
    llama_factory: bool = False,
    sft_settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write the chosen rows and all that training and a reader need; the files written.

    `data/train.parquet`, `selection.json`, `sft.yaml` (for `trl sft --config`), `README.md` (a
    data set's card), and `dataset_info.json` if `llama_factory`. The folder is written aside and
    moved into place as a whole: a run that is killed leaves the old folder or the new one, or the
    old one beside its place, from where the next run brings it back.

    Args:
        folder: a training set that is there is replaced, `sft.yaml` included; anything else is
            refused.
        selection: made from these candidates.
        format: "prompt_completion" or "messages".
        llama_factory: whether LLaMA-Factory is to read it too.
        sft_settings: keys of TRL's that `sft.yaml` takes over, such as those of the config that
            the rows were chosen by.
        overwrite: whether a folder that holds anything else is replaced too, as a whole.

    Raises:
        ConfigError: the folder cannot be used or written, or the rows do not have this format.
        DataError: the selection was made from other rows, or is empty.
    """
    folder = Path(folder).resolve()
    provenance = provenance or Provenance()
    if format not in FORMATS:
        known = did_you_mean(format, FORMATS)
        raise ConfigError("unknown format of rows", found=format, remedy=known)
    if format == "messages" and candidates.plain:
        raise ConfigError(
            "prompts that are plain text cannot be written as `messages`",
            remedy="write them as prompt_completion; or score them as conversations (lm_eval "
            "--apply_chat_template) and choose again",
        )
    if llama_factory:
        check_llama_factory(candidates, selection, format)
    if selection.pool != candidates.fingerprint:
        raise DataError(
            "the selection was made from other rows",
            found=f"{selection.pool!r}, not {candidates.fingerprint!r}", remedy="choose again",
        )  # fmt: skip
    if not selection.indices:
        raise DataError("no row is chosen", remedy="loosen the selection")
    check_folder(folder, overwrite)
    texts = {
        SELECTION: _selection_json(selection, provenance, format),
        SFT_CONFIG: sft_yaml(folder, folder / DATA, selection, sft_settings or {}),
        "README.md": card(selection, provenance, format, plain=candidates.plain, data=DATA),
    }
    if llama_factory:
        texts[DATASET_INFO] = dataset_info(candidates.plain, DATA)
    try:
        with replacing(folder) as new:
            (new / DATA).parent.mkdir()
            write_parquet(new / DATA, candidates, selection, format)
            for name, text in texts.items():
                (new / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as cause:
        raise ConfigError(
            "the training set cannot be written",
            where=str(folder), found=cause.strerror or str(cause),
            remedy="give a folder that can be written to",
        ) from None  # fmt: skip
    return tuple(folder / name for name in (DATA, *texts))


def check_folder(folder: str | Path, overwrite: bool = False) -> None:
    """Refuse a folder that holds anything but a training set of ours, or cannot be written to.

    A folder that a killed run has left aside is brought back first.

    Args:
        folder: where a training set is to be written.
        overwrite: whether it may hold anything else, though not the working or home folder.

    Raises:
        ConfigError: it is refused.
    """
    folder = Path(os.path.realpath(folder))
    check_writable(folder.parent, "--output_path", str(folder))
    restored(folder)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ConfigError(
            "this is a file, and a training set is a folder",
            where=str(folder), remedy="give another folder, or remove the file",
        )  # fmt: skip
    if overwrite and any(one.resolve().is_relative_to(folder) for one in (Path.cwd(), Path.home())):
        raise ConfigError(
            "this folder holds the working folder or your home, and is not replaced",
            where=str(folder), remedy="give another folder",
        )  # fmt: skip
    if overwrite or not _foreign(folder):
        return
    with locked(folder):  # another process may just have been moving its own into place
        foreign = _foreign(folder)
    if foreign:
        raise ConfigError(
            "the folder holds files that are no part of a training set",
            where=str(folder), found=", ".join(foreign),
            remedy=f"give another folder, move them away, or replace all of it with {OVERWRITE}",
        )  # fmt: skip


def _foreign(folder: Path) -> list[str]:
    """Files that are no part of a training set of ours, at most 100."""
    try:
        is_ours = {_MARK, "indices", "reasons"} <= _read(folder / SELECTION).keys()
    except DataError:
        is_ours = False
    files = (one.relative_to(folder).as_posix() for one in folder.rglob("*") if not one.is_dir())
    return sorted(islice((one for one in files if not (is_ours and one in _FILES)), _MANY))


def standing(folder: str | Path) -> str:
    """The training set in the folder, "30 rows of my_teachers"; "" if there is none."""
    try:
        values = _read(Path(folder) / SELECTION)
    except DataError:
        return ""
    rows = plural(len(values.get("indices", ())), "row", separator=",")
    return f"{rows} of {values['task']}" if values.get("task") else rows


def _selection_json(selection: Selection, provenance: Provenance, format: str) -> str:
    """One line a key, so that the head of a large file can be read; for `Selection.from_dict`."""
    values = {
        _MARK: __version__,
        "task": provenance.task,
        "files": list(provenance.files),
        "scoring": dict(provenance.scoring),
        "versions": dict(provenance.versions),
        "form": format,
        "chosen_by_teacher": selection.chosen_by_teacher,
        "left_out": selection.dropped,
        **selection.as_dict(),
    }
    # `str`: a setting may be a date or a path where YAML or a program gave one.
    write = partial(json.dumps, ensure_ascii=False, default=str)
    lines = ",\n".join(f"  {write(name)}: {write(value)}" for name, value in values.items())
    return f"{{\n{lines}\n}}\n"


def read_selection(path: str | Path) -> Selection:
    """The selection of a training set or of a trainer's run, from its folder or the file in it.

    The file is `selection.json` or `lnat_selection.json`; of both, the former is read.

    Raises:
        DataError: no such file, or not a stored selection.
    """
    path = user_path(path, DataError)
    if path.is_dir():
        of_trainer = (path / OF_TRAINER).exists() and not (path / SELECTION).exists()
        path = path / (OF_TRAINER if of_trainer else SELECTION)
    return Selection.from_dict(_read(path), str(path))


def _read(path: Path) -> Mapping[str, Any]:
    require_regular(path, DataError)
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except RepeatedKeyError as cause:
        raise DataError(str(cause), where=str(path), remedy=_REMEDY) from None
    except OSError as cause:
        what = "the stored selection cannot be opened"
        raise DataError(what, where=str(path), found=cause.strerror, remedy=_REMEDY) from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        raise DataError("this is not a stored selection", where=str(path), remedy=_REMEDY)
    return values


def write_parquet(
    path: Path,
    candidates: Candidates,
    selection: Selection,
    format: str,
) -> None:
    """The rows of the training set in its order: TRL's columns, ours (`lnat_*`), and the others.

    The texts are strings for plain text, else lists of turns; `lnat_sample` is text if any of the
    samples is. At least one row is chosen, and these rows have the format.
    """
    rows = [candidates.rows[index] for index in selection.rows]
    samples = [row.response.sample for row in rows]
    scores = [selection.scores[index] for index in selection.rows]
    numbers = all(isinstance(one, int) and abs(one) < 2**63 for one in samples)
    columns: dict[str, tuple[Any, Sequence[Any]]] = {
        **{
            name: (pa.string() if candidates.plain else _turns(values), values)
            for name, values in _texts(rows, candidates.plain, format).items()
        },
        "lnat_teacher": (pa.string(), [row.teacher for row in rows]),
        "lnat_sample": (pa.int64(), samples) if numbers else (pa.string(), [*map(str, samples)]),
        "lnat_prompt_id": (pa.string(), [row.prompt_id for row in rows]),
        "lnat_score": (pa.float64(), [None if math.isnan(score) else score for score in scores]),
        "lnat_weight": (pa.float64(), selection.row_weights),
        "lnat_correct": (pa.bool_(), [row.response.correct for row in rows]),
        "lnat_index": (pa.int64(), selection.rows),
    }
    extras = [row.response.extra for row in rows]
    for name, written in extra_names(extras, plain=candidates.plain).items():
        as_json = written == "tools"  # as TRL reads them
        values = [row.response.extra.get(name) for row in rows]
        column = extra_column(values, as_json=as_json)
        columns[written] = column.type, column
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()])
    with pq.ParquetWriter(path, schema) as writer:
        # In parts, because the texts of one list column must stay below two gigabytes. (A
        # `datasets.Dataset` would hold them all in one, or write them to a cache first.)
        for begin in range(0, len(rows), _BATCH):
            part = slice(begin, begin + _BATCH)
            arrays = [pa.array(values[part], kind) for kind, values in columns.values()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _texts(rows: Sequence[Candidate], plain: bool, format: str) -> dict[str, list[Any]]:
    """The columns that TRL reads."""
    if plain:
        prompts = [row.messages[0]["content"] for row in rows]
        return {"prompt": prompts, "completion": [row.text for row in rows]}
    turns = [[dict(turn) for turn in row.messages] for row in rows]
    answers = [
        [{"role": "assistant", **(row.response.turn or {"content": row.text})}] for row in rows
    ]
    if format == "messages":
        return {"messages": [*map(operator.add, turns, answers)]}
    return {"prompt": turns, "completion": answers}


def _turns(conversations: Iterable[Sequence[Mapping[str, str]]]) -> Any:
    """The type of a column of turns: role, content, and what else some turn has."""
    keys = dict.fromkeys(key for turns in conversations for turn in turns for key in turn)
    return pa.list_(pa.struct([(key, pa.string()) for key in keys]))


def extra_names(
    extras: Iterable[Mapping[str, Any]], *, plain: bool, taken: Collection[str] = ()
) -> dict[str, str]:
    """Name of a row's other column -> the name it is written under, in order of appearance.

    TRL reads those of `READ_BY_TEMPLATE` as its own in conversations, and rows are scored with
    them; they keep their names there. `taken`: names of further columns.
    """
    names = dict.fromkeys(name for extra in extras for name in extra)
    reserved = (RESERVED if plain else RESERVED.difference(READ_BY_TEMPLATE)).union(taken)
    renamed = {name for name in names if name in reserved or name.startswith("lnat_")}
    used = names.keys() - renamed
    found = {}
    for name in names:
        written = name
        while name in renamed and written in used | renamed | reserved:
            written = f"row_{written}"
        used.add(written)
        found[name] = written
    return found


def extra_column(values: Sequence[Any], *, as_json: bool = False) -> Any:
    """The values in the type that they share; without one, each as JSON text. None is null.

    `as_json`: as JSON text in any case (text stays), for what must come back as it was: a table
    fills the keys that an object lacks with nulls.
    """
    if as_json:
        texts = [
            one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            for one in values
        ]
        return pa.array(texts, pa.string())
    try:
        column = pa.array(values)
        # Refuses what Parquet does not have, such as a struct without fields.
        pq.write_metadata(pa.schema([("column", column.type)]), pa.BufferOutputStream())
        return column
    except (pa.ArrowException, OverflowError):
        texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in values]
        return pa.array(texts, pa.string())


def check_repo_id(repo_id: str) -> None:
    """Refuse what cannot be a repository's name, before anything is written (ConfigError)."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as cause:
        raise ConfigError(
            f"no repository can have this name: {cause}",
            found=repo_id, remedy="give --push_to_hub a name such as me/chosen-traces",
        ) from None  # fmt: skip


def push_to_hub(folder: str | Path, repo_id: str, *, private: bool = True) -> str:
    """Upload a training set to the Hugging Face Hub as a data set; its address.

    `sft.yaml` is not uploaded: its paths are those of this machine.

    Args:
        folder: as `write_training_set` wrote it.
        repo_id: "name" or "owner/name"; made if it does not exist.
        private: for a new repository; one that exists stays as it is.

    Raises:
        ConfigError: the Hub refuses or cannot be reached; the folder is left as it is.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id, repo_type="dataset", folder_path=folder, ignore_patterns=[SFT_CONFIG],
            commit_message="Training set chosen by lnat-plugins",
        )  # fmt: skip
    except Exception as cause:
        # The client's errors have no root of their own, and its transport brings more.
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ConfigError(
            f"the training set was not uploaded: {first.rstrip('.')}",
            where=repo_id,
            remedy=f"log in with `hf auth login`, or upload the folder {folder} yourself",
        ) from cause
    return f"https://huggingface.co/datasets/{repo_id}"
