"""`score_on_ray`: a teacher set scored by a pool of actors, resumed by what the parts hold.

Ray's own checkpoint (`CheckpointConfig`) is not used: every row that was written counts as done,
with a reason in place of a score too, so that a failed prompt is never scored again; it is removed
when a run succeeds; and it does not compare settings. Here a prompt is done once a part that can be
read to its end holds its line.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError, LnatError, visible
from lnat_plugins.files import BUNDLED, bundled_student, check_model_folder, is_folder
from lnat_plugins.formatting import plural
from lnat_plugins.harness.worker import check_back_end
from lnat_plugins.locks import locked
from lnat_plugins.on_ray.parts import State, next_folder, read_state, write_samples
from lnat_plugins.on_ray.prompt_files import (
    WrittenSet,
    holds_prompts,
    prompt_files,
    read_json,
    read_set,
    write_prompts,
)
from lnat_plugins.outputs import check_writable, write_atomic
from lnat_plugins.scoring.chat import load_tokenizer, reads_plain
from lnat_plugins.teacher_set import TeacherSet

PARTS: Final = "parts"
_RUN: Final = "run.json"
_OPTION: Final = "output_path"
_PATIENCE: Final = 5.0
_COLOURS: Final = re.compile(r"\x1b\[[\d;]*m")
_READERS: Final = "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"
_INSTALL: Final = "pip install 'lnat-plugins[ray]'"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredOnRay:
    """What a run has left in its output folder.

    Attributes:
        samples: the samples file, for `read_scores`, `lnat rank` and all that reads scores.
        prompts: of the set.
        scored: prompts in the samples file.
        asked: prompts that this run scored, or tried to.
        failed: reason -> prompts without a score, most first; the next run asks them again.
    """

    samples: Path
    prompts: int
    scored: int
    asked: int
    failed: Mapping[str, int]

    def __str__(self) -> str:
        found = (
            f"scored {self.scored} of {plural(self.prompts, 'prompt')}, {self.asked} in this run"
        )
        for reason, count in self.failed.items():
            found += f"; {count} failed: {reason}"
        again = "; run again to ask those that failed" if self.failed else ""
        return f"{found}; wrote {self.samples}{again}"


def score_on_ray(
    teacher_set: TeacherSet | str | Path | Mapping[str, Any],
    output_path: str | Path,
    *,
    student: str,
    model: str = "hf",
    model_args: Mapping[str, Any] | None = None,
    apply_chat_template: bool | None = None,
    actors: tuple[int, int] | None = None,
    gpus: float | None = None,
    cpus: float = 1,
    block: int = 8,
    plugins: Sequence[str] = (),
) -> ScoredOnRay:
    """Score a teacher set on a Ray cluster, one copy of the student an actor.

    Ray is the caller's (`ray.init(address=...)`), that of the variable `RAY_ADDRESS`, or a new one
    on this machine. A run that was stopped goes on when it is called again with the same arguments;
    prompts that failed are asked again.

    Args:
        teacher_set: its YAML, the same keys, what `load_teacher_set` read, or a folder that
            `lnat_plugins.on_ray.write_prompts` wrote. It is scored by its own settings.
        output_path: a folder in a file system that all nodes share. It gets the samples file, and
            `prompts/`, `parts/` and `run.json`, by which a run goes on.
        student: a folder that all nodes see, or a name on the Hub; "bundled" for the one that comes
            with the package.
        model: lm-eval's name of the back end that holds the student in an actor: "hf", "vllm", ...
        model_args: as lm-eval's `--model_args`, without `pretrained`.
        apply_chat_template: by default wherever the tokenizer has a template, as in `score`.
        actors: the fewest and the most; by default from one to as many as the cluster has room for.
        gpus: of each actor; by default one where the cluster has any. A student that is spread over
            several takes so many.
        cpus: of each actor.
        block: prompts that an actor takes at once, and of a part: what is lost by a kill at most.
        plugins: modules and files of a set that was loaded; all nodes must see them.

    Raises:
        ConfigError: no Ray, an output folder of another run, arguments that do not fit.
        DataError: the teacher set, or no prompt of it could be scored.
        StudentError: the student cannot be found, loaded or scored with.
    """
    ray = _import_ray()
    student = str(bundled_student()) if student == BUNDLED else student
    arguments = _everywhere({**(model_args or {}), "pretrained": student})
    _check_arguments(model, arguments, apply_chat_template, actors, block)
    output = Path(output_path).absolute()
    check_writable(output, _OPTION)
    if isinstance(teacher_set, str | Path) and holds_prompts(teacher_set):
        prompts = Path(teacher_set).absolute()
    else:
        _check_run(output)
        prompts = write_prompts(teacher_set, output / "prompts", plugins)
    written = read_set(prompts)
    written.plan()  # a plugin or a metric that is not there
    output.mkdir(parents=True, exist_ok=True)
    with locked(output.resolve(), _PATIENCE, "another run is writing to this folder"):
        begun = _begin(output, written, model, arguments, apply_chat_template)
        state = read_state(output / PARTS, written.prompts)
        asked = written.prompts - int(state.done_N.sum())
        if asked:
            pool = _Pool(actors, gpus, cpus, block)
            actor = (model, arguments, prompts, apply_chat_template, output / "student")
            _run(ray, prompts, next_folder(output / PARTS), state, actor, pool)
            state = read_state(output / PARTS, written.prompts)
        if not state.scored:
            reason = next(iter(state.failed), "no part was written")
            raise DataError(
                f"no prompt could be scored: {reason}", where=str(output),
                remedy="all that is known of each stands in the parts' column `error`",
            )  # fmt: skip
        samples = _finish(output, state, written, begun, changed=bool(asked))
    return ScoredOnRay(samples, written.prompts, state.scored, asked, state.failed)


def _import_ray() -> ModuleType:
    try:
        import ray
        import ray.data
    except ImportError as cause:
        raise ConfigError(
            "Ray Data is not installed", where="score_on_ray", found=str(cause), remedy=_INSTALL
        ) from None
    found: ModuleType = ray
    return found


def _everywhere(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Folders by absolute paths: an actor has another working directory."""
    return {
        name: str(Path(value).absolute()) if isinstance(value, str) and is_folder(value) else value
        for name, value in arguments.items()
    }


