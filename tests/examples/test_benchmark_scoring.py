"""The benchmark in toy sizes: what each contender reads, and that their sums are the same."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("--quick", "--workloads", "short_prompt", "--memory", "none"),
    *("--prompt_tokens", "12", "30", "--trace_tokens", "40"),
]
WINDOWS = ["4", "0,1,2,3,4,global", "10%"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "benchmark"))
    return importlib.import_module("benchmark_scoring")


@pytest.fixture
def part(script: ModuleType) -> Callable[[str], ModuleType]:
    """A helper of the script by the end of its name, as the script itself imports it."""
    del script
    return lambda name: importlib.import_module(f"_{name}")


@pytest.fixture
def built(part: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """The first workload that some options describe."""

    def build(*options: str) -> Any:
        arguments = part("arguments")
        args = arguments.parse_arguments("", [*SMALL, *options])
        return next(arguments.recipes(args)).build()

    return build


def windows(names: str) -> Any:
    return importlib.import_module("lnat_plugins.steps.windows").parse_windows(names.split(","))


def test_quick_writes_the_table_and_the_json(
    script: ModuleType,
    part: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "deep" / "figures.json"
    options = ["--quick", "--memory", "none", "--windows", "4", "--output_path", str(path)]
    assert script.main(options) == 0
    table = capsys.readouterr().out
    header = [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")]
    assert header == list(part("table").HEADERS)
    assert part("table").FLOOR in table and "exponent of seconds" in table
    report = json.loads(path.read_text(encoding="utf-8"))
    found = {one["workload"]: one for one in report["comparisons"]}
    assert list(found) == [
        *("real", "random, prompt 20", "random, prompt 60"),
        *("random, trace 50", "random, trace 100"),
    ]
    for name, one in found.items():
        assert one["agreement"]["compared"] >= 4 and one["agreement"]["largest"] < 1e-3
        lines = {line["contender"]: line for line in one["contenders"]}
        ours = ["ours, fast", "floor"]
        if "trace" not in name:
            ours = ["lm-eval hf, batch 1", "lm-eval hf, batch 4", "ours, plain", *ours]
        assert list(lines) == ours
        fast, floor = lines["ours, fast"], lines["floor"]
        assert fast["above_floor"] == pytest.approx(fast["seconds"] / floor["seconds"])
        assert (floor["above_floor"], floor["prompt_tokens"], floor["padding_tokens"]) == (1, 0, 0)
        for count in ("body_tokens", "projected_tokens"):
            assert floor[count] == fast[count]
    assert found["real"]["agreement"]["glued"] is not None
    assert found["random, prompt 20"]["agreement"]["glued"] is None
    assert "glued strings" in table


def test_counts_of_all_contenders_by_hand(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    """Prompt 5; steps of 3, 2, 4, 1 tokens; each step sees the one before it."""
    workload = built()
    tokens = importlib.import_module("lnat_plugins.scoring.tokens")
    ids = np.arange(1, 11)
    response = tokens.EncodedResponse(ids, (0, 3, 5, 9, 10), ((0, 3), (3, 5), (5, 9), (9, 10)),
        np.ones(10, bool), np.arange(10) + 1,
    )  # fmt: skip
    trace = workload.traces[0]._replace(prompt=np.arange(1, 6), response=response)
    workload = dataclasses.replace(workload, traces=(trace,))
    one = windows("1")
    lm_eval, floor = part("lm_eval"), part("floor")
    asked = lm_eval.ask(workload, workload.requests(one))
    contenders = [
        *(lm_eval.baseline(workload, asked, asked.requests, size) for size in (1, 4)),
        *(part("contenders").ours(workload, one, kind, None) for kind in ("plain", "fast")),
        floor.floor_of(workload, workload.planned(one), floor.Shape(2, 3, 4), 0),
    ]
    for contender in contenders:
        contender.ready()()
    # lm-eval reads 5+3, 5+3+2, 5+2+4, 5+4+1 tokens, each but the last; ours the runs 3+2, 2+4, 4+1.
    assert {one.name: tuple(vars(one.counts).values()) for one in contenders} == {
        "lm-eval hf, batch 1": (4, 20, 15, 0, 35),
        "lm-eval hf, batch 4": (1, 20, 15, 5, 40),
        "ours, plain": (1, 15, 13, 2, 10),
        "ours, fast": (2, 5, 13, 0, 10),
        "floor": (3, 0, 13, 0, 10),
    }


@pytest.mark.parametrize(
    ("names", "planned"), [("4", (121, 50)), ("0,1,2,3,4,global", (181, 189)), ("10%", (82, 50))]
)
def test_what_the_planner_asks_for(
    built: Callable[..., Any],
    part: Callable[[str], ModuleType],
    names: str,
    planned: tuple[int, int],
) -> None:
    """Pinned, so that a planner that reads more is seen; and both paths read just that."""
    workload = built("--prompt_tokens", "20", "60", "--trace_tokens", "50")
    assert workload.planned(windows(names)) == planned
    for kind in ("plain", "fast"):
        contender = part("contenders").ours(workload, windows(names), kind, 32)
        contender.ready()()
        counts = contender.counts
        assert (counts.body_tokens, counts.projected_tokens) == planned


def test_runs_of_the_same_tokens_are_planned_once(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    """Two equal steps of 2 tokens; without a window they are one run, with one they are two."""
    response = importlib.import_module("lnat_plugins.scoring.tokens").EncodedResponse
    spans = ((0, 2), (2, 4))
    twice = response(np.array([1, 2, 1, 2]), (0, 2, 4), spans, np.ones(4, bool), np.arange(4) + 1)
    workload = built()
    traces = (workload.traces[0]._replace(response=twice),)
    workload = dataclasses.replace(workload, traces=traces)
    for names, planned in (("0", (1, 2)), ("0,global", (4, 6))):
        side = part("contenders").ours(workload, windows(names), "fast", None)
        side.ready()()
        assert workload.planned(windows(names)) == planned
        assert (side.counts.body_tokens, side.counts.projected_tokens) == planned


def test_what_lm_eval_reads_is_counted_as_it_is(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    """The computed counts against a hook on the model, on ids and on strings."""
    lm_eval = part("lm_eval")
    for workload in (built(), built("--workloads", "real")):
        asked = lm_eval.ask(workload, workload.requests(windows("1,global"))[:40])
        side = lm_eval.baseline(workload, asked, asked.requests, 4)
        read: list[int] = []

        def keep(_: Any, args: tuple[torch.Tensor], read: list[int] = read) -> None:
            read.append(args[0].numel())

        handle = workload.model.register_forward_pre_hook(keep)
        sums = side.ready()()
        handle.remove()
        counts = side.counts
        assert (side.scale, side.share) == (1, 1)
        assert sums.keys() == {one.key for one in asked.requests}
        assert (len(read), sum(read)) == (counts.forwards, counts.projected_tokens)
        laid_out = counts.prompt_tokens + counts.body_tokens + counts.padding_tokens
        assert laid_out == counts.projected_tokens


def test_a_sample_is_whole_batches_scaled_by_what_they_read(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    workload, lm_eval = built("--trace_tokens", "200"), part("lm_eval")
    asked = lm_eval.ask(workload, workload.requests(windows("2")))
    lengths = {r.key: len(r.context) + len(r.continuation) - 1 for r in asked.requests}
    few = lm_eval.sample(asked, 4, 100, seed=0)
    assert len(few) % 4 == 0 and len(few) < len(asked.requests)
    assert 100 <= sum(lengths[r.key] for r in few) < 100 + 4 * max(lengths.values())
    assert few == lm_eval.sample(asked, 4, 100, seed=0) != lm_eval.sample(asked, 4, 100, seed=1)
    assert lm_eval.sample(asked, 4, 10**9, seed=0) == asked.requests
    side = lm_eval.baseline(workload, asked, few, 1)
    whole, timed = sum(lengths.values()), sum(lengths[r.key] for r in few)
    assert (side.scale, side.share) == (whole / timed, timed / whole)


def test_the_floor_reads_and_projects_what_it_says(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    floor, workload = part("floor"), built()
    shape = floor.Shape(3, 8, 5)
    assert list(floor.passes(61, shape)) == [(3, 8), (3, 8), (1, 8), (1, 5)]
    assert list(floor.passes(24, shape)) == [(3, 8)]
    read: list[int] = []
    projected: list[int] = []
    body, head = workload.model.get_decoder(), workload.model.get_output_embeddings()
    handles = [
        body.register_forward_pre_hook(
            lambda _, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
        ),
        head.register_forward_pre_hook(lambda _, args: projected.append(len(args[0]))),
    ]
    # More positions than tokens, as with a window of 0: a run's last token is scored, not read.
    planned = part("workloads").Planned(61, 70)
    contender = floor.floor_of(workload, planned, shape, 0)
    contender.ready()()
    for handle in handles:
        handle.remove()
    assert (len(read), sum(read), sum(projected)) == (4, 61, 70)
    assert max(projected) == 5
    assert contender.counts.forwards == 4


def test_the_shape_of_the_floor_keeps_to_the_budget(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    rows, length, chunk = part("floor").best_shape(built(), 64, 0)
    assert rows * length == 64 == chunk


@pytest.mark.parametrize("traces", [1, 3])
def test_each_timed_pass_of_ours_reads_its_prompt_once(
    built: Callable[..., Any], part: Callable[[str], ModuleType], traces: int
) -> None:
    """A prompt left in the cache by the pass before would make the second one too fast."""
    workload = built("--traces", str(traces))
    assert workload.trace_tokens == traces * 40
    side = part("contenders").ours(workload, windows("4"), "fast", None)
    for _ in range(2):
        side.ready()()
        assert side.counts.prompt_tokens == 12


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("wrong", [0.0, 2.0, float("nan")])
def test_sums_that_disagree_end_with_1(
    script: ModuleType,
    part: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: float,
    dtype: str,
) -> None:
    right = part("workloads").Workload.score

    def off(self: Any, *args: Any) -> dict[Any, float]:
        sums = right(self, *args)
        return {key: value + wrong * (key == min(sums)) for key, value in sums.items()}

    monkeypatch.setattr(part("workloads").Workload, "score", off)
    assert script.main([*SMALL, "--windows", "4", "--dtype", dtype]) == int(wrong != 0)
    assert ("differ by" in capsys.readouterr().err) == (wrong != 0)


def test_the_two_paths_are_held_against_each_other_on_every_step(
    script: ModuleType, part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One path alone is wrong, on a step that lm-eval is not asked for."""
    right = part("workloads").Workload.score
    options = [*SMALL, "--windows", "4", "--baseline_tokens", "1", "--batch_sizes", "1"]

    def off(self: Any, engine: Any, *args: Any) -> dict[Any, float]:
        sums = right(self, engine, *args)
        wrong = {key: value + 1 for key, value in sums.items()}
        asked = part("lm_eval").ask(self, self.requests(*args))
        checked = {r.key for r in part("lm_eval").sample(asked, 1, 1, 0)}
        return {k: (sums if k in checked or engine.path == "packed" else wrong)[k] for k in sums}

    monkeypatch.setattr(part("workloads").Workload, "score", off)
    assert script.main(options) == 1


def test_a_wrong_context_is_seen(
    built: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    """The random student is so made that a window ignored costs far more than the tolerance."""
    workload = built()
    engine = part("contenders").try_out(workload, "batched", None)
    sums = workload.score(engine, windows("0,1"))
    by_step: dict[int, list[float]] = {}
    for key, value in sums.items():
        by_step.setdefault(key.pair.step, []).append(value)
    gaps = [abs(values[0] - values[1]) for step, values in by_step.items() if step]
    assert min(gaps) > 10 * part("compare").TOLERANCE
