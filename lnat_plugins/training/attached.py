"""A trainer's own model, tokenizer and processes as the student that chooses its rows."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import ProcessorMixin

from lnat_plugins.choosing import Chooser
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.in_process import LocalStudent, Processes
from lnat_plugins.selection import Pool, Selection
from lnat_plugins.training import stored
from lnat_plugins.training.candidates import pool_of
from lnat_plugins.training_set import counts, totals

_log = logging.getLogger(__name__)
_TWO_STAGES = "choose first with `lnat select`, and train on what it wrote with `trl sft`"


def choose_for(
    trainer: Any, dataset: Dataset, chooser: Chooser, *, tokenized: bool = False
) -> Selection:
    """Choose the trainer's rows with its final model and tokenizer, or take up its own choice.

    Every process of the run calls this alike and gets the same answer. The choice is kept in
    the trainer's output folder and reused by a run that resumes there.

    Args:
        trainer: a built trainer that has not begun.
        dataset: the candidates.
        chooser: the selection block.
        tokenized: whether TRL has prepared the data set already.

    Raises:
        ConfigError: a set-up in which the model is not whole in each process, or a choice kept
            from another run; names the way that works.
        DataError, StudentError: as for any choice.
    """
    refuse_sharded(trainer)
    processes = Processes()
    tokenizer = tokenizer_of(trainer)
    _refuse_weights(chooser.spec.strategy.weighs, chooser.spec.strategy.name)
    pool = processes.together(
        lambda: pool_of(
            dataset, chooser.spec.columns, tokenized=tokenized,
            eos=tokenizer.eos_token if tokenized else None,
        )
    )  # fmt: skip
    _refuse_other_rows(processes.gather(pool.fingerprint))
    if trainer.is_deepspeed_enabled:
        # With DeepSpeed the Trainer leaves the model on the CPU until training begins.
        trainer.model.to(trainer.args.device)
    student = LocalStudent(
        trainer.model, tokenizer, chooser.spec, plain=pool.plain, processes=processes
    )
    folder = Path(trainer.args.output_dir)
    kept = processes.once(lambda: stored.find(folder))
    if kept is not None and stored.reusable(kept, pool, student, chooser.spec, folder):
        selection = kept.selection
    else:
        chosen = chooser.choose(pool, student)
        _refuse_weights(chosen.weighted, chosen.strategy)
        # A plugin may choose differently in each process; there is one choice.
        selection = processes.once(lambda: chosen)
        probe = stored.probe_of(pool, student.records)
        processes.once(lambda: stored.keep(folder, selection, probe))
    if tokenized:
        _refuse_other_ids(trainer, dataset, pool, student, selection)
    if processes.main:
        print(f"{totals(selection)}\n\n{counts(selection)}")
        _warn_of_cuts(trainer, pool, student, selection)
    return selection


def refuse_sharded(trainer: Any) -> None:
    """Refuse set-ups whose processes hold no whole model to score with."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    parallel = getattr(trainer.accelerator, "parallelism_config", None)
    way = (
        "FSDP" if trainer.is_fsdp_enabled
        else "DeepSpeed ZeRO-3" if plugin is not None and plugin.zero_stage == 3
        else "tensor, context or sequence parallelism"
        if any(getattr(parallel, f"{kind}_enabled", False) for kind in ("tp", "cp", "sp"))
        else ""
    )  # fmt: skip
    if way:
        raise ConfigError(f"rows cannot be chosen inside a run with {way}", remedy=_TWO_STAGES)
    if getattr(trainer.model, "_is_accelerate_prepared", False):
        raise ConfigError(
            "the trainer has evaluated, predicted or trained already",
            remedy="choose its rows right after building it",
        )


def tokenizer_of(trainer: Any) -> Any:
    """The trainer's tokenizer, with the template that it trains with; of a processor its own."""
    processing = trainer.processing_class
    found = processing.tokenizer if isinstance(processing, ProcessorMixin) else processing
    if getattr(trainer, "chat_template", None) is None:
        return found
    found = copy.copy(found)
    found.chat_template = trainer.chat_template
    return found


def _refuse_other_rows(fingerprints: list[str]) -> None:
    if len(set(fingerprints)) > 1:
        raise DataError(
            "the processes of this run hold different candidates",
            where="train_dataset",
            found=", ".join(fingerprints),
            remedy="load, shuffle and split the data with a fixed seed",
        )


def _refuse_other_ids(
    trainer: Any, dataset: Dataset, pool: Pool, student: LocalStudent, selection: Selection
) -> None:
    """Rows that somebody tokenised otherwise are not the rows that were scored."""
    limit = trainer.args.max_length
    rows = [pool.rows[i] for i in selection.indices]
    for row, length in zip(rows, student.training_tokens(rows), strict=True):
        found = len(dataset[row.index]["input_ids"])
        if found != (length if limit is None else min(length, limit)):
            raise ConfigError(
                "the row's `input_ids` are not those of its text",
                where=row.where,
                found=f"{found} tokens, not {length}",
                remedy="give the trainer rows without `input_ids`",
            )


def _refuse_weights(weighted: bool, strategy: str) -> None:
    if weighted:
        raise ConfigError(
            "TRL's loss gives every row the same weight, so the weights of this choice would be "
            "ignored",
            found=strategy,
            remedy="write the rows with `lnat select` (column lnat_weight) for a trainer that "
            "weighs them, or choose with top_k or best",
        )


def _warn_of_cuts(trainer: Any, pool: Pool, student: LocalStudent, selection: Selection) -> None:
    limit = trainer.args.max_length
    if limit is None:
        return
    lengths = student.training_tokens([pool.rows[i] for i in selection.indices])
    longer = sum(length > limit for length in lengths)
    if longer:
        _log.warning(
            "%d of %d chosen rows are longer than SFTConfig.max_length=%d (the longest has %d "
            "tokens): they were scored whole and will be trained cut. Raise max_length, or set "
            "`max_length: %d` in the selection to choose among the rows that fit.",
            longer, len(lengths), limit, max(lengths), limit,
        )  # fmt: skip
