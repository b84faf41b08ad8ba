"""`score_on_ray` on a cluster of this machine: its driver is killed, an actor, or all at once.

A killed actor's run goes on to its end; another run goes on from a killed driver's parts. To load a
student takes longer than all the rest, so most kills are of a stand-in that reads nothing: what is
tried is how Ray writes, and what is taken for done.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lm_eval.models.huggingface  # noqa: F401 - imported before a process is forked
import psutil  # type: ignore[import-untyped]
import ray
import ray.data

import lnat_plugins.on_ray.actor
from tests.harness.lab import write_set
from tests.torture.killing import Found, Kind, Scene
from tests.torture.processes import BEGAN, ENDED, Run, Say, are_gone

OUT = "out"
PROMPTS = 48
FIRST_PART = b"p"
_ACTOR = "ray::MapWorker"
_OTHERS = ("ray::Write", "ray::IDLE", "ray::Read", "ray::List", "ray::Streaming")
_SENTENCES = (
    "First we add three and four.", "That makes seven.", "Wait, is it so?", "Yes, it is.",
    "So the answer is 7.", "Now check it by counting on from four: five, six, seven.",
)  # fmt: skip


def start_ray(cpus: int = 4) -> None:
    """A small cluster in this process's machine."""
    ray.init(
        num_cpus=cpus, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False
    )


def prepare() -> None:
    """A teacher set whose responses take a student a moment each."""
    draw = random.Random(0)
    rows = [
        {
            "prompt_id": f"p{i}", "prompt": f"What is {i} + 4?", "teacher": teacher,
            "response": " ".join(draw.choices(_SENTENCES, k=30)),
        }
        for i in range(PROMPTS)
        for teacher in ("QwQ", "R1", "V3")
    ]  # fmt: skip
    write_set(Path.cwd(), rows)


class StandIn:
    """An actor without a student: a line that follows from the prompt, after a moment."""

    def __init__(self, *_: object) -> None:
        """Takes what `ScoringActor` takes."""

    def __call__(self, rows: Any) -> Any:
        """As `ScoringActor`'s; each tenth prompt is failed in every run."""
        import hashlib
        import time

        import pyarrow

        found = []
        for row in rows.to_pylist():
            time.sleep(0.4)
            digest = hashlib.sha256(row["prompt"].encode()).hexdigest()
            line = f'{{"doc_id": {row["number"]}, "of": "{digest}"}}'
            failed = row["number"] % 10 == 9
            own = {"number": row["number"], "id": row["id"], "line": "" if failed else line}
            found.append(own | {"reason": "a tenth" if failed else "", "final": not failed})
        return pyarrow.Table.from_pylist(found)


def stand_in(say: Say) -> None:
    """As `score`, without a student."""
    # Sent as it is: Ray's processes do not find the tests.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    lnat_plugins.on_ray.actor.ScoringActor = StandIn  # type: ignore[assignment,misc]
    score(say)


def score(say: Say) -> None:
    """Two actors; it says when the first part is there."""

    def watch() -> None:
        while not any(Path(OUT).glob("parts/*/*.parquet")):
            time.sleep(0.05)
        say(FIRST_PART)

    start_ray()
    threading.Thread(target=watch, daemon=True).start()
    say(BEGAN)
    lnat_plugins.score_on_ray(
        "my_teachers.yaml", OUT, student="bundled", model_args={"dtype": "float32"},
        actors=(2, 2), block=1,
    )  # fmt: skip
    say(ENDED)
    ray.shutdown()


def results(place: Path) -> Found:
    """The lines of the samples file, in order, and what the results file says of them."""
    found: Found = {}
    for path in (place / OUT).glob("samples_*.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        found["samples"] = [json.loads(line) for line in lines]
    for path in (place / OUT).glob("results_*.json"):
        found["results"] = json.loads(path.read_bytes())["n-samples"]
    return found


def kill_driver(run: Run) -> tuple[bool, list[str]]:
    """The process that was started: Ray ends the others."""
    own = run.workers()
    return run.kill(), _that_go_on(own)


def kill_all(run: Run) -> tuple[bool, list[str]]:
    """The driver, and all that it has started, as where a machine stops."""
    own = run.workers()
    for process in own:
        _kill(process)
    return run.kill(), _that_go_on(own)


def kill_actor(run: Run) -> tuple[bool, list[str]]:
    """An actor: Ray starts another, and the run comes to its end."""
    own = run.workers()
    actors = [one for one in own if _name(one).startswith(_ACTOR)]
    for process in actors[:1]:
        _kill(process)
    run.end()
    return bool(actors), _that_go_on(own)


def kill_worker(run: Run) -> tuple[bool, list[str]]:
    """A process of Ray that reads or writes, or waits to: what it did is done again."""
    own = run.workers()
    others = [one for one in own if _name(one).startswith(_OTHERS)]
    for process in others[:1]:
        _kill(process)
    run.end()
    return bool(others), _that_go_on(own)


def _name(process: Any) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _kill(process: Any) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _that_go_on(processes: list[Any]) -> list[str]:
    # Ray's agents look every half minute whether what started them is alive.
    if are_gone(processes, seconds=120):
        return []
    names = sorted({_name(process) for process in processes if process.is_running()})
    for process in processes:
        _kill(process)
    return [f"processes went on: {names}"]


def _scene(work: Callable[[Say], None]) -> Scene:
    kinds = (
        Kind("driver", work, begin=FIRST_PART, kill=kill_driver),
        Kind("actor", work, begin=FIRST_PART, kill=kill_actor),
        Kind("all", work, begin=FIRST_PART, kill=kill_all),
        Kind("driver, at any time", work, kill=kill_driver),
        Kind("actor", work, begin=FIRST_PART, kill=kill_actor),
        Kind("worker", work, begin=FIRST_PART, kill=kill_worker),
    )
    return Scene(prepare, lambda place: {}, kinds, results)


def scene() -> Scene:
    """With a student; most kills are after the first part."""
    return _scene(score)


def parts() -> Scene:
    """With the stand-in."""
    return _scene(stand_in)
