"""`dataset_path` as a list of files and hub datasets, and the rows of each.

Local paths start from the YAML's folder; a name that is neither a file, a folder nor a pattern
there is a dataset's id on the Hugging Face hub. Single files of a hub dataset are addressed as
hf://datasets/owner/name[@revision]/path. Whatever goes wrong on the hub becomes one DataError with
the dataset's name and the cause.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.loaders import Loader, Row, by_suffix, loader_of, read_file

PREFIX: Final = "hf://datasets/"

_HUB_FILE: Final = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")
_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")

SourceKind = Literal["file", "hub_file", "hub_dataset"]


@dataclass(frozen=True)
class Source:
    """One file or hub dataset.

    location: an absolute path, an address hf://datasets/..., or a dataset's id.
    teacher: whose responses it holds, or None where the rows say so.
    shown: its name in messages.
    """

    kind: SourceKind
    location: str
    teacher: str | None
    shown: str


def resolve(spec: DataSpec, loaders: Mapping[str, Loader]) -> tuple[Source, ...]:
    """Every file and hub dataset of the set, patterns and folders expanded, in order.

    Of a folder, the files whose suffix one of the loaders reads.

    Raises DataError for a path without data, ConfigError for settings that do not apply to
    the data.
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
        _source(kind, location, teacher, spec)
        for teacher, path in named
        for kind, location in _expand(path, spec, suffixes)
    )
    kinds = {source.kind for source in sources}
    legal = {"revision"} if "hub_file" in kinds else set()
    unused = set(spec.dataset_kwargs) - legal
    if unused and "hub_dataset" not in kinds:
        raise ConfigError(
            "`dataset_kwargs` only reach datasets loaded from the hub by their id",
            where=spec.source,
            found=sorted(unused),
            remedy="remove them; name local files in `dataset_path`",
        )
    if spec.loader is not None:
        where = f"{spec.source}: naturalness: loader"
        if spec.loader not in loaders:
            raise ConfigError(
                "unknown loader",
                where=where,
                found=spec.loader,
                remedy=did_you_mean(spec.loader, loaders),
            )
        for source in sources:
            if source.kind == "hub_dataset":
                raise ConfigError(
                    "a loader reads files, and this is a dataset on the hub",
                    where=where,
                    found=source.location,
                    remedy="remove `loader`, or name the dataset's files: "
                    f"dataset_path: {PREFIX}{source.location}/*.json",
                )
    return sources


def read_rows(source: Source, spec: DataSpec, loaders: Mapping[str, Loader]) -> Iterator[Row]:
    """The source's rows; a file is read by the set's loader or by the one for its suffix.

    Raises DataError for what cannot be read, and for a source without rows.
    """
    if source.kind == "hub_dataset":
        rows = _read_dataset(source.location, spec)
    else:
        path = Path(source.location)
        if source.kind == "hub_file":
            path = _download(source.location, spec)
        named = None if spec.loader is None else loaders[spec.loader]
        rows = read_file(path, source.shown, named or loader_of(path, source.shown, loaders))
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise DataError("there is no row", where=source.shown, remedy="remove it or fill it")


def parse_url(url: str, where: str) -> tuple[str, str | None, str]:
    """Repository, revision (None is the main branch) and path of hf://datasets/..."""
    found = _HUB_FILE.fullmatch(url)
    if found is None:
        raise DataError(
            "not the address of a file on the hub",
            where=where,
            found=url,
            remedy="write hf://datasets/owner/name/path/to/file.json",
        )
    return found[1], found[2], found[3]


def _download(url: str, spec: DataSpec) -> Path:
    """A local copy of the file, downloaded once and then taken from the hub's cache."""
    repo, revision, path = parse_url(url, spec.source)
    try:
        from huggingface_hub import hf_hub_download

        revision = revision or spec.dataset_kwargs.get("revision")
        return Path(hf_hub_download(repo, path, repo_type="dataset", revision=revision))
    except Exception as cause:
        raise _hub_error(url, cause) from cause


def _read_dataset(dataset: str, spec: DataSpec) -> Iterator[Row]:
    try:
        from datasets import load_dataset

        rows = load_dataset(dataset, spec.dataset_name, split=spec.split, **spec.dataset_kwargs)
        for number, values in enumerate(rows, start=1):
            yield Row(values, f"{dataset}[{spec.split}] row {number}")
    except Exception as cause:
        raise _hub_error(dataset, cause) from cause


def _hub_error(name: str, cause: Exception) -> DataError:
    reason = next(iter(str(cause).strip().splitlines()), "no reason given")
    return DataError(
        f"the dataset cannot be loaded: {type(cause).__name__}: {reason.rstrip('.')}",
        where=name,
        remedy="check the name (nothing local is called that) and the network, or give a local "
        "copy's path",
    )


def _expand(path: str, spec: DataSpec, suffixes: tuple[str, ...]) -> list[tuple[SourceKind, str]]:
    """Kind and location of everything that a path of `dataset_path` stands for; never empty."""
    local = spec.base_dir / Path(path).expanduser()
    found: list[tuple[SourceKind, str]] = []
    if path.startswith("hf://"):
        found = [("hub_file", url) for url in _expand_url(path, spec.source)]
    elif glob.has_magic(path) and not local.exists():
        names = sorted(glob.glob(str(local), recursive=True))
        found = [("file", name) for name in names if os.path.isfile(name)]
    elif local.is_dir():
        for file in sorted(local.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(local).parts)
            if file.is_file() and file.suffix.lower() in suffixes and not hidden:
                found.append(("file", str(file)))
    elif local.exists() or local.suffix.lower() in suffixes:
        found = [("file", str(local))]
    elif _HUB_ID.fullmatch(path):
        found = [("hub_dataset", path)]
    if not found:
        raise DataError(
            "this leads to no data",
            where=f"{spec.source}: dataset_path",
            found=path,
            remedy=f"give a file ({', '.join(suffixes)}), a folder or a pattern relative to "
            f"{spec.base_dir}, or a dataset's id on the hub",
        )
    return found


def _expand_url(url: str, where: str) -> list[str]:
    """The address, or those that match a pattern such as hf://datasets/o/n/*/gen1.json, sorted."""
    if not glob.has_magic(url):
        return [url]
    parse_url(url, where)
    try:
        from huggingface_hub import HfFileSystem

        return sorted(f"hf://{path}" for path in HfFileSystem().glob(url.removeprefix("hf://")))
    except Exception as cause:
        raise _hub_error(url, cause) from cause


def _source(kind: SourceKind, location: str, teacher: str | None, spec: DataSpec) -> Source:
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
    shown = location
    if kind == "file" and Path(location).is_relative_to(spec.base_dir):
        shown = Path(location).relative_to(spec.base_dir).as_posix()
    return Source(kind, location, teacher, shown)
