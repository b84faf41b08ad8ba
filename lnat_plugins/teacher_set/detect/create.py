"""From data to a teacher set's YAML: read some rows, recognise them, load all, write.

The proposal is loaded before its file is written, and nothing is written if that fails.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import ConfigError, DataError, LnatError, did_you_mean, is_text
from lnat_plugins.files import BUNDLED, parse_yaml, shown, user_path
from lnat_plugins.formatting import split_list
from lnat_plugins.outputs import OVERWRITE, check_file, write_atomic
from lnat_plugins.teacher_set import LOADERS, Loader, TeacherSet, load
from lnat_plugins.teacher_set.columns import LAYOUT_COLUMNS
from lnat_plugins.teacher_set.config import DataSpec, TaskSpec, parse_task
from lnat_plugins.teacher_set.detect import Detected, Hints, detect
from lnat_plugins.teacher_set.detect.doubts import teacher_doubts
from lnat_plugins.teacher_set.detect.names import read_name
from lnat_plugins.teacher_set.detect.profile import Table
from lnat_plugins.teacher_set.detect.sample import sample_rows
from lnat_plugins.teacher_set.detect.text import in_words, yaml_text
from lnat_plugins.teacher_set.sources import Source, resolve

FILE: Final = "my_teachers.yaml"
STDOUT: Final = "-"
"""As output path: nothing is written, and paths start from the working directory."""


_CHOICES: Final = {
    "layout": tuple(LAYOUT_COLUMNS),
    "turns": ("last", "all"),
    "teacher_from": ("column", "file_stem", "parent_dir"),
}


class ProposalError(DataError):
    """The data does not load under the proposed definition.

    Attributes:
        proposal: the YAML that was tried.
    """

    def __init__(self, cause: LnatError, proposal: str) -> None:
        super().__init__(
            "the data does not load as it was recognised, and nothing was written: "
            + str(cause).removesuffix("."),
            remedy="name the columns by options (lnat init --help), or write the YAML by hand",
        )
        self.proposal = proposal


@dataclass(frozen=True, repr=False)
class NewTeacherSet:
    """A definition that was proposed, loaded and, with a path, written.

    Attributes:
        path: the YAML's; None if it was not written.
        yaml: its text.
        detected: what was recognised, and what is uncertain.
        teacher_set: all of the data, as a run loads it.
    """

    path: Path | None
    yaml: str
    detected: Detected
    teacher_set: TeacherSet

    def to_text(self) -> str:
        """What was taken for what, what was read, two examples, and what to do next."""
        lines = in_words(self.detected, self.teacher_set)
        if self.path is not None:
            file = shown(self.path)
            lines += [
                f"wrote {file}, which loads",
                f"next: lnat check {shlex.quote(file)} --student {BUNDLED} --apply_chat_template",
                f"(in place of `{BUNDLED}`: the folder or name of your student; one without a chat "
                "template takes no --apply_chat_template)",
            ]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        return f"<NewTeacherSet {self.path or 'not written'}: {self.teacher_set!r}>"


class Options(NamedTuple):
    """What the user settles.

    hints: of columns and layout, without `teachers`. teachers: teacher -> files or patterns.
    task: the set's name; by default the file's. keys: `test_split` and `dataset_name`, if given.
    """

    hints: Hints = Hints()
    teachers: Mapping[str, Sequence[str]] = MappingProxyType({})
    task: str = ""
    keys: Mapping[str, str] = MappingProxyType({})


_SEVERAL: Final = ("prompt", "response", "think", "correct")
_ONE: Final = ("system", "sample", "prompt_id", "layout", "turns", "teacher_from")
_KEYS: Final = {"split": "test_split", "dataset_name": "dataset_name"}


def read_options(options: Mapping[str, Any]) -> Options:
    """The options of `lnat init` by name, checked; None stands for one that is not given.

    Raises ConfigError for an unknown option, and for a value of the wrong kind.
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = (*_SEVERAL, *_ONE, *_KEYS, "teacher", "task")
    for name, value in given.items():
        if name not in known:
            remedy = did_you_mean(name, known)
            raise ConfigError("unknown option", where="lnat init", found=name, remedy=remedy)
        texts = list(value) if isinstance(value, list | tuple | Mapping) else [value]
        if not texts or not all(is_text(text) for text in texts):
            raise ConfigError(
                "this must be text", where=f"--{name}", found=value, remedy="name a column"
            )
    for name, choices in _CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            raise ConfigError(
                "no such choice", where=f"--{name}", found=given[name],
                remedy=did_you_mean(str(given[name]), choices),
            )  # fmt: skip
    fields: dict[str, Any] = {name: given[name] for name in _ONE if name in given}
    for name in _SEVERAL:
        if name in given:
            own = given[name]
            listed = split_list(own) if isinstance(own, str) else own
            fields[name] = tuple(text.strip() for text in listed)
    teacher = given.get("teacher", "")
    teachers: dict[str, list[str]] = {}
    if isinstance(teacher, Mapping):
        teachers = {
            name: list(own) if isinstance(own, list | tuple) else [own]
            for name, own in teacher.items()
        }  # fmt: skip
    else:
        listed = [teacher] if isinstance(teacher, str) else list(teacher)
        for name, file in (one.split("=", 1) for one in listed if "=" in one):
            teachers.setdefault(name, []).append(file)
        columns = [one for one in listed if one and "=" not in one]
        if len(columns) > 1 or (columns and teachers):
            raise ConfigError(
                "teachers are named by one column, or by files", where="--teacher", found=listed,
                remedy="write --teacher COL, or --teacher NAME=FILE once for every file",
            )  # fmt: skip
        fields["teacher"] = columns[0] if columns else ""
    for name, files in teachers.items():
        if not files or not all(map(is_text, (name, *files))):
            raise ConfigError(
                "a teacher and a file must be named", where="--teacher", found=f"{name}={files}",
                remedy="write --teacher NAME=FILE",
            )  # fmt: skip
    keys = {key: given[name] for name, key in _KEYS.items() if name in given}
    return Options(Hints(**fields), teachers, given.get("task", ""), keys)


