"""`dataset_path` as a list of files, saved datasets and hub datasets, and the rows of each.

Local paths start from the YAML's folder; a name that is neither a file, a folder nor a pattern
there is a dataset's id on the Hugging Face hub. A folder that `datasets.save_to_disk` wrote is one
dataset. Single files of a hub dataset are addressed as
hf://datasets/owner/name[@revision]/path. Every error of the hub becomes one DataError.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.files import user_path
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.loaders import (
    Loader,
    Row,
    by_suffix,
    kinds_of_file,
    loader_of,
    read_file,
    suffix_of,
)

_HUB_FILE: Final = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")
_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")

SourceKind = Literal["file", "saved_dataset", "hub_file", "hub_dataset"]


@dataclass(frozen=True)
class Source:
    """One file, saved dataset or hub dataset.

    location: an absolute path, an address hf://datasets/..., or a dataset's id.
    teacher: whose responses it holds, or None where the rows name their teachers.
    shown: its name in messages.
    """

    kind: SourceKind
    location: str
    teacher: str | None
    shown: str


def resolve(
    spec: DataSpec, loaders: Mapping[str, Loader], key: str = "dataset_path"
) -> tuple[Source, ...]:
    """Every file and hub dataset of the set, patterns and folders expanded, in order.

    Of a folder, the files whose suffix one of the loaders reads.

    Raises DataError for a path without data, ConfigError for settings that do not apply to it.
    """
    paths = spec.dataset_path
    named: list[tuple[str | None, str]]
    if isinstance(paths, Mapping):
        named = [(teacher, path) for teacher, several in paths.items() for path in several]
    else:
        named = [(None, path) for path in ([paths] if isinstance(paths, str) else paths)]
    suffixes = tuple(by_suffix(loaders))
    sources = tuple(
        _source(kind, location, teacher, spec, suffixes)
        for teacher, path in named
        for kind, location in _expand(path, spec, suffixes, key)
    )
    kinds = {source.kind for source in sources}
    unused = set(spec.dataset_kwargs) - ({"revision"} if "hub_file" in kinds else set())
    if unused and "hub_dataset" not in kinds:
        raise ConfigError(
            "`dataset_kwargs` only reach datasets loaded from the hub by their id",
            where=spec.source, found=sorted(unused),
            remedy="remove them; name local files in `dataset_path`",
        )  # fmt: skip
    if spec.loader is not None:
        where = f"{spec.source}: naturalness: loader"
        if spec.loader not in loaders:
            remedy = did_you_mean(spec.loader, loaders)
            raise ConfigError("unknown loader", where=where, found=spec.loader, remedy=remedy)
        for source in sources:
            if source.kind == "saved_dataset":
                raise ConfigError(
                    "a loader reads files, and this is a folder that `save_to_disk` wrote",
                    where=where, found=source.shown, remedy="remove `loader`",
                )  # fmt: skip
            if source.kind == "hub_dataset":
                raise ConfigError(
                    "a loader reads files, and this is a dataset on the hub",
                    where=where, found=source.location,
                    remedy="remove `loader`, or name the dataset's files: "
                    f"dataset_path: hf://datasets/{source.location}/*.json",
                )  # fmt: skip
    return sources


def read_rows(
    source: Source, spec: DataSpec, loaders: Mapping[str, Loader]
) -> Iterator[Row | DataError]:
    """The source's rows; a file is read by the set's loader or by the one for its suffix.

    A row that cannot be read is an error in its place. Raises DataError for a source that cannot be
    read, and for one without rows.
    """
    rows: Iterator[Row | DataError]
    if source.kind == "hub_dataset":
        rows = _read_dataset(source.location, spec)
    elif source.kind == "saved_dataset":
        rows = _read_saved(Path(source.location), source.shown, spec.split)
    else:
        hub = source.kind == "hub_file"
        path = _download(source.location, spec) if hub else Path(source.location)
        loader = loaders[spec.loader] if spec.loader else loader_of(path, source.shown, loaders)
        rows = read_file(path, source.shown, loader, spec.split)
    row = None
    for row in rows:
        yield row
    if row is None:
        raise DataError("there is no row", where=source.shown, remedy="remove it or fill it")


def _is_saved(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote the folder."""
    names = [["dataset_dict.json"], ["state.json", "dataset_info.json"]]
    return any(all((folder / name).is_file() for name in both) for both in names)


def _read_saved(folder: Path, shown: str, split: str) -> Iterator[Row]:
    from datasets import Dataset, load_from_disk

    try:
        saved: Any = load_from_disk(folder)
    except Exception as cause:  # of whatever kind: the library passes on those of others
        what = f"the saved dataset cannot be read: {str(cause).splitlines()[0]}"
        raise DataError(what, where=shown, remedy="save it again with `save_to_disk`") from cause
    if not isinstance(saved, Dataset):
        if split not in saved:
            raise DataError(
                f"the saved dataset has no split {split!r}", where=shown, found=", ".join(saved),
                remedy=f"name one of them: `test_split: {next(iter(saved), '...')}` (lnat init: "
                "--split)",
            )  # fmt: skip
        saved = saved[split]
    number = 0
    for table in saved.with_format("arrow").iter(batch_size=1024):
        for values in table.to_pylist():
            number += 1
            yield Row(values, f"{shown} row {number}")


