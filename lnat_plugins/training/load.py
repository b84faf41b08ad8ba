"""What a training config names, loaded: candidates, and the student where no trainer loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import datasets
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl import clone_chat_template, get_dataset, get_quantization_config

from lnat_plugins.api import load_teacher_set
from lnat_plugins.errors import ConfigError, DataError, LnatError, StudentError
from lnat_plugins.training.run_config import RunConfig
from lnat_plugins.training.teacher_sets import sft_rows

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
    candidates = _split(loaded, run, "dataset_train_split")
    return candidates, _split(loaded, run, "dataset_test_split") if evaluates else None


def _split(loaded: Any, run: RunConfig, key: str) -> Dataset:
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
