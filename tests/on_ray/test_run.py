"""`score_on_ray`: what is refused before a cluster is started, and runs that are killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lnat_plugins import read_scores, score_on_ray
from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.files import bundled_student
from tests.harness.lab import evaluate, hf, rows, save, write_set
from tests.torture.processes import start

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed (the extra `ray`)"
)
# Ray warns of its own use of what it has deprecated, and leaves files and sockets open.
of_ray = pytest.mark.filterwarnings("ignore")
ARGUMENTS: dict[str, Any] = {"student": "bundled", "model_args": {"dtype": "float32"}}
SPLITTER = """
from pathlib import Path

from lnat_plugins import Splitter, hookimpl

FLAG = Path(__file__).with_name("fails")


@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("fragile", "1", cut))


def cut(text):
    if FLAG.exists() and "First" in text:
        raise RuntimeError("no luck with this one")
    end = text.find(". ") + 2
    return [(0, len(text))] if end < 2 else [(0, end), (end, len(text))]
"""


def test_without_ray_the_remedy_is_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"Ray Data is not installed .*lnat-plugins\[ray\]"):
        score_on_ray(write_set(tmp_path, rows()), tmp_path / "out", **ARGUMENTS)


@needs_ray
def test_what_can_be_known_is_told_before_a_cluster_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "init", lambda: pytest.fail("a cluster was started"))
    monkeypatch.chdir(tmp_path)
    source, out = write_set(tmp_path, rows()), tmp_path / "out"
    for changes, kind, message in (
        ({"student": "./nowhere"}, StudentError, "student: the student's folder does not exist"),
        ({"student": str(tmp_path)}, StudentError, "student: the student's folder holds no model"),
        ({"model": "hg"}, StudentError, "model: lm-eval has no such back end here"),
        ({"actors": (3, 2)}, ConfigError, "actors: this is no pair of a least and a most number"),
        ({"block": 0}, ConfigError, "block: this must be 1 or more"),
        ({"plugins": ["nowhere.py"]}, ConfigError, "nowhere.py"),
    ):
        with pytest.raises(kind, match=message):
            score_on_ray(source, out, **{**ARGUMENTS, **changes})
    bare = shutil.copytree(bundled_student(), tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(StudentError, match="the tokenizer has no chat template to apply"):
        score_on_ray(source, out, student=str(bare), apply_chat_template=True)
    budget = write_set(tmp_path, rows(), "raced", {"budget": {}})
    with pytest.raises(ConfigError, match="raced: budget: a budget decides prompt by prompt"):
        score_on_ray(budget, tmp_path / "other", **ARGUMENTS)
    with pytest.raises(ConfigError, match="no run on Ray has written"):
        score_on_ray(source, tmp_path, **ARGUMENTS)


@needs_ray
def test_the_folder_of_another_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lnat_plugins.on_ray import run

    def failed(*of: Any) -> None:
        raise ConfigError("Ray ended the run")

    monkeypatch.setattr(run, "_run", failed)
    source, out = write_set(tmp_path, rows()), tmp_path / "out"
    for _ in range(2):  # the second goes on from the first
        with pytest.raises(ConfigError, match="Ray ended the run"):
            score_on_ray(source, out, **ARGUMENTS)
    with pytest.raises(ConfigError, match=r"scores of another run \(found 'model_args: dtype"):
        score_on_ray(source, out, student="bundled", model_args={"dtype": "bfloat16"})
    other = write_set(tmp_path, rows(shift=2), "other")
    with pytest.raises(ConfigError, match="the folder holds the prompts of another set"):
        score_on_ray(other, out, **ARGUMENTS)
    monkeypatch.setattr(run, "_run", lambda *of: None)
    with pytest.raises(DataError, match="no prompt could be scored: no part was written"):
        score_on_ray(source, out, **ARGUMENTS)


@needs_ray
def test_the_pool_is_as_large_as_the_cluster_has_room_for() -> None:
    from lnat_plugins.on_ray.run import _Pool

    cluster = {"CPU": 64.0, "GPU": 8.0}
    assert _Pool(None, None, 1, 8).sized(cluster) == ((1, 8), 1)
    assert _Pool(None, 4, 8, 8).sized(cluster) == ((1, 2), 4)
    assert _Pool((2, 3), 0, 1, 8).sized(cluster) == ((2, 3), 0)
    assert _Pool(None, None, 2, 8).sized({"CPU": 8.0}) == ((1, 3), 0)
    with pytest.raises(ConfigError, match=r"no actor fits .*It has 8 GPUs; give fewer"):
        _Pool(None, 16, 1, 8).sized(cluster)


@pytest.mark.parametrize(("given", "seen"), [(None, "0"), ("1", "1")])
def test_a_cluster_that_is_started_reports_no_usage(
    given: str | None, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lnat_plugins.on_ray import run

    def init() -> None:
        raise ConfigError(os.environ["RAY_USAGE_STATS_ENABLED"])

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", given or "")
    if given is None:
        monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    ray: Any = SimpleNamespace(is_initialized=lambda: False, init=init)
    nothing: Any = None
    with pytest.raises(ConfigError, match=rf"^{seen}\.$"):
        run._run(ray, nothing, nothing, nothing, (), nothing)


@pytest.mark.parametrize(
    ("prompts", "given", "readers"), [(1, None, "1"), (10_001, None, "2"), (1, "7", "7")]
)
def test_files_are_looked_at_by_as_few_processes_as_will_do(
    prompts: int, given: str | None, readers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lnat_plugins.on_ray import run

    name = "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)
    for i in range(-(-prompts // 1_000)):
        (tmp_path / f"prompts-{i:06d}.parquet").touch()
    found = []
    rows = MagicMock()
    for step in (rows.map_batches, rows.repartition):
        step.return_value = rows
    rows.write_parquet = lambda path: found.append(os.environ[name])
    ray = MagicMock()
    ray.data.read_parquet.return_value = rows
    ray.cluster_resources.return_value = {"CPU": 2.0}
    state: Any = SimpleNamespace(done_N=np.zeros(prompts, bool))
    run._run(ray, tmp_path, tmp_path / "parts", state, (), run._Pool(None, None, 1, 8))
    assert (found, os.environ.get(name)) == ([readers], given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a set whose plugin fails on some responses while the file `fails` is there."""
    place = tmp_path_factory.mktemp("ray")
    (place / "fragile.py").write_text(SPLITTER)
    block = {"steps": "fragile", "plugins": ["fragile.py"], "sensitivity": "none"}
    write_set(place, rows(("QwQ", "R1"), prompts=12), block=block)
    return place


