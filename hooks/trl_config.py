"""A training config: TRL's own SFT arguments with a `selection:` block, and the trainer it builds.

Read as `trl sft` reads it. `choose_by_config` is the first of two stages: the trainer is built for
its model, tokenizer and template, and the chosen rows are written instead of trained on.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import datasets
import torch
import yaml
from datasets import Dataset
from transformers import AutoConfig, AutoTokenizer, ProcessorMixin
from trl import (
    DatasetMixtureConfig,
    ModelConfig,
    ScriptArguments,
    SFTConfig,
    SFTTrainer,
    TrlParser,
    get_dataset,
    get_peft_config,
    get_quantization_config,
)

from lnat_plugins.api import load_teacher_set
from lnat_plugins.errors import ConfigError, DataError, StudentError, nearest
from lnat_plugins.files import read_yaml, user_path
from lnat_plugins.hooks.trl_data import (
    candidates_of,
    check_dataset,
    refuse_other_losses,
    sft_rows,
)
from lnat_plugins.hooks.trl_order import refuse_reordering
from lnat_plugins.plugins.configured import Chooser, read_block
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection, Student
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.teacher_set import Candidates
from lnat_plugins.teacher_set.config import parse_task

_GROUPS: Final = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)
_SHARDING: Final = (
    "deepspeed", "fsdp", "fsdp_config", "parallelism_config", "accelerator_config",
)  # fmt: skip
"""Keys of the second stage alone: the first one needs the model whole."""
_DATA_KEYS: Final = (
    "datasets", "dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split",
    "dataset_streaming", "streaming",
)  # fmt: skip
_FOREIGN: Final = (OSError, ValueError, ImportError)
"""What the libraries raise for a model or an argument that they do not take."""


@dataclass(frozen=True)
class RunConfig:
    """A training config, parsed: TRL's four groups of arguments, and the choice.

    Attributes:
        script_args, training_args, model_args, dataset_args: as `trl sft` parses them.
        keys: the config without the selection block, as written.
        chooser: the selection block; files named in it start from the config's folder.
        path: the config file.
    """

    script_args: Any
    training_args: Any
    model_args: Any
    dataset_args: Any
    keys: Mapping[str, Any]
    chooser: Chooser
    path: Path


def read_run_config(
    arguments: Sequence[str], ignore: Collection[str] = (), strategy: str = "best"
) -> RunConfig:
    """Parse `--config FILE` and the arguments beside it, which win over the file, as in TRL.

    Args:
        arguments: the command line.
        ignore: keys of the file that are passed over.
        strategy: of a block that names none.

    Raises:
        ConfigError: no file, no selection block, an unknown key, or a value that TRL refuses.
            Wrong types on the command line end in argparse's own SystemExit.
    """
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--config", action="append", nargs="?", default=[])
    known, others = options.parse_known_args(list(arguments))
    if len(known.config) != 1 or not known.config[0]:
        raise ConfigError(
            "one `--config FILE` is needed",
            found=" ".join(arguments) or "no argument",
            remedy="give the YAML that holds TRL's arguments and a `selection:` block",
        )
    path = user_path(known.config[0], ConfigError)
    keys = read_yaml(path)
    block = keys.pop("selection", None)
    if block is None:
        raise ConfigError(
            "the config has no `selection:` block",
            where=str(path),
            remedy="add `selection: {strategy: best}`, or run `trl sft` to train on all rows",
        )
    names = {field.name for group in _GROUPS for field in fields(group)} | {"env"}
    for key in keys:
        if key not in names:
            raise ConfigError(
                "neither TRL nor the selection knows this key",
                where=str(path),
                found=key,
                remedy=nearest(key, [*names, "selection"])
                + "only keys of `trl sft` may stand beside `selection:`",
            )
    if isinstance(block, Mapping):
        block = {"strategy": strategy, **block}
    chooser = read_block(block, source=f"{path}: selection", base_dir=path.resolve().parent)
    with tempfile.TemporaryDirectory(prefix="lnat-") as folder:
        # TRL reads a file; this one is without the block and the ignored keys.
        file = Path(folder) / path.name
        file.write_text(
            yaml.safe_dump({key: value for key, value in keys.items() if key not in ignore}),
            encoding="utf-8",
        )
        try:
            with without_own_warnings([*keys, *others]):
                parsed = TrlParser(_GROUPS).parse_args_and_config(["--config", str(file), *others])
        except (ValueError, TypeError, ImportError) as cause:
            # TRL and transformers check their arguments with these.
            raise ConfigError(
                f"TRL refuses the arguments: {str(cause).splitlines()[0].rstrip('.')}",
                where=str(path),
                remedy="fix the value; see the documentation of TRL's SFTConfig",
            ) from cause
    script, training, model, data = parsed
    if not model.model_name_or_path:
        raise ConfigError(
            "no student is named", where=str(path), remedy="write `model_name_or_path: ...`"
        )
    return RunConfig(script, training, model, data, keys, chooser, path)


@contextmanager
def without_own_warnings(given: Collection[str]) -> Iterator[None]:
    """Leaves out a warning of transformers about a setting that TRL made and the user did not.

    Args:
        given: the keys of the config, and the arguments.
    """
    with warnings.catch_warnings():
        # TRL 1.16 sets it by default; transformers 5.24 has a new name for it.
        if not any("gradient_checkpointing" in one for one in given):
            old = "`gradient_checkpointing` is deprecated"
            warnings.filterwarnings("ignore", old, FutureWarning)
        yield


def load_splits(run: RunConfig) -> tuple[Dataset, Dataset | None]:
    """The rows to choose from, and those to evaluate on where the run does.

    The candidates are the block's `teacher_set`, or the data set that TRL would load. The
    student's tokenizer and configuration are loaded first, its weights are not.

    Raises:
        ConfigError: no candidates are named, or two sources of them; a split at random; an
            unknown dtype or eos_token.
        DataError: the data cannot be loaded.
        StudentError: TRL would fail to load the student.
    """
    tokenizer = _load_tokenizer(run)
    plain = not tokenizer.chat_template
    script, mixture = run.script_args, run.dataset_args
    named = bool(mixture.datasets or script.dataset_name)
    teacher_set = run.chooser.spec.teacher_set
    evaluates = run.training_args.eval_strategy != "no"
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
        loaded_set = load_teacher_set(_from_config(run, teacher_set))
        return sft_rows(loaded_set, tokenizer, plain=plain), None
    if mixture.test_split_size is not None:
        raise ConfigError(
            "`test_split_size` splits at random: differently in each process and on resume",
            where=str(run.path),
            found=mixture.test_split_size,
            remedy="split the data once, and name its splits",
        )
    try:
        # As `trl sft` does. A streaming data set is refused with the other kinds.
        loaded: Any = (
            get_dataset(mixture)
            if mixture.datasets
            else datasets.load_dataset(
                script.dataset_name, name=script.dataset_config, streaming=script.dataset_streaming
            )
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as cause:
        raise DataError(
            f"the data set cannot be loaded: {str(cause).splitlines()[0]}",
            where=str(run.path),
            found=script.dataset_name or mixture.datasets,
            remedy="check `dataset_name` or `datasets`; paths start from the working directory",
        ) from cause
    keys = ["dataset_train_split", *(["dataset_test_split"] if evaluates else [])]
    for key in keys:
        if getattr(script, key) not in loaded:
            raise DataError(
                f"the data set has no split {getattr(script, key)!r}",
                where=f"{run.path}: {key}",
                found=", ".join(map(str, loaded)),
            )
    rows, evaluation = [*(loaded[getattr(script, key)] for key in keys), None][:2]
    return rows, evaluation


def _from_config(run: RunConfig, file: str) -> Path:
    return run.path.resolve().parent / file


def _load_tokenizer(run: RunConfig) -> Any:
    """The student's, with the template that it trains with; StudentError if it cannot be loaded."""
    name, arguments = run.model_args.model_name_or_path, _model_arguments(run)
    source = {key: arguments[key] for key in ("revision", "trust_remote_code")}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name, **source)
        AutoConfig.from_pretrained(name, **source)
    except _FOREIGN as cause:
        raise StudentError(
            f"the student cannot be loaded: {str(cause).splitlines()[0]}",
            where=f"{run.path}: model_name_or_path",
            found=name,
            remedy="give a folder with config.json, weights and tokenizer (from the working "
            "directory), or a model's id on the hub",
        ) from cause
    end = run.training_args.eos_token
    if end is not None and end not in tokenizer.get_vocab():
        raise ConfigError(
            "the student's vocabulary has no such token", where=f"{run.path}: eos_token", found=end
        )
    template = run.training_args.chat_template_path
    if template is not None and Path(template).is_file():
        tokenizer.chat_template = Path(template).read_text(encoding="utf-8")
    elif template is not None:
        try:
            tokenizer.chat_template = load_tokenizer(template).chat_template
        except StudentError:
            raise ConfigError(
                "the chat template cannot be loaded",
                where=f"{run.path}: chat_template_path", found=template,
                remedy="name a .jinja file, or a folder or hub id with a tokenizer",
            ) from None  # fmt: skip
    return tokenizer