def create(
    data: Sequence[str],
    options: Options,
    output_path: str | None = None,
    loaders: Mapping[str, Loader] = LOADERS,
    load: Callable[[TaskSpec], TeacherSet] = load,
    overwrite: bool = False,
) -> NewTeacherSet:
    """Recognise data, load it under the proposed definition, and write that.

    Args:
        data: files, folders, patterns, or a data set's id on the hub; relative to the working
            directory. The files of `options.teachers` are read beside them.
        options: what the user settles.
        output_path: the YAML; by default my_teachers.yaml beside the data, or in the working
            directory for a data set on the hub. STDOUT writes nothing.
        load: reads all of the data.
        overwrite: whether an existing file is replaced.

    Raises:
        ConfigError: a question that is open, with the candidates and the option that settles it; a
            file that exists already; an option that does not fit the data.
        DataError: data that cannot be read; ProposalError for a proposal that does not load.
    """
    hints, teachers, task, keys = options
    of_teachers = dict.fromkeys(path for several in teachers.values() for path in several)
    paths = [*data, *(path for path in of_teachers if path not in data)]
    if not paths:
        raise ConfigError("no data is named", where="lnat init", remedy="name files or a folder")
    spec = parse_task({"task": "new", "dataset_path": paths, **keys}, "<dict>").data
    spec = replace(spec, source="lnat init")
    found: dict[str, Source] = {s.location: s for s in resolve(spec, loaders, key="DATA")}
    for source in found.values():
        if source.kind == "file" and not Path(source.location).exists():
            raise DataError(
                "no such file", where=source.shown, remedy="name a file or folder that is there"
            )
    sources = _without_results(list(found.values()))
    folder, path = _output(paths, sources, output_path)
    if path is not None:
        check_file(path, lambda _: True, overwrite=overwrite, option="--output_path")
        if path.exists() and not overwrite:  # one of ours too: it may have been edited
            raise ConfigError(
                "this file exists and is not replaced", where=shown(path),
                remedy=f"name another by --output_path FILE, or replace it with {OVERWRITE}",
            )  # fmt: skip
    names = {source.location: _relative(source, folder) for source in sources}
    by_file: dict[str, str] = {}
    for teacher, given in [(t, path) for t, several in teachers.items() for path in several]:
        for source in resolve(replace(spec, dataset_path=given), loaders, key="--teacher"):
            if by_file.setdefault(names[source.location], teacher) != teacher:
                raise ConfigError(
                    "a file is given to two teachers", where="--teacher",
                    found=names[source.location], remedy="give NAME=FILE once for every file",
                )  # fmt: skip
    if by_file and len(by_file) < len(sources):
        missing = [name for name in names.values() if name not in by_file]
        batch = [name for name in missing if _is_request(name, names, sources, spec, loaders)]
        if len(batch) < len(missing):
            raise ConfigError(
                "the teacher of some files is not given", where="--teacher",
                found=", ".join(missing), remedy="give NAME=FILE for every file",
            )  # fmt: skip
    rows = {
        names[source.location]: sample_rows(source, spec, loaders, len(sources))
        for source in sources
    }
    _refuse_scores(rows)
    whole = _whole(paths, sources, folder)
    detected = detect(rows, replace(hints, teachers=by_file), whole)
    if detected.questions:
        raise detected.questions[0].as_error(", ".join(paths) if len(paths) < 4 else paths[0])
    config = {"dataset_path": detected.config["dataset_path"], **keys, **detected.config}
    detected = replace(detected, config=config)
    task = task or (path.stem if path else FILE.removesuffix(".yaml"))
    where = _example_filter(rows, detected)
    source_of = path or folder / FILE
    with _folder(folder):  # paths such as ../data lead nowhere from one that is not there
        if detected.layout != "batch" and len(sources) > 1:
            detected = _of_these_files(detected, sources, names, spec, loaders, folder)
        text = yaml_text(detected, task, shown(source_of), where)
        for last in (False, True):
            try:
                loaded = load(parse_task(parse_yaml(text, source_of), source_of))
            except LnatError as cause:
                simpler = None if last else _without_ids(detected, hints)
                if simpler is None:
                    doubts = "".join(f"# unsure: {doubt}\n" for doubt in detected.doubts)
                    raise ProposalError(cause, text + doubts) from cause
            else:
                simpler = _of_several(detected) if len(loaded.teachers) > 1 else None
            if simpler is None:
                break
            detected = simpler
            text = yaml_text(detected, task, shown(source_of), where)
        detected = replace(detected, doubts=(*detected.doubts, *teacher_doubts(loaded)))
        if path is not None:
            write_atomic(path, text, "--output_path")
    return NewTeacherSet(path, text, detected, loaded)


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make the folder, and remove what was made of it if the block fails."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise ConfigError(
            "this folder cannot be made", where=str(folder), found=cause.strerror,
            remedy="give --output_path another one",
        ) from None  # fmt: skip
    try:
        yield
    except BaseException:
        for one in missing:
            with suppress(OSError):
                one.rmdir()
        raise


