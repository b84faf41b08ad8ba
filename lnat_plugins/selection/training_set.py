"""The training set: chosen rows as a folder of files for a trainer, and on the Hub."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.files import RepeatedKeyError, parse_json, require_regular, user_path
from lnat_plugins.folders import replacing, restored
from lnat_plugins.formatting import plural
from lnat_plugins.locks import locked
from lnat_plugins.outputs import OVERWRITE, check_writable
from lnat_plugins.selection.cards import Provenance, card
from lnat_plugins.selection.formats import FORMATS, Chosen
from lnat_plugins.selection.formats.columns import write_columns
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.prompts import Candidates

SELECTION: Final = "selection.json"
OF_TRAINER: Final = "lnat_selection.json"
"""What a trainer keeps in its output folder: the selection alone."""

_CARD: Final = "README.md"
_FILES: Final = frozenset({SELECTION, _CARD}.union(*(one.files for one in FORMATS.values())))
_CONFIGS: Final = sorted({n for one in FORMATS.values() for n in one.texts if ".yaml" in n})
_MARK: Final = "lnat_plugins"
_REMEDY: Final = "name the folder that `lnat select` or a trainer wrote, or the file in it"
_MANY: Final = 100  # files, as one may be a home folder


def write_training_set(
    folder: str | Path,
    candidates: Candidates,
    selection: Selection,
    *,
    format: str = "trl",
    provenance: Provenance | None = None,
    rejected: Selection | None = None,
    longest: int | None = None,
    sft_settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write the chosen rows and all that training and a reader need; the files written.

    The format's data, its configs, `selection.json` and `README.md` (a data set's card). The
    folder is written aside and moved into place as a whole: a run that is killed leaves the old
    folder or the new one, or the old one beside its place, from where the next run brings it back.

    Args:
        folder: a training set that is there is replaced, its configs included; anything else is
            refused.
        selection: made from these candidates.
        format: a name in `formats.FORMATS`.
        rejected: the wrong rows for the format "preference", as `choose_rejected` chooses them.
        longest: tokens of the longest row as training reads it; None where it is not known.
        sft_settings: keys of TRL's that `sft.yaml` takes over, such as those of the config that
            the rows were chosen by.
        overwrite: whether a folder that holds anything else is replaced too, as a whole.

    Raises:
        ConfigError: the folder cannot be used or written, or the rows do not have this format.
        DataError: the selection was made from other rows, or is empty; the trainer would not read
            a row as it was scored.
    """
    folder = Path(folder).resolve()
    provenance = provenance or Provenance()
    if format not in FORMATS:
        known = did_you_mean(format, FORMATS)
        raise ConfigError("unknown format of rows", found=format, remedy=known)
    if selection.pool != candidates.fingerprint:
        raise DataError(
            "the selection was made from other rows",
            found=f"{selection.pool!r}, not {candidates.fingerprint!r}", remedy="choose again",
        )  # fmt: skip
    if not selection.indices:
        raise DataError("no row is chosen", remedy="loosen the selection")
    form = FORMATS[format]
    chosen = Chosen(candidates, selection, rejected, longest, folder, sft_settings or {})
    if form.needs == "rejected" and selection.answers_only:
        raise ConfigError(
            "pairs would set answers without thinking against responses with it",
            where="mix_answers", found=selection.settings.get("mix_answers"),
            remedy="leave it out, or write another format",
        )  # fmt: skip
    form.refuse(chosen)
    check_folder(folder, overwrite)
    texts = {
        SELECTION: _selection_json(selection, provenance, format),
        **{name: write(chosen) for name, write in form.texts.items()},
        _CARD: card(chosen, provenance, form),
    }
    tables = {name: made for name, make in form.tables.items() if (made := make(chosen))}
    try:
        with replacing(folder) as new:
            for name, columns in tables.items():
                (new / name).parent.mkdir(exist_ok=True)
                write_columns(new / name, columns)
            for name, text in texts.items():
                (new / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as cause:
        raise ConfigError(
            "the training set cannot be written",
            where=str(folder), found=cause.strerror or str(cause),
            remedy="give a folder that can be written to",
        ) from None  # fmt: skip
    return tuple(folder / name for name in (*tables, *texts))


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
        "format": format,
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

    Configs such as `sft.yaml` are not uploaded: their paths are those of this machine.

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
            repo_id=repo_id, repo_type="dataset", folder_path=folder, ignore_patterns=_CONFIGS,
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
