"""`dataset_path` as a list of files and hub datasets, each with the teacher it names.

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
from typing import Final, Literal

from lnat_plugins.config import DataSpec
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.teacher_set import _hub
from lnat_plugins.teacher_set.loaders import (
    Loader,
    Row,
    by_suffix,
    get_loader,
    loader_of,
    read_file,
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
        rows = _hub.read_dataset(
            source.location, spec.dataset_name, spec.split, spec.dataset_kwargs
        )
    else:
        path = Path(source.location)
        if source.kind == "hub_file":
            path = _hub.fetch(source.location, spec.dataset_kwargs.get("revision"), spec.source)
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
        urls = _hub.expand(path, spec.source) if glob.has_magic(path) else [path]
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
                remedy=f"name its files: dataset_path: {_hub.PREFIX}{location}/*/*.json",
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
                f"dataset_path: {_hub.PREFIX}{source.location}/*.json",
            )