def _output(
    paths: Sequence[str], sources: Sequence[Source], output_path: str | None
) -> tuple[Path, Path | None]:
    """The folder that paths in the YAML start from, and the YAML; None where none is written."""
    if output_path == STDOUT:
        return Path.cwd(), None
    if output_path is not None:
        path = user_path(output_path, ConfigError, "--output_path")
    elif all(source.kind in ("hub_dataset", "hub_file") for source in sources):
        path = Path(FILE)
    else:
        given = Path(paths[0]).expanduser()
        plain = len(paths) == 1 and given.is_dir() and sources[0].location != str(given.absolute())
        parents = [str(Path(s.location).parent) for s in sources if s.kind in _LOCAL]
        path = (given if plain else Path(os.path.commonpath(parents))) / FILE
    if path.suffix != ".yaml":
        raise ConfigError(
            "lm-eval reads files that end in .yaml only", where="--output_path", found=output_path,
            remedy="name a file such as my_teachers.yaml",
        )  # fmt: skip
    return path.absolute().parent, path


_LOCAL: Final = ("file", "saved_dataset")
_ENDING: Final = ("finish_reason", "stop_reason", "done_reason")


def _without_results(sources: list[Source]) -> list[Source]:
    """The sources without the tables that lm-eval writes beside its samples."""
    names = {source.location: Path(source.location).name for source in sources}
    if not any(re.fullmatch(r"samples_.*\.jsonl", name) for name in names.values()):
        return sources
    return [s for s in sources if not re.fullmatch(r"results_.*\.json", names[s.location])]