def _check_arguments(
    model: str, arguments: Mapping[str, Any], apply_chat_template: bool | None,
    actors: tuple[int, int] | None, block: int,
) -> None:  # fmt: skip
    if actors is not None and not 1 <= actors[0] <= actors[1]:
        raise ConfigError(
            "this is no pair of a least and a most number", where="actors", found=actors,
            remedy="give (1, 8), or leave it out",
        )  # fmt: skip
    if block < 1:
        raise ConfigError("this must be 1 or more", where="block", found=block)
    check_back_end(model)
    check_model_folder(arguments["pretrained"], "student")
    tokenizer = load_tokenizer(
        str(arguments.get("tokenizer") or arguments["pretrained"]),
        "give a folder with the student's tokenizer files",
    )
    reads_plain(tokenizer, apply_chat_template)


def _check_run(output: Path) -> None:
    """Refuse a folder that has files and is no run's: ours would lie among them."""
    if output.is_dir() and any(output.iterdir()) and not (output / "prompts").is_dir():
        if not (output / _RUN).is_file():
            raise ConfigError(
                "the folder holds files that no run on Ray has written", where=str(output),
                remedy="give an empty folder, or one that is not there",
            )  # fmt: skip


def _begin(
    output: Path, written: WrittenSet, model: str, arguments: Mapping[str, Any],
    apply_chat_template: bool | None,
) -> str:  # fmt: skip
    """When the run was begun that goes on here, or that begins now; as in a samples file's name.

    Raises:
        ConfigError: the folder has the scores of another run.
    """
    own = {
        "teacher_set": written.name, "settings": written.about, "tokens": written.tokens,
        "sensitivity": written.sensitivity, "plugins": list(written.plugins), "model": model,
        "model_args": dict(arguments), "apply_chat_template": apply_chat_template,
    }  # fmt: skip
    own = json.loads(json.dumps(own, default=str))
    path = output / _RUN
    if path.exists():
        found = read_json(path)
        before = found.get("run") if isinstance(found, dict) else None
        before = before if isinstance(before, dict) else {}
        other = [name for name in own if before.get(name) != own[name]]
        if other:
            raise ConfigError(
                "the folder holds the scores of another run", where=str(output),
                found=", ".join(_differs(name, before.get(name), own[name]) for name in other),
                remedy="give another output folder, or the arguments of that run",
            )  # fmt: skip
        return str(found["begun"])
    begun = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S.%f")
    values = {"begun": begun, "run": own, "lnat_plugins": __version__}
    write_atomic(path, json.dumps(values, indent=1), _OPTION)
    return begun


