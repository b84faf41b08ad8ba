"""Rows from the Hugging Face hub: whole datasets, and single files at hf://datasets/...

Knows nothing of columns or teachers. `datasets` and `huggingface_hub` are imported
when they are needed; whatever goes wrong there becomes one DataError with the dataset's
name and the cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.loaders import Row

PREFIX: Final = "hf://datasets/"
_FILE: Final = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")
_REMEDY: Final = (
    "check the name (nothing local is called that) and the network, or give a local copy's path"
)


class HubFile(NamedTuple):
    """One file of a dataset's repository; revision None is the main branch."""

    repo: str
    revision: str | None
    path: str


def parse_url(url: str, where: str) -> HubFile:
    """The parts of hf://datasets/owner/name[@revision]/path."""
    found = _FILE.fullmatch(url)
    if found is None:
        raise DataError(
            "not the address of a file on the hub",
            where=where,
            found=url,
            remedy="write hf://datasets/owner/name/path/to/file.json",
        )
    return HubFile(*found.groups())


def expand(url: str, where: str) -> list[str]:
    """The addresses that match a pattern such as hf://datasets/o/n/*/gen1.json, sorted."""
    parse_url(url, where)
    try:
        from huggingface_hub import HfFileSystem

        paths = HfFileSystem().glob(url.removeprefix("hf://"))
    except Exception as cause:
        raise _failed(url, cause) from cause
    return sorted(f"hf://{path}" for path in paths)


def fetch(url: str, revision: str | None, where: str) -> Path:
    """A local copy of the file, downloaded once and then taken from the hub's cache."""
    file = parse_url(url, where)
    try:
        from huggingface_hub import hf_hub_download

        return Path(
            hf_hub_download(
                file.repo, file.path, repo_type="dataset", revision=file.revision or revision
            )
        )
    except Exception as cause:
        raise _failed(url, cause) from cause


def read_dataset(
    dataset: str, config: str | None, split: str, kwargs: Mapping[str, Any]
) -> Iterator[Row]:
    """The rows of one split of a hub dataset; `kwargs` go to `datasets.load_dataset`."""
    try:
        from datasets import load_dataset

        rows = load_dataset(dataset, config, split=split, **kwargs)
        for number, values in enumerate(rows, start=1):
            yield Row(values, f"{dataset}[{split}] row {number}")
    except Exception as cause:
        raise _failed(dataset, cause) from cause


def _failed(name: str, cause: Exception) -> DataError:
    reason = next(iter(str(cause).strip().splitlines()), "no reason given")
    return DataError(
        f"the dataset cannot be loaded: {type(cause).__name__}: {reason.rstrip('.')}",
        where=name,
        remedy=_REMEDY,
    )
