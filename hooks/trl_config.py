"""A training config: TRL's own SFT arguments, and the `selection:` block beside them.

Knows how `trl sft` reads its arguments; loads no data and no model.

What a training config names, loaded: candidates, and the student where no trainer loads it.

The first of two stages: rows scored and chosen as a training config says, without training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import datasets
import torch
import yaml
from accelerate import PartialState
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl import (
    DatasetMixtureConfig,
    ModelConfig,
    ScriptArguments,
    SFTConfig,
    TrlParser,
    clone_chat_template,
    get_dataset,
    get_quantization_config,
)

from lnat_plugins.api import load_teacher_set
from lnat_plugins.errors import ConfigError, DataError, LnatError, StudentError, nearest
from lnat_plugins.files import read_yaml
from lnat_plugins.hooks.trl_data import pool_of, sft_rows
from lnat_plugins.plugins.configured import Chooser, read_block
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.teacher_set import Candidates
from lnat_plugins.teacher_set.config import parse_task

_GROUPS = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)
_ADD = "add `selection: {strategy: best}`, or run `trl sft` to train on all rows"


@dataclass(frozen=True)
class RunConfig:
    """What one training run is told: TRL's four groups of arguments, and the choice.

    Attributes:
        script, training, model, mixture: as `trl sft` parses them.
        keys: the config without the selection block, as written.
        chooser: the selection block; files named in it start from the config's folder.
        path: the config file.
    """

    script: Any
    training: Any
    model: Any
    mixture: Any
    keys: Mapping[str, Any]
    chooser: Chooser
    path: Path


def read_run_config(arguments: Sequence[str], leave_out: Collection[str] = ()) -> RunConfig:
    """Parse `--config FILE` and what stands beside it, which wins over the file, as in TRL.

    Args:
        arguments: the command line.
        leave_out: keys of the file that are passed over.

    Raises:
        ConfigError: no file, no selection block, an argument that neither TRL nor the block
            knows, or a value that cannot hold. Wrong types on the command line end in argparse's
            own SystemExit.
    """
    path, others = _take_config(arguments)
    config = read_yaml(path)
    block = config.pop("selection", None)
    written = dict(config)
    if block is None:
        raise ConfigError("the config has no `selection:` block", where=str(path), remedy=_ADD)
    _refuse_unknown(config, path)
    config = {key: value for key, value in config.items() if key not in leave_out}
    chooser = read_block(block, source=f"{path}: selection", base_dir=path.resolve().parent)
    parser = TrlParser(_GROUPS)
    with tempfile.TemporaryDirectory(prefix="lnat-") as folder:
        rest = Path(folder) / path.name
        rest.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            groups = parser.parse_args_and_config(["--config", str(rest), *others])
        except (ValueError, TypeError, ImportError) as cause:
            # TRL and transformers check their arguments with these.
            raise ConfigError(
                f"TRL refuses the arguments: {str(cause).splitlines()[0].rstrip('.')}",
                where=str(path),
                remedy="mend the value; see the documentation of TRL's SFTConfig",
            ) from cause
    script, training, model, mixture = groups
    if not model.model_name_or_path:
        raise ConfigError(
            "no student is named", where=str(path), remedy="write `model_name_or_path: ...`"
        )
    return RunConfig(script, training, model, mixture, written, chooser, path)


def _refuse_unknown(config: Mapping[str, Any], path: Path) -> None:
    known = {field.name for group in _GROUPS for field in fields(group)} | {"env"}
    for key in config:
        if key not in known:
            raise ConfigError(
                "neither TRL nor the selection knows this key",
                where=str(path),
                found=key,
                remedy=nearest(key, [*known, "selection"])
                + "only keys of `trl sft` may stand beside `selection:`",
            )


def _take_config(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    others = [part for one in arguments for part in _split(one)]
    if others.count("--config") != 1 or others[-1] == "--config":
        raise ConfigError(
            "one `--config FILE` is needed",
            found=" ".join(arguments) or "no argument",
            remedy="give the YAML that holds TRL's arguments and a `selection:` block",
        )
    place = others.index("--config")
    return Path(others[place + 1]).expanduser(), others[:place] + others[place + 2 :]


def _split(argument: str) -> list[str]:
    name, equals, value = argument.partition("=")
    return [name, value] if equals and name == "--config" else [argument]


FOREIGN: Final = (OSError, ValueError, ImportError)
"""What the libraries raise for a model or an argument that cannot be."""


def load_splits(run: RunConfig) -> tuple[Dataset, Dataset | None]:
    """The rows to choose from, and those to evaluate on where the run does.

    The candidates are the block's `teacher_set`, or the data set that TRL would load.

    Raises:
        ConfigError: no candidates are named, or two sources of them; a split at random.
        DataError: the data cannot be loaded.
    """
    named = bool(run.mixture.datasets or run.script.dataset_name)
    teacher_set = run.chooser.spec.teacher_set
    evaluates = run.training.eval_strategy != "no"
    if named == (teacher_set is not None):
        raise ConfigError(
            "two sources of candidates are named" if named else "no candidates are named",
            where=str(run.path),
            remedy="give either TRL's `dataset_name` (or `datasets`), its rows with a column "
            "`teacher`, or `selection: teacher_set: my_teachers.yaml`",
        )
    if teacher_set is not None:
        if evaluates:
            raise ConfigError(
                "a teacher set has no rows to evaluate on",
                where=str(run.path),
                found=f"eval_strategy: {run.keys.get('eval_strategy')}",
                remedy="remove `eval_strategy`, or name a `dataset_name` with a test split",
            )
        found = load_teacher_set(run.path.resolve().parent / teacher_set)
        return sft_rows(found, plain=not _has_template(run)), None
    if run.mixture.test_split_size is not None:
        raise ConfigError(
            "`test_split_size` splits at random, otherwise in each process and on resume",
            where=str(run.path),
            found=run.mixture.test_split_size,
            remedy="split the data once, and name its splits",
        )
    loaded = _load(run)
    candidates = _load_split(loaded, run, "dataset_train_split")
    return candidates, _load_split(loaded, run, "dataset_test_split") if evaluates else None


def _load_split(loaded: Any, run: RunConfig, key: str) -> Dataset:
    split = getattr(run.script, key)
    if split not in loaded:
        raise DataError(
            f"the data set has no split {split!r}",
            where=f"{run.path}: {key}",
            found=", ".join(map(str, loaded)),
        )
    return loaded[split]


def model_arguments(run: RunConfig) -> dict[str, Any]:
    """What `trl sft` gives to `from_pretrained`.

    Raises:
        ConfigError: a dtype that torch does not have.
    """
    dtype = run.model.dtype
    if dtype not in (None, "auto") and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ConfigError(
            "torch has no such dtype",
            where=f"{run.path}: dtype",
            found=dtype,
            remedy="write auto, float32, bfloat16 or float16",
        )
    trust = getattr(run.training, "trust_remote_code", None)
    found = {
        "revision": run.model.model_revision,
        "trust_remote_code": getattr(run.model, "trust_remote_code", False)
        if trust is None
        else trust,
        "attn_implementation": run.model.attn_implementation,
        "dtype": run.model.dtype,
    }
    quantized = get_quantization_config(run.model)
    if quantized is not None:
        found["quantization_config"] = quantized
    return found | (run.training.model_init_kwargs or {})


def load_student(run: RunConfig) -> tuple[Any, Any]:
    """The model and the tokenizer as the trainer would make them, the model on its device.

    Raises:
        StudentError: they cannot be loaded.
    """
    arguments = model_arguments(run)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(run.model.model_name_or_path, **arguments)
        tokenizer = _tokenizer(run)
        path = run.training.chat_template_path
        # As TRL does: a file is told by its suffix, anything else is a model to take it from.
        if path is not None and Path(path).is_file() and path.endswith((".jinja", ".j2")):
            tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
        elif path is not None:
            model, tokenizer, _ = clone_chat_template(model, tokenizer, path)
    except LnatError:
        raise
    except FOREIGN as cause:
        raise _cannot_load(run, cause) from cause
    if "quantization_config" not in arguments:
        model.to(PartialState().device)
    return model, tokenizer


def check_student(run: RunConfig) -> None:
    """Raise StudentError now for a student that the trainer would fail to load."""
    _tokenizer(run)
    arguments = model_arguments(run)
    try:
        AutoConfig.from_pretrained(
            run.model.model_name_or_path,
            revision=arguments["revision"],
            trust_remote_code=arguments["trust_remote_code"],
        )
    except FOREIGN as cause:
        raise _cannot_load(run, cause) from cause


def _has_template(run: RunConfig) -> bool:
    return run.training.chat_template_path is not None or bool(_tokenizer(run).chat_template)


def _tokenizer(run: RunConfig) -> Any:
    arguments = model_arguments(run)
    try:
        found: Any = AutoTokenizer.from_pretrained(
            run.model.model_name_or_path,
            revision=arguments["revision"],
            trust_remote_code=arguments["trust_remote_code"],
        )
    except FOREIGN as cause:
        raise _cannot_load(run, cause) from cause
    end = run.training.eos_token
    if end is not None:
        if end not in found.get_vocab():
            raise ConfigError(
                "the student's vocabulary has no such token",
                where=f"{run.path}: eos_token",
                found=end,
            )
        found.eos_token = end
    return found


def _cannot_load(run: RunConfig, cause: Exception) -> StudentError:
    return StudentError(
        f"the student cannot be loaded: {str(cause).splitlines()[0]}",
        where=f"{run.path}: model_name_or_path",
        found=run.model.model_name_or_path,
        remedy="give a folder with config.json, weights and tokenizer (from the working "
        "directory), or a model's id on the hub",
    )


def _load(run: RunConfig) -> Any:
    """As `trl sft` does; a streaming data set is refused later, with the others."""
    try:
        if run.mixture.datasets:
            return get_dataset(run.mixture)
        return datasets.load_dataset(
            run.script.dataset_name,
            name=run.script.dataset_config,
            streaming=run.script.dataset_streaming,
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as cause:
        raise DataError(
            f"the data set cannot be loaded: {str(cause).splitlines()[0]}",
            where=str(run.path),
            found=run.script.dataset_name or run.mixture.datasets,
            remedy="check `dataset_name` or `datasets`; paths start from the working directory",
        ) from cause


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

    pool: Candidates
    selection: Selection
    origin: Provenance
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


def _origin(run: RunConfig, student: LocalStudent) -> Provenance:
    record = next(iter(student.records.values()), None)
    scoring = {} if record is None else {
        "settings": dict(record.settings),
        "settings_hash": record.settings_hash,
        "splitter": record.splitter,
        "engine": sorted({one.path for one in student.records.values()}),
    }  # fmt: skip
    return Provenance(
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