def _differs(name: str, before: object, now: object) -> str:
    """Which setting differs, by its name alone where its values are long."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return f"{name}: {', '.join(names)}"
    return f"{name}: {before}, not {now}"


@dataclass(frozen=True)
class _Pool:
    """See `score_on_ray`."""

    actors: tuple[int, int] | None
    gpus: float | None
    cpus: float
    block: int

    def sized(self, resources: Mapping[str, float]) -> tuple[tuple[int, int], float]:
        """The fewest and the most actors, and the GPUs of each, in a cluster that has these.

        Raises:
            ConfigError: not one fits.
        """
        gpus = self.gpus
        if gpus is None:
            gpus = float(resources.get("GPU", 0) >= 1)
        room = int(resources.get("GPU", 0) // gpus) if gpus else 1 << 30
        # One CPU stays for what reads and writes.
        room = min(room, int((resources.get("CPU", 1) - 1) // self.cpus) if self.cpus else room)
        fewest, most = self.actors or (1, max(1, room))
        if gpus and resources.get("GPU", 0) < gpus:
            raise ConfigError(
                "no actor fits into this cluster", where="gpus", found=gpus,
                remedy=f"it has {resources.get('GPU', 0):g} GPUs; give fewer, or 0 for CPUs alone",
            )  # fmt: skip
        return (fewest, most), gpus


def _run(
    ray: ModuleType, prompts: Path, parts: Path, state: State, actor: tuple[Any, ...], pool: _Pool
) -> None:
    """Read, score, write.

    Raises:
        LnatError: of an actor; ConfigError where Ray ends the run.
    """
    from lnat_plugins.on_ray.actor import ScoringActor

    if not ray.is_initialized():
        # Ray reports no usage of a cluster that is started here, unless the caller wants it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init()
    (fewest, most), gpus = pool.sized(ray.cluster_resources())
    _log.info("%s to %s, %g GPUs each", fewest, plural(most, "actor"), gpus)
    files = prompt_files(prompts)
    rows = ray.data.read_parquet(files)
    if state.done_N.any():
        rows = rows.map_batches(_without(state.done_N), batch_format="pyarrow")
    rows = rows.repartition(target_num_rows_per_block=pool.block)
    rows = rows.map_batches(
        ScoringActor,
        batch_size=pool.block,
        batch_format="pyarrow",
        fn_constructor_args=actor,
        compute=ray.data.ActorPoolStrategy(min_size=fewest, max_size=most),
        num_gpus=gpus or None,
        num_cpus=pool.cpus,
    )
    try:
        with _footer_readers(len(files)):
            rows.write_parquet(str(parts))
    except Exception as cause:
        if error := _ours(cause):
            raise error from None
        text = _COLOURS.sub("", str(cause)).strip()
        first, *_ = text.splitlines() or [type(cause).__name__]
        raise ConfigError(
            f"Ray ended the run: {visible(first.rstrip('.'))}", where=str(parts.parent),
            remedy="run again with the same arguments; what was written is not scored again",
        ) from cause  # fmt: skip


@contextmanager
def _footer_readers(files: int) -> Iterator[None]:
    """As many processes as have files to look at, unless the caller has said how many.

    Ray (2.60) starts 32 to find out how the rows lie in parquet files, however few these are; each
    looks at ten at once.
    """
    if _READERS in os.environ:
        yield
        return
    os.environ[_READERS] = str(min(32, -(-files // 10)))
    try:
        yield
    finally:
        del os.environ[_READERS]


def _without(done_N: np.ndarray[Any, np.dtype[np.bool_]]) -> Callable[[Any], Any]:
    """Leaves the prompts of a block that are still to be asked.

    A function within another is sent as it is: processes that read need not import this package.
    """

    def kept(rows: Any) -> Any:
        return rows.filter(~done_N[rows["number"].to_numpy()])

    return kept


def _ours(error: BaseException) -> LnatError | None:
    """The error of ours that one of Ray's was raised for."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        # Ray makes a class that is both its own error and the one that was raised.
        if isinstance(one, LnatError) and type(one).__module__ == LnatError.__module__:
            return one
        waiting += [one.__cause__, one.__context__, getattr(one, "cause", None)]
    return None


def _finish(output: Path, state: State, written: WrittenSet, begun: str, *, changed: bool) -> Path:
    """Write the samples file and the results file beside it, which says what it holds."""
    samples = output / f"samples_{written.name}_{begun}.jsonl"
    results = output / f"results_{begun}.json"
    found = read_json(results)
    whole = isinstance(found, dict) and found.get("scored") == state.scored
    if samples.exists() and whole and not changed:
        return samples
    results.unlink(missing_ok=True)  # so that it is never of another file
    write_samples(output / PARTS, state, samples)
    run = read_json(output / _RUN)["run"]
    name, count = written.name, {"original": written.prompts, "effective": state.scored}
    values = {
        "results": {},
        "configs": {name: {"task": name, "metadata": {"naturalness": written.about}}},
        "n-samples": {name: count},
        "config": {"model": run["model"], "model_args": run["model_args"]},
        "model_name": run["model_args"]["pretrained"],
        "failed": state.failed,
        "scored": state.scored,
    }
    write_atomic(results, json.dumps(values, indent=1), _OPTION)
    return samples
