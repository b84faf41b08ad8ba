"""NaturalSFTTrainer by `lnat sft`: killed while it chooses, then up to its first checkpoint, then
until its model is saved; run again as before, or from the last checkpoint that is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets

from lnat_plugins.hooks import trl_sft
from lnat_plugins.selection.training_set import OF_TRAINER
from tests.hooks.builders import BEST, saved_student, write_config
from tests.kills import contents
from tests.torture.killing import Found, Kind, Scene
from tests.torture.processes import BEGAN, ENDED, Say

CHOSE, SAVES = b"c", b"s"
NOT_COMPARED = ("training_args.bin", "trainer_state.json", "README.md")
"""They hold dates and seconds."""


def cache_here() -> None:
    """What `datasets` caches is cached anew each time, by the killed run and the next one."""
    datasets.config.HF_DATASETS_CACHE = Path(".cache").resolve()


def prepare() -> None:
    """A student, candidates and a config with a checkpoint in the middle."""
    student = saved_student(Path("student").resolve())
    options = {"strategy": "best", "windows": [1, 4, "global"]}
    write_config(Path.cwd(), student, selection=BEST | options, save_strategy="steps", save_steps=2,
                 num_train_epochs=2)  # fmt: skip


def train(say: Say, *options: str) -> None:
    """`lnat sft`; it says when the choice is kept and when a checkpoint is begun."""
    store, save = trl_sft.store_choice, trl_sft.NaturalSFTTrainer._save_checkpoint

    def watched_store(*given: Any) -> None:
        store(*given)
        say(CHOSE)

    def watched_save(*given: Any) -> None:
        say(SAVES)
        save(*given)

    trl_sft.store_choice = watched_store
    trl_sft.NaturalSFTTrainer._save_checkpoint = watched_save  # type: ignore[method-assign]
    cache_here()
    say(BEGAN)
    code = trl_sft.main(["--config", "sft.yaml", *options])
    say(ENDED)
    raise SystemExit(code)


def resume(say: Say) -> None:
    """`lnat sft` from a checkpoint, if one is whole."""
    states = [path.read_text() for path in Path("out").glob("checkpoint-*/trainer_state.json")]
    is_whole = any(state.rstrip().endswith("}") for state in states)
    train(say, *(["--resume_from_checkpoint", "true"] if is_whole else []))


def choice(place: Path) -> Found:
    """The file of the choice."""
    return {OF_TRAINER: contents(place / "out" / OF_TRAINER)}


def models(place: Path) -> Found:
    """The trained model, and the checkpoints with their optimizer."""
    out = place / "out"
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in NOT_COMPARED
    }


def kept(place: Path) -> Found:
    """A choice is made once."""
    path = place / "out" / OF_TRAINER
    return {OF_TRAINER: path.stat().st_ino} if path.exists() else {}


def scene() -> Scene:
    """The trainer."""
    kinds = (
        Kind("choosing", train, BEGAN, CHOSE),
        Kind("training", train, CHOSE, SAVES),
        Kind("saving", train, SAVES, ENDED),
        Kind("saving, resumed", train, SAVES, ENDED, again=resume),
    )
    return Scene(prepare, choice, kinds, models, kept)