@pytest.fixture(scope="module")
def killed(folder: Path) -> Iterator[dict[str, Any]]:
    """A run whose driver is killed, one whose actor is, and one more.

    Ray puts a driver's working directory first on its workers' path: in the checkout, the package
    there would come before the installed one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAY_AUTH_MODE", "disabled")  # the driver gets no token
        yield _killed(folder)


def _killed(folder: Path) -> dict[str, Any]:
    import ray

    from tests.torture.cluster import start_ray

    source, out = folder / "my_teachers.yaml", folder / "out"
    options: dict[str, Any] = {**ARGUMENTS, "actors": (2, 2), "block": 1}

    address = folder / "address"

    def driver(say: Any) -> None:
        while not (address.exists() and (of := address.read_text())):
            time.sleep(0.02)
        ray.init(of, log_to_driver=False)
        threading.Thread(target=when_written, args=(out, lambda: say(b"p")), daemon=True).start()
        score_on_ray(source, out, **{**options, "actors": (1, 1)})

    found: dict[str, Any] = {}
    run = start(driver, folder / "log.txt")  # forked before Ray's threads are there
    start_ray()
    try:
        address.write_text(ray.get_runtime_context().gcs_address)
        assert run.wait_for(b"p", seconds=200), (folder / "log.txt").read_text()[-3000:]
        assert run.kill(), "the driver had ended"
        found["left"] = written(out)
        (folder / "fails").touch()
        me = psutil.Process()
        threading.Thread(target=kill_an_actor, args=(me, out, found), daemon=True).start()
        found["first"] = score_on_ray(source, out, **options)
        (folder / "fails").unlink()
        found["second"] = score_on_ray(source, out, **{**options, "actors": (1, 1)})
        found["third"] = score_on_ray(source, out, **options)
    finally:
        ray.shutdown()
    return found


def when_written(out: Path, call: Any, more_than: int = 0) -> None:
    """Calls once there are more parts than so many."""
    while written(out) <= more_than:
        time.sleep(0.02)
    call()


def written(out: Path) -> int:
    """Parts that can be read to their end: a kill may leave another, which counts as not there."""
    count = 0
    for part in out.glob("parts/*/*.parquet"):
        with contextlib.suppress(pa.ArrowInvalid, OSError):
            pq.read_metadata(part)
            count += 1
    return count


def kill_an_actor(me: psutil.Process, out: Path, found: dict[str, Any]) -> None:
    """By SIGKILL, as soon as it has a student."""

    def actors() -> Iterator[psutil.Process]:
        for process in me.children(recursive=True):
            with_name = process.cmdline()[:1] or [""]
            if with_name[0].startswith("ray::MapWorker"):
                yield process

    def kill() -> None:
        for process in actors():
            process.kill()
            found["killed"] = True
            break

    when_written(out, kill, found["left"])


@needs_ray
@of_ray
@pytest.mark.timeout(600)
def test_killed_runs_end_with_the_scores_of_one_process(
    folder: Path, killed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lnat_plugins.scoring.engine_backend import EngineBackend

    assert killed["killed"] and killed["left"] >= 1
    first, second, third = (killed[name] for name in ("first", "second", "third"))
    assert first.asked < first.prompts == 12 and first.scored < 12
    assert second.scored == third.scored == 12 and third.asked == 0
    assert second.asked == 12 - first.scored
    assert first.samples == second.samples == third.samples
    found = read_scores(folder / "out")
    monkeypatch.setattr(sys, "argv", ["pytest"])

    def one_process(place: str) -> Any:
        lm = hf(str(bundled_student()), None, dtype="float32", device="cpu")
        results = evaluate(folder, lm, log_samples=True, apply_chat_template=True)
        save(results, folder / place)
        return read_scores(folder / place)

    together = one_process("together")
    monkeypatch.setattr(EngineBackend, "at_once", 0)
    alone = one_process("alone")
    # Bit for bit, in the set's order, where one process reads each prompt by itself, too.
    assert [(row.prompt_id, row.text, row.record.to_json()) for row in found.rows] == [
        (row.prompt_id, row.text, row.record.to_json()) for row in alone.rows
    ]
    for own, other in zip(found.rows, together.rows, strict=True):
        assert own.record.settings_hash == other.record.settings_hash
        for window, total in other.record.totals.items():
            # Nats per token.
            tokens = sum(other.record.tokens)
            assert own.record.totals[window] / tokens == pytest.approx(total / tokens, abs=5e-6)
    for other in (together, alone):
        assert found.rank().verdict.text == other.rank().verdict.text
    assert repr(found.rank().teachers) == repr(alone.rank().teachers)


@needs_ray
@of_ray
@pytest.mark.timeout(600)
def test_prompts_that_failed_are_counted_and_asked_again(
    folder: Path, killed: dict[str, Any]
) -> None:
    first = killed["first"]
    assert first.scored + sum(first.failed.values()) == 12
    (reason,) = first.failed
    assert "no luck with this one" in reason
    assert f"; {12 - first.scored} failed: " in str(first)
    assert str(first).endswith("; run again to ask those that failed")
    assert killed["second"].failed == {} and "failed" not in str(killed["second"])
    (results,) = (folder / "out").glob("results_*.json")
    assert json.loads(results.read_bytes())["n-samples"]["my_teachers"] == {
        "original": 12, "effective": 12,
    }  # fmt: skip
