"""The benchmark script in its quick size: the table, the JSON, the counts, and the check."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--quick", "--workloads", "synthetic", "--prompt_tokens", "12", "--trace_tokens", "40"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module("benchmark_scoring")


def module(script: ModuleType, name: str) -> ModuleType:
    """A helper of the script, by the name under which the script itself imports it."""
    del script
    return importlib.import_module(name)


def test_quick_writes_the_table_and_the_json(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep" / "figures.json"
    assert script.main(["--quick", "--windows", "4", "--output_path", str(path)]) == 0
    table = capsys.readouterr().out
    header = [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")]
    assert header == list(module(script, "_benchmark_report").HEADERS)
    report = json.loads(path.read_text(encoding="utf-8"))
    found = {one["workload"]: one for one in report["comparisons"]}
    assert list(found) == ["real", "random, prompt 20", "random, prompt 60"]
    for one in found.values():
        assert one["agreement"]["engine"] < 1e-3
        sides = {side["side"]: side for side in one["sides"]}
        assert list(sides) == [
            *("lm-eval hf, batch 1", "lm-eval hf, batch 4"),
            *("ours, packed", "ours, batched"),
        ]
        baselines = [side for side in one["sides"] if side["is_baseline"]]
        best = min(baselines, key=lambda side: side["seconds"])
        packed = sides["ours, packed"]
        assert best["time_ratio"] == best["cpu_ratio"] == best["tokens_ratio"] == 1
        assert packed["tokens_ratio"] == best["tokens"] / packed["tokens"] > 1
        assert packed["time_ratio"] == best["seconds"] / packed["seconds"]
        assert packed["measured"] == 1
    assert found["real"]["agreement"]["glued"] is not None
    assert found["random, prompt 20"]["agreement"]["glued"] is None
    assert "glued strings" in table


def test_what_lm_eval_reads_is_counted_as_it_is(script: ModuleType) -> None:
    """The computed counts against a hook on the model, on ids and on strings."""
    sides = module(script, "_benchmark_sides")
    args = script.parse_arguments([*SMALL, "--workloads", "synthetic", "real"])
    windows = script.parse_windows(["1", "global"])
    for workload in script.workloads(args):
        requests = workload.requests(windows)
        lm = sides.language_model(workload, 4)
        tokens = {one.key: sides.as_read(lm, workload, one) for one in requests}
        requests = [one for one in requests if tokens[one.key].continuation][:40]
        side = sides.baseline(workload, requests, tokens, requests, 4)
        read: list[int] = []

        def keep(_: Any, args: tuple[torch.Tensor], read: list[int] = read) -> None:
            read.append(args[0].numel())

        handle = workload.model.register_forward_pre_hook(keep)
        sums = side.ready()()
        handle.remove()
        counts = side.counts
        assert (side.scale, side.share) == (1, 1)
        assert sums.keys() == {one.key for one in requests}
        assert (len(read), sum(read)) == (counts.forwards, counts.projected_tokens)
        laid_out = counts.prompt_tokens + counts.body_tokens + counts.padding_tokens
        assert laid_out == counts.projected_tokens


def test_a_sample_is_scaled_by_what_it_reads(script: ModuleType) -> None:
    sides = module(script, "_benchmark_sides")
    (workload,) = script.workloads(script.parse_arguments([*SMALL, "--trace_tokens", "200"]))
    requests = workload.requests(script.parse_windows(["2"]))
    lm = sides.language_model(workload, 1)
    tokens = {one.key: sides.as_read(lm, workload, one) for one in requests}
    timed = sides.sample(requests, 0.1, seed=0)
    assert len(timed) == sides.FEWEST_REQUESTS < len(requests)
    assert timed == sides.sample(requests, 0.1, seed=0) != sides.sample(requests, 0.1, seed=1)
    side = sides.baseline(workload, requests, tokens, timed, 1)
    lengths = {one.key: len(one.context) + len(one.continuation) - 1 for one in requests}
    assert side.scale == sum(lengths.values()) / sum(lengths[one.key] for one in timed)
    assert side.share == len(timed) / len(requests)


def test_each_timed_pass_of_ours_reads_its_prompt(script: ModuleType) -> None:
    """A prompt left in the cache by the pass before would make the second one too fast."""
    sides = module(script, "_benchmark_sides")
    (workload,) = script.workloads(script.parse_arguments(SMALL))
    side = sides.ours(workload, script.parse_windows(["4"]), "packed", None)
    for _ in range(2):
        side.ready()()
        assert side.counts.prompt_tokens == 12


@pytest.mark.parametrize("wrong", [0.002, float("nan")])
def test_sums_that_disagree_end_with_1(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: float,
) -> None:
    assert script.main([*SMALL, "--windows", "4"]) == 0
    right = module(script, "_benchmark_workloads").Workload.score

    def off(self: Any, *args: Any) -> dict[Any, float]:
        sums = right(self, *args)
        return {key: value + wrong * (key == min(sums)) for key, value in sums.items()}

    monkeypatch.setattr(module(script, "_benchmark_workloads").Workload, "score", off)
    assert script.main([*SMALL, "--windows", "4"]) == 1
    assert "differ by" in capsys.readouterr().err


def test_a_wrong_context_is_seen(script: ModuleType) -> None:
    """The random student is so made that a window ignored costs far more than the tolerance."""
    (workload,) = script.workloads(script.parse_arguments(SMALL))
    engine = module(script, "_benchmark_sides").try_out(workload, "batched", None)
    sums = workload.score(engine, script.parse_windows(["0", "1"]))
    by_step: dict[int, list[float]] = {}
    for key, value in sums.items():
        by_step.setdefault(key.pair.step, []).append(value)
    gaps = [abs(values[0] - values[1]) for step, values in by_step.items() if step]
    assert min(gaps) > 10 * script.TOLERANCE


def test_bad_input_ends_with_2(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--quick", "--student", str(tmp_path)]) == 2
    assert "no student here" in capsys.readouterr().err
    assert script.main([*SMALL, "--windows", "4,x"]) == 2
    assert "unknown window" in capsys.readouterr().err


def test_what_is_said_wins_over_quick(script: ModuleType) -> None:
    args = script.parse_arguments(["--quick", "--repeats", "4"])
    assert (args.repeats, args.layers) == (4, 2)
    assert script.parse_arguments([]).repeats == 3