def _refuse_scores(files: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Refuse what lm-eval wrote of a teacher set, which is to be ranked."""
    for file, rows in files.items():
        document = rows[0].get("doc") if rows else None
        if isinstance(document, Mapping) and {"prompt_id", "responses"} <= document.keys():
            raise ConfigError(
                "these are scores that lm_eval wrote, and no teacher set", where=file,
                remedy="rank the teachers with `lnat rank`",
            )  # fmt: skip


def _relative(source: Source, folder: Path) -> str:
    """The source as a YAML in the folder names it."""
    if source.kind not in _LOCAL:
        return source.location
    return _from(folder, Path(source.location))


def _of_these_files(
    detected: Detected,
    sources: Sequence[Source],
    names: Mapping[str, str],
    spec: DataSpec,
    loaders: Mapping[str, Loader],
    folder: Path,
) -> Detected:
    """The proposal with a list of the files, where its pattern or folder leads to others too."""
    path = detected.config["dataset_path"]
    if not isinstance(path, str):
        return detected
    led = resolve(replace(spec, dataset_path=path, base_dir=folder), loaders, key="DATA")
    if {_real(one) for one in led} == {_real(one) for one in sources}:
        return detected
    return replace(detected, config={**detected.config, "dataset_path": list(names.values())})


def _real(source: Source) -> Path:
    return Path(source.location).parent.resolve() / Path(source.location).name


def _from(folder: Path, path: Path) -> str:
    """A path relative to a folder; `..` leads out of where a linked folder really lies."""
    real = folder.resolve()
    if real != folder.absolute():
        folder, path = real, path.parent.resolve() / path.name
    return Path(os.path.relpath(path, folder)).as_posix()


def _whole(paths: Sequence[str], sources: Sequence[Source], folder: Path) -> Any:
    """`dataset_path` of all the data: the folder that was given, or the files."""
    if len(paths) == 1 and len(sources) > 1 and all(s.kind in _LOCAL for s in sources):
        return _from(folder, Path(paths[0]).expanduser())
    return None


def _is_request(
    name: str,
    names: Mapping[str, str],
    sources: Sequence[Source],
    spec: DataSpec,
    loaders: Mapping[str, Loader],
) -> bool:
    """Whether a file holds a batch's requests, which no teacher wrote."""
    source = next(s for s in sources if names[s.location] == name)
    rows = sample_rows(source, spec, loaders, len(sources))
    requests = [row for row in rows if "custom_id" in row and ("body" in row or "params" in row)]
    return len(requests) * 2 > len(rows)


def _example_filter(
    files: Mapping[str, Sequence[Mapping[str, Any]]], detected: Detected
) -> dict[str, Any]:
    """A column of few values that is not read, with its commonest value.

    One that says how generation ended comes first: a row that was cut off is best left out.
    """
    table = Table(files)
    for name in sorted(detected.unused, key=lambda name: not name.endswith(_ENDING)):
        column = table.column(name)
        if column and column.is_names and 1 < column.distinct <= 10 and column.kind == "text":
            values = [value for value in table.values(name) if isinstance(value, str)]
            if column.chars > 24 or column.distinct * 2 > column.filled or read_name(name).role:
                continue
            return {name: max(dict.fromkeys(values), key=values.count)}
    return {}


def _without_ids(detected: Detected, hints: Hints) -> Detected | None:
    """The proposal without the column of ids that was chosen for it; None if it has none."""
    block = dict(detected.config.get("naturalness", {}))
    columns = dict(block.get("columns", {}))
    name = columns.pop("prompt_id", None)
    if name is None or hints.prompt_id:
        return None
    block["columns"] = columns
    if not columns:
        del block["columns"]
    doubt = f"{name} is not read as the prompt's id: it does not fit all of the rows"
    return replace(
        detected,
        config={**detected.config, "naturalness": block},
        roles={**detected.roles, "prompt id": "none"},
        doubts=(*detected.doubts, doubt),
        unused=(*detected.unused, name),
    )


def _of_several(detected: Detected) -> Detected | None:
    """A proposal for one teacher as one for several, which all rows have and some did not show."""
    block = dict(detected.config.get("naturalness", {}))
    if block.pop("min_teachers", None) is None:
        return None
    config = {key: value for key, value in detected.config.items() if key != "naturalness"}
    if block:
        config["naturalness"] = block
    doubts = tuple(d for d in detected.doubts if not d.startswith("there is one teacher only"))
    return replace(detected, config=config, doubts=doubts)
