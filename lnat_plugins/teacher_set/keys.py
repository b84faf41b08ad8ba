"""The keys of a teacher set's YAML, as pydantic models: their types, defaults and meaning.

The text below a key is its line in docs/teacher_sets.md. Names of splitters, metrics and loaders
and the grammar of windows are checked where these are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
)

from lnat_plugins.errors import file_name_problem, is_text

Sensitivity = Literal["none", "basic", "full"]
Observations = Literal["window", "all", "none"]
Scalar = str | int | float | bool | None
DatasetPath = str | tuple[str, ...] | Mapping[str, tuple[str, ...]]

THINK_TEMPLATE: Final = "<think>\n{think}\n</think>\n\n{answer}"
DELIMITER: Final = "\n\n"


def _text(value: Any) -> str:
    if not is_text(value):
        raise ValueError("this must be text")
    return value


def _task_name(value: Any) -> str:
    if problem := file_name_problem(_text(value)):
        raise ValueError(f"a task's name stands in names of files, and {problem}")
    return str(value)


def _name(value: Any) -> str:
    if not is_text(value):
        raise ValueError("every name must be text, in quotes")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("this must be a list of names")
    names = tuple(map(_name, value))
    if len(set(names)) < len(names):
        raise ValueError("duplicate name")
    return names


def _windows(value: Any) -> tuple[str, ...]:
    """Windows as text: "4", "10%", "global"; `steps.windows` reads them."""
    listed = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(window, bool) or not isinstance(window, int | str) for window in listed):
        raise ValueError("not a window")
    windows = tuple(str(window).strip() for window in listed)
    if not windows:
        raise ValueError("no window is given")
    if len(set(windows)) < len(windows):
        raise ValueError("duplicate window")
    return windows


def _dataset_path(value: Any) -> DatasetPath:
    if is_text(value):
        return value
    if isinstance(value, list | tuple) and value:
        return tuple(map(_name, value))
    if isinstance(value, Mapping) and value:
        listed = {t: p if isinstance(p, list | tuple) and p else [p] for t, p in value.items()}
        return {_name(teacher): tuple(map(_name, paths)) for teacher, paths in listed.items()}
    raise ValueError("no data is named")


def _where(value: Any) -> dict[str, tuple[Scalar, ...]]:
    """{column: allowed values}; one value stands for a list of it."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError("this must map columns to values")
    found = {}
    for column, allowed in value.items():
        listed = list(allowed) if isinstance(allowed, list | tuple) else [allowed]
        if not listed or not all(
            one is None or isinstance(one, str | int | float) for one in listed
        ):
            raise ValueError(f"the values of {column!r} must be text, numbers, true, false or null")
        found[_name(column)] = tuple(listed)
    return found


def _think_template(value: str) -> str:
    if value.count("{think}") != 1 or value.count("{answer}") != 1:
        raise ValueError("{think} and {answer} must each appear once")
    return value


def _no_examples(value: Any) -> None:
    if value:
        raise ValueError("a naturalness task takes no few-shot examples")


def _no_include(value: Any) -> None:
    raise ValueError("this is only followed in a file")


def _steps_drawn(value: Any) -> str | int:
    if value in ("auto", "exact") or (type(value) is int and value >= 2):
        return value  # type: ignore[no-any-return]
    raise ValueError("this must be auto, exact, or a whole number, 2 or more")


Text = Annotated[str, PlainValidator(_text)]
Names = Annotated[tuple[str, ...], PlainValidator(_names)]
Windows = Annotated[tuple[str, ...], PlainValidator(_windows)]
Where = Annotated[dict[str, tuple[Scalar, ...]], PlainValidator(_where)]


def _field(default: Any, remedy: str = "put it in quotes") -> Any:
    return Field(default, json_schema_extra={"remedy": remedy})


