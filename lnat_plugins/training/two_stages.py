"""The first of two stages: rows scored and chosen as a training config says, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lnat_plugins.config import parse_task, read_yaml
from lnat_plugins.errors import ConfigError
from lnat_plugins.in_process import LocalStudent
from lnat_plugins.selection import Pool, Selection
from lnat_plugins.training.candidates import pool_of
from lnat_plugins.training.load import load_splits, load_student
from lnat_plugins.training.run_config import RunConfig
from lnat_plugins.training_set import Origin

_DATA_KEYS: Final = (
    "datasets", "dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split",
    "dataset_streaming", "streaming",
)  # fmt: skip
SHARDING: Final = ("deepspeed", "fsdp", "fsdp_config", "parallelism_config", "accelerator_config")
"""Keys of the second stage alone: the first one needs the model whole."""

_READ_AS_GIVEN: Final = ("tools", "chat_template_kwargs")


@dataclass(frozen=True)
class FirstStage:
    """What was chosen, and what the second stage needs of the first one's config.

    Attributes:
        pool, selection: the candidates and the choice.
        origin: where rows and scores come from.
        training: TRL's keys of the config, without those that name the data.
        kept: columns that the rows were scored with, and that TRL must read as its own.
    """

    pool: Pool
    selection: Selection
    origin: Origin
    training: Mapping[str, Any]
    kept: tuple[str, ...]


def first_stage(run: RunConfig) -> FirstStage:
    """Load the student and the candidates, score, and choose.

    Raises ConfigError, DataError and StudentError as a training run would.
    """
    if run.training.eval_strategy != "no":
        raise ConfigError(
            "a training set has no rows to evaluate on",
            where=str(run.path),
            found=f"eval_strategy: {run.keys.get('eval_strategy')}",
            remedy="remove `eval_strategy`, and add it with its data to the `sft.yaml` written",
        )
    dataset, _ = load_splits(run)
    spec = run.chooser.spec
    pool = pool_of(dataset, spec.columns)
    model, tokenizer = load_student(run)
    student = LocalStudent(model, tokenizer, spec, plain=pool.plain)
    selection = run.chooser.choose(pool, student)
    return FirstStage(
        pool=pool,
        selection=selection,
        origin=_origin(run, student),
        training={key: value for key, value in run.keys.items() if key not in _DATA_KEYS},
        kept=tuple(name for name in _READ_AS_GIVEN if name in dataset.column_names),
    )


def _origin(run: RunConfig, student: LocalStudent) -> Origin:
    record = next(iter(student.records.values()), None)
    scoring = {} if record is None else {
        "settings": dict(record.settings),
        "settings_hash": record.settings_hash,
        "splitter": record.splitter,
        "engine": sorted({one.path for one in student.records.values()}),
    }  # fmt: skip
    return Origin(
        task=_name(run),
        files=(str(run.path),),
        scoring=scoring,
        versions={} if record is None else record.versions,
    )


def _name(run: RunConfig) -> str:
    if run.chooser.spec.teacher_set is not None:
        path = run.path.resolve().parent / run.chooser.spec.teacher_set
        return parse_task(read_yaml(path), path).name
    if run.mixture.datasets:
        return ", ".join(str(one.path) for one in run.mixture.datasets)
    return str(run.script.dataset_name)