def _model_arguments(run: RunConfig) -> dict[str, Any]:
    """What `trl sft` gives to `from_pretrained`."""
    model, training = run.model_args, run.training_args
    if model.dtype not in (None, "auto") and not isinstance(
        getattr(torch, model.dtype, None), torch.dtype
    ):
        raise ConfigError(
            "torch has no such dtype",
            where=f"{run.path}: dtype",
            found=model.dtype,
            remedy="write auto, float32, bfloat16 or float16",
        )
    # TRL has moved this key from the model's arguments to the training arguments.
    trust = getattr(training, "trust_remote_code", None)
    arguments = {
        "revision": model.model_revision,
        "trust_remote_code": getattr(model, "trust_remote_code", False) if trust is None else trust,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    quantized = get_quantization_config(model)
    if quantized is not None:
        arguments["quantization_config"] = quantized
    return arguments | (training.model_init_kwargs or {})


def build_trainer(
    run: RunConfig,
    trainer_class: type[SFTTrainer],
    rows: Dataset,
    evaluation: Dataset | None = None,
    **more: Any,
) -> Any:
    """The trainer that `trl sft` would build, of this class.

    Args:
        run: the config.
        trainer_class: `SFTTrainer` or a subclass.
        rows, evaluation: as `load_splits` gives them.
        **more: arguments of the class beyond those of `SFTTrainer`.

    Raises:
        ConfigError: TRL, or a library below it, refuses a setting or the model.
    """
    args = copy.copy(run.training_args)
    args.model_init_kwargs = _model_arguments(run)
    try:
        return trainer_class(
            model=run.model_args.model_name_or_path,
            args=args,
            train_dataset=rows,
            eval_dataset=evaluation,
            peft_config=get_peft_config(run.model_args),
            **more,
        )
    except _FOREIGN as cause:
        raise ConfigError(
            f"TRL cannot build the trainer: {str(cause).strip().splitlines()[0]}",
            where=str(run.path),
            found=type(cause).__name__,
        ) from cause


def tokenizer_of(trainer: Any) -> Any:
    """The trainer's tokenizer, with the template that it trains with; of a processor its own."""
    processing = trainer.processing_class
    tokenizer = processing.tokenizer if isinstance(processing, ProcessorMixin) else processing
    if getattr(trainer, "chat_template", None) is None:
        return tokenizer
    tokenizer = copy.copy(tokenizer)
    tokenizer.chat_template = trainer.chat_template
    return tokenizer


class _UntrainedTrainer(SFTTrainer):
    """Built for its final model, tokenizer and template; its rows stay as they are."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


@dataclass(frozen=True)
class FirstStage:
    """Rows chosen as a training config says, before the second stage trains on them.

    Attributes:
        run: the config.
        candidates, selection: the rows to choose from, and the choice.
        student: what scored them.
        provenance: where rows and scores come from.
        sft_settings: the config's keys of TRL's, without those of the data: for `sft.yaml`.
    """

    run: RunConfig
    candidates: Candidates
    selection: Selection
    student: Student
    provenance: Provenance
    sft_settings: Mapping[str, Any]


def choose_by_config(path: str | Path, strategy: str = "best") -> FirstStage:
    """Score and choose as a training config says, without training: the first of two stages.

    The student is the one of the trainer that the config describes, so both stages and a run that
    chooses and trains at once score alike. Keys that shard the model are passed over. `strategy` is
    that of a block that names none.

    Raises:
        ConfigError, DataError, StudentError: as a training run would.
    """
    run = read_run_config(["--config", str(path)], ignore=_SHARDING, strategy=strategy)
    if run.training_args.eval_strategy != "no":
        raise ConfigError(
            "a training set has no rows to evaluate on",
            where=str(run.path),
            found=f"eval_strategy: {run.keys.get('eval_strategy')}",
            remedy="remove `eval_strategy`, and add it with its data to the `sft.yaml` written",
        )
    spec = run.chooser.spec
    if spec.order is not None:
        refuse_reordering(run.training_args)
    refuse_other_losses(run.training_args, spec)
    rows, _ = load_splits(run)
    check_dataset(rows, spec.columns, "train_dataset")
    with tempfile.TemporaryDirectory(prefix="lnat-") as folder:
        # Building a trainer makes its output folder and its repository on the hub, starts its
        # trackers, and puts kernels for training into the model.
        args = copy.copy(run.training_args)
        args.output_dir, args.push_to_hub, args.report_to = folder, False, []
        args.use_liger_kernel = args.activation_offloading = False
        # TRL would spread a model that is named over all GPUs; here it is whole on one.
        args.model_init_kwargs = {"device_map": None} | (args.model_init_kwargs or {})
        trainer = build_trainer(replace(run, training_args=args), _UntrainedTrainer, rows)
    tokenizer = tokenizer_of(trainer)
    candidates = candidates_of(rows, spec.columns, tokenizer, turns=spec.turns)
    student = LocalStudent(
        trainer.model, tokenizer, spec, plain=candidates.plain,
        progress=not run.training_args.disable_tqdm,
    )  # fmt: skip
    selection = run.chooser.choose(candidates, student)
    record = next(iter(student.records.values()), None)
    scoring = {} if record is None else {
        "settings": dict(record.settings),
        "settings_hash": record.settings_hash,
        "splitter": record.splitter,
        "engine": sorted({one.path for one in student.records.values()}),
    }  # fmt: skip
    if spec.teacher_set is not None:
        file = _from_config(run, spec.teacher_set)
        task = parse_task(read_yaml(file), file).name
    elif run.dataset_args.datasets:
        task = ", ".join(str(one.path) for one in run.dataset_args.datasets)
    else:
        task = str(run.script_args.dataset_name)
    versions = {} if record is None else record.versions
    return FirstStage(
        run,
        candidates,
        selection,
        student,
        Provenance(task=task, files=(str(run.path),), scoring=scoring, versions=versions),
        {key: value for key, value in run.keys.items() if key not in _DATA_KEYS},
    )