class _Keys(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class TaskKeys(_Keys):
    """The top level of the YAML; the second half are keys of lm-eval that we do not read."""

    task: Annotated[str, PlainValidator(_task_name)] = _field(
        ..., "give the set a name: `task: my_teachers`"
    )
    """the set's name, for `lm_eval --tasks` and in results"""
    dataset_path: Annotated[DatasetPath, PlainValidator(_dataset_path)] = _field(
        ..., "give a file, a folder, a pattern, a list, a mapping teacher: file, or a hub id"
    )
    """the rows: a file, a folder, a pattern, a list of these, a file for each teacher (`{R1:
    r1.jsonl}`), or a data set on the hub; local paths start from the YAML's folder
    """
    dataset_name: Text | None = _field(None)
    """configuration of a data set on the hub"""
    dataset_kwargs: Mapping[str, Any] | None = None
    """further arguments of `datasets.load_dataset`, for a data set on the hub"""
    test_split: Annotated[Text | None, BeforeValidator(lambda value: value or None)] = _field(None)
    """the split to read, of a data set on the hub, a saved one, or a JSON file with several;
    `train` if not set
    """
    target_delimiter: str = _field(DELIMITER, 'write it in double quotes: "\\n\\n"')
    """text between prompt and response where no chat template is applied"""
    num_fewshot: Annotated[None, PlainValidator(_no_examples)] = _field(
        None,
        "remove it, or set it to 0: responses are scored as the student would be trained on them",
    )
    """0 or null: there are no few-shot examples"""
    naturalness: Mapping[str, Any] | None = None
    """how the rows are read, kept and scored: the next table"""

    task_class: Any = Field(None, alias="class")
    """`!function lnat_plugins.harness.NaturalnessTask`, by which lm-eval finds the code"""
    group: Any = None
    include: Annotated[None, PlainValidator(_no_include)] = _field(
        None, "give the YAML's path, or the included keys themselves"
    )
    """files whose keys come first, from the YAML's folder; a key here replaces theirs"""
    metadata: Any = None
    """lm-eval's; `version` and `description` are shown"""
    output_type: Any = None
    repeats: Any = None
    tag: Any = None
    task_alias: Any = None
    task_list: Any = None


class BudgetKeys(_Keys):
    """The keys of `naturalness: budget:`."""

    goal: Literal["best", "order", "choice"] = "best"
    """what the run is to settle: which teacher is `best`, the `order` of all, or the `choice` of a
    response to each prompt, for `lnat select --strategy best`
    """
    top: Annotated[int, Field(ge=1)] | None = Field(
        None, json_schema_extra={"must_be": "a whole number, 1 or more"}
    )
    """instead of a goal: which so many teachers are the best"""
    error: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05, json_schema_extra={"must_be": "a number between 0 and 0.5"}
    )
    """the chance, over the whole run, that what it says is wrong; of a choice the chance, for a
    prompt, that it is not that by exact scores: 0.05 takes 19 prompts that are scored exactly first
    """
    steps: Annotated[str | int, PlainValidator(_steps_drawn)] = "auto"
    """steps drawn from a response: a number, `exact` = all of them, `auto` = what 5 prompts that
    are scored exactly show to be cheapest
    """
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, json_schema_extra={"must_be": "a whole number, 1 or more"}
    )
    """no further prompt is begun once so many tokens were read; no limit if not set"""
    stride: Annotated[int, Field(ge=2)] | None = Field(
        None, json_schema_extra={"must_be": "a whole number, 2 or more"}
    )
    """of a choice: all responses are first scored with so many steps a run, 8 if not set; then only
    those near the best with every step
    """
    seed: Annotated[int, Field(ge=0)] = Field(
        1234, json_schema_extra={"must_be": "a whole number, 0 or more"}
    )
    """of the order of prompts, and of the steps that are drawn"""


