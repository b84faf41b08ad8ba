"""A training set as a folder: written aside, then moved into place as a whole.

A run that is killed leaves the old folder or the new one, never half of one; at worst a hidden
folder beside it. Knows nothing of what stands in the files.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Pool, Selection
from lnat_plugins.training_set.card import card
from lnat_plugins.training_set.columns import check_form
from lnat_plugins.training_set.document import SELECTION, is_ours, selection_text
from lnat_plugins.training_set.llama_factory import (
    DATASET_INFO,
    check_llama_factory,
    dataset_info,
)
from lnat_plugins.training_set.origin import Origin
from lnat_plugins.training_set.parquet import write_parquet
from lnat_plugins.training_set.sft_config import SFT_CONFIG, sft_yaml

DATA: Final = "data/train.parquet"
CARD: Final = "README.md"
_FILES: Final = frozenset({DATA, SELECTION, SFT_CONFIG, CARD, DATASET_INFO})


def write_training_set(
    folder: str | Path,
    pool: Pool,
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
