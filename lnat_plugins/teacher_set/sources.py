"""Rows from the Hugging Face hub: whole datasets, and single files at hf://datasets/...

Knows nothing of columns or teachers. `datasets` and `huggingface_hub` are imported
when they are needed; whatever goes wrong there becomes one DataError with the dataset's
name and the cause.

`dataset_path` as a list of files and hub datasets, each with the teacher it names.

Knows nothing of columns. Local paths start from the YAML's folder; a name that is
neither a file, a folder nor a pattern there is taken for a dataset on the hub.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NamedTuple

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.loaders import (
    Loader,
    Row,
    by_suffix,
    get_loader,
    loader_of,
    read_file,
)

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


_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """One file or hub dataset.

    location: an absolute path, an address hf://datasets/..., or a dataset's id.
    teacher: whose responses it holds, or None where the rows say so.
    shown: its name in messages.
    """

    kind: Literal["file", "hub_file", "hub_dataset"]
    location: str
    teacher: str | None
    shown: str


def resolve(spec: DataSpec, loaders: Mapping[str, Loader]) -> tuple[Source, ...]:
    """Every file and hub dataset of the set, patterns and folders expanded, in order.

    Of a folder, the files whose suffix one of the loaders knows.

    Raises DataError for a path that leads to nothing, ConfigError for settings that
    the data cannot follow.
    """
    if isinstance(spec.dataset_path, Mapping):
        named: list[tuple[str | None, str]] = [
            (teacher, path) for teacher, paths in spec.dataset_path.items() for path in paths
        ]
    else:
        listed = (spec.dataset_path,) if isinstance(spec.dataset_path, str) else spec.dataset_path
        named = [(None, path) for path in listed]
    suffixes = tuple(by_suffix(loaders))
    sources = tuple(
        source for teacher, path in named for source in _expand(path, teacher, spec, suffixes)
    )
    _check_kwargs(sources, spec)
    _check_loader(sources, spec, loaders)
    return sources


def read_rows(source: Source, spec: DataSpec, loaders: Mapping[str, Loader]) -> Iterator[Row]:
    """The source's rows, a file's through the set's loader or else the one that its suffix asks
    for; a source without any is a DataError.
    """
    if source.kind == "hub_dataset":
        rows = read_dataset(source.location, spec.dataset_name, spec.split, spec.dataset_kwargs)
    else:
        path = Path(source.location)
        if source.kind == "hub_file":
            path = fetch(source.location, spec.dataset_kwargs.get("revision"), spec.source)
        named = None if spec.loader is None else loaders[spec.loader]
        rows = read_file(path, source.shown, named or loader_of(path, source.shown, loaders))
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise DataError("there is no row", where=source.shown, remedy="remove it or fill it")


def _expand(
    path: str, teacher: str | None, spec: DataSpec, suffixes: tuple[str, ...]
) -> list[Source]:
    if path.startswith("hf://"):
        urls = expand(path, spec.source) if glob.has_magic(path) else [path]
        found = [_source("hub_file", url, teacher, spec) for url in urls]
    else:
        local = spec.base_dir / Path(path).expanduser()
        if glob.has_magic(path) and not local.exists():
            names = sorted(glob.glob(str(local), recursive=True))
            files = [name for name in names if os.path.isfile(name)]
            found = [_source("file", name, teacher, spec) for name in files]
        elif local.is_dir():
            inside = [file for file in sorted(local.rglob("*")) if _is_data(file, local, suffixes)]
            found = [_source("file", str(file), teacher, spec) for file in inside]
        elif local.exists() or local.suffix.lower() in suffixes:
            found = [_source("file", str(local), teacher, spec)]
        elif _HUB_ID.fullmatch(path):
            found = [_source("hub_dataset", path, teacher, spec)]
        else:
            found = []
    if not found:
        raise DataError(
            "this leads to no data",
            where=f"{spec.source}: dataset_path",
            found=path,
            remedy=f"give a file ({', '.join(suffixes)}), a folder or a pattern relative to "
            f"{spec.base_dir}, or a dataset's id on the hub",
        )
    return found


def _is_data(file: Path, folder: Path, suffixes: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.is_file() and file.suffix.lower() in suffixes and not hidden


def _source(
    kind: Literal["file", "hub_file", "hub_dataset"],
    location: str,
    teacher: str | None,
    spec: DataSpec,
) -> Source:
    if spec.teacher_from != "column":
        if kind == "hub_dataset":
            raise ConfigError(
                "a hub dataset has no file names to take teachers from",
                where=f"{spec.source}: naturalness: teacher_from",
                found=spec.teacher_from,
                remedy=f"name its files: dataset_path: {PREFIX}{location}/*/*.json",
            )
        path = PurePosixPath(Path(location).as_posix())
        teacher = path.stem if spec.teacher_from == "file_stem" else path.parent.name
    return Source(kind, location, teacher, _shown(location, spec) if kind == "file" else location)


def _shown(location: str, spec: DataSpec) -> str:
    try:
        return Path(location).relative_to(spec.base_dir).as_posix()
    except ValueError:
        return location


def _check_kwargs(sources: tuple[Source, ...], spec: DataSpec) -> None:
    kinds = {source.kind for source in sources}
    legal = {"revision"} if "hub_file" in kinds else set()
    unused = {} if "hub_dataset" in kinds else set(spec.dataset_kwargs) - legal
    if unused:
        raise ConfigError(
            "`dataset_kwargs` only reach datasets loaded from the hub by their id",
            where=spec.source,
            found=sorted(unused),
            remedy="remove them; name local files in `dataset_path`",
        )


def _check_loader(
    sources: tuple[Source, ...], spec: DataSpec, loaders: Mapping[str, Loader]
) -> None:
    if spec.loader is None:
        return
    where = f"{spec.source}: naturalness: loader"
    get_loader(spec.loader, where, loaders)
    for source in sources:
        if source.kind == "hub_dataset":
            raise ConfigError(
                "a loader reads files, and this is a dataset on the hub",
                where=where,
                found=source.location,
                remedy="remove `loader`, or name the dataset's files: "
                f"dataset_path: {PREFIX}{source.location}/*.json",
            )