class NaturalnessKeys(_Keys):
    """The keys of `naturalness:`; empty steps and windows are the preset's."""

    layout: Literal["long", "wide", "messages", "prompt_completion", "nested", "batch"] = "long"
    """how a row holds its responses; see [layouts](layouts.md)"""
    turns: Literal["last", "all"] = "last"
    """of `layout: messages`: whether the response is the `last` turn of the assistant, or `all` of
    them, with the turns of users and tools between; see [conversations](conversations.md)
    """
    system: Literal["own", "common"] = "own"
    """of `turns: all`, where the teachers of a prompt have other system turns: each is read behind
    its `own`, or all behind the first, `common` one
    """
    tools: Text | None = _field(None, "write the name of a JSON file")
    """of `turns: all`: a JSON file with the tools, for the chat template of every row
    """
    observations: Observations = "window"
    """of `turns: all`: of the turns of users and tools after the prompt a step is read behind those
    in its `window`, behind `all` before it, or behind `none` of their contents
    """
    columns: Mapping[str, Any] | None = None
    """what your columns are called: `{prompt: question, response: output}`; see below"""
    prompts: Annotated[
        Names, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = _field((), "write the file of the requests")
    """the requests of `layout: batch`: a file or several"""
    teachers: Names = _field((), "write [QwQ, R1]")
    """only these teachers; all if not set"""
    teacher_from: Literal["column", "file_stem", "parent_dir"] = "column"
    """where the teacher's name stands: in a column, in the file's name (`R1.jsonl`), or in its
    folder's (`R1/part1.jsonl`)
    """
    think_template: Annotated[Text, AfterValidator(_think_template)] = _field(
        THINK_TEMPLATE, 'write "<think>{think}</think>{answer}"'
    )
    """how thinking and answer become one response where the data has them apart"""
    require_correct: bool = False
    """true: only rows that are known to be correct"""
    min_teachers: Annotated[int, Field(ge=1)] = Field(
        2, json_schema_extra={"must_be": "a whole number, 1 or more"}
    )
    """prompts answered by fewer teachers are left out"""
    preset: Literal["ln-v1", "lalp-v2"] = "ln-v1"
    """steps and windows of the papers: `ln-v1` = `sentence` and `[4, global]`; `lalp-v2` =
    `supplied_or_sentence` and `["10%", global]`
    """
    steps: Text = _field("")
    """how a response is cut: `sentence`, `line`, `paragraph`, `turn`, `tokens:N`, `supplied` (the
    rows' own column `steps`), `supplied_or_sentence`; the preset's if not set
    """
    windows: Windows = _field((), 'a window is 4, "10%" (in quotes), 4/8 or global')
    """how many preceding steps a step may see: a number, a share (`"10%"`, rounded up), `global`,
    or a number and a stride (`4/8`: 4 to 11, as 8 steps are scored in one run); the preset's if not
    set
    """
    metrics: Annotated[
        Names, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = _field((), "write [local_naturalness, rsr], or all")
    """what is gathered and shown in lm-eval's table: names of [metrics](metrics/index.md), or
    `all`; local and global naturalness if not set
    """
    markers: Literal["skip", "keep"] = "skip"
    """`skip`: tags such as `</think>` and lines of nothing but markup are no steps, and tags are
    not scored; `keep`: steps as they are cut, every token scored
    """
    tokens: bool = True
    """whether the samples file keeps log p of every token"""
    sensitivity: Sensitivity = "basic"
    """`basic`: the windows below the widest are recorded too (of 20 prompts, where that is not
    cheap); `full`: these prompts are also scored with steps by line and a window of 10 %;
    `none`: neither
    """
    budget: Mapping[str, Any] | None = None
    """reads only as much as settles which teacher is best, or which response of each prompt: `{}`,
    or the next table; see
    [performance](performance.md)
    """
    prefix: Any = None
    """only the beginning of each response is scored, as an estimate of the whole: `512` (tokens:
    the steps that end within them) or `8 steps`; see [performance](performance.md#prefixes)
    """
    loader: Text | None = _field(None)
    """what reads the files; chosen by their suffix if not set"""
    where: Where = _field({}, "write {finish_reason: stop} or {domain: [math, code]}")
    """rows that are kept, by any column: `{finish_reason: stop}`, or a list of values;
    `metadata.domain` looks into an object
    """
    plugins: Names = _field((), "write [my_plugin.py, installed_module]")
    """modules, and files from the YAML's folder, that bring splitters, metrics or loaders"""