def parse_url(url: str, where: str) -> tuple[str, str | None, str]:
    """Repository, revision (None is the main branch) and path of hf://datasets/..."""
    found = _HUB_FILE.fullmatch(url)
    if found is None:
        raise DataError(
            "not the address of a file on the hub",
            where=where, found=url, remedy="write hf://datasets/owner/name/path/to/file.json",
        )  # fmt: skip
    return found[1], found[2], found[3]


def _download(url: str, spec: DataSpec) -> Path:
    """A local copy of the file, downloaded once and then taken from the hub's cache."""
    repo, revision, path = parse_url(url, spec.source)
    revision = revision or spec.dataset_kwargs.get("revision")
    with _hub_errors(url):
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(repo, path, repo_type="dataset", revision=revision))


def _read_dataset(dataset: str, spec: DataSpec) -> Iterator[Row]:
    with _hub_errors(dataset):
        from datasets import load_dataset

        rows = load_dataset(dataset, spec.dataset_name, split=spec.split, **spec.dataset_kwargs)
        for number, values in enumerate(rows, start=1):
            yield Row(values, f"{dataset}[{spec.split}] row {number}")


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as cause:
        reason = next(iter(str(cause).strip().splitlines()), "no reason given")
        raise DataError(
            f"the dataset cannot be loaded: {type(cause).__name__}: {reason.rstrip('.')}",
            where=name,
            remedy="check the name (nothing local is called that) and the network, "
            "or give a local copy's path",
        ) from cause


def _expand(
    path: str, spec: DataSpec, suffixes: tuple[str, ...], key: str
) -> list[tuple[SourceKind, str]]:
    """Kind and location of everything that a path leads to; never empty."""
    of_hub = path.startswith("hf://")
    where = f"{spec.source}: {key}"
    local = Path() if of_hub else user_path(path, DataError, where, spec.base_dir)
    found: list[tuple[SourceKind, str]] = []
    if of_hub:
        found = [("hub_file", url) for url in _expand_url(path, spec.source)]
    elif glob.has_magic(path) and not local.exists():
        pattern = Path(glob.escape(str(spec.base_dir))) / Path(path).expanduser()
        for name in sorted(glob.glob(str(pattern), recursive=True)):
            path_in = Path(name)
            saved = path_in if _is_saved(path_in) else path_in.parent
            if _in_saved(path_in, found):
                continue
            if _is_saved(saved):
                found.append(("saved_dataset", str(saved)))
            elif path_in.is_file():
                found.append(("file", name))
    elif local.is_dir():
        for path_in in [local, *sorted(local.rglob("*"))]:
            hidden = any(part.startswith(".") for part in path_in.relative_to(local).parts)
            if hidden or _in_saved(path_in, found):
                continue
            if path_in.is_dir():
                if _is_saved(path_in):
                    found.append(("saved_dataset", str(path_in)))
            elif suffix_of(path_in, suffixes):
                found.append(("file", str(path_in)))
    elif local.exists() or suffix_of(local, suffixes):
        found = [("file", str(local))]
    elif _HUB_ID.fullmatch(path):
        found = [("hub_dataset", path)]
    if not found:
        raise DataError(
            "this leads to no data", where=f"{spec.source}: {key}", found=path,
            remedy=f"give a file ({kinds_of_file(suffixes)}), a folder or a pattern relative to "
            f"{spec.base_dir}, or a dataset's id on the hub",
        )  # fmt: skip
    return found


def _in_saved(path: Path, found: list[tuple[SourceKind, str]]) -> bool:
    """Whether the path lies in a saved dataset that was found before it."""
    return any(kind == "saved_dataset" and Path(one) in path.parents for kind, one in found)


def _expand_url(url: str, where: str) -> list[str]:
    """The address, or those that match a pattern such as hf://datasets/o/n/*/gen1.json, sorted."""
    if not glob.has_magic(url):
        return [url]
    parse_url(url, where)
    with _hub_errors(url):
        from huggingface_hub import HfFileSystem

        return sorted(f"hf://{path}" for path in HfFileSystem().glob(url.removeprefix("hf://")))


def _source(
    kind: SourceKind,
    location: str,
    teacher: str | None,
    spec: DataSpec,
    suffixes: Collection[str],
) -> Source:
    if spec.teacher_from != "column":
        if kind == "hub_dataset":
            raise ConfigError(
                "a hub dataset has no file names to take teachers from",
                where=f"{spec.source}: naturalness: teacher_from", found=spec.teacher_from,
                remedy=f"name its files: dataset_path: hf://datasets/{location}/*/*.json",
            )  # fmt: skip
        path = PurePosixPath(Path(location).as_posix())
        suffix = "" if kind == "saved_dataset" else suffix_of(path, suffixes) or path.suffix
        name = path.name[: len(path.name) - len(suffix)]
        teacher = name if spec.teacher_from == "file_stem" else path.parent.name
    shown = location
    if kind in ("file", "saved_dataset") and Path(location).is_relative_to(spec.base_dir):
        shown = Path(location).relative_to(spec.base_dir).as_posix()
    return Source(kind, location, teacher, shown)
