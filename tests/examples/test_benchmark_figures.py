"""The benchmark's arithmetic on made-up numbers, its options, its memory and its clock."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
MANY = "0,1,2,3,4,global"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of the benchmark by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "benchmark"))
    return importlib.import_module


@pytest.fixture
def line(part: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """A line with the given fields; `walls` are its wall seconds, half of them in layers."""
    report = part("_report")
    clock = part("_clock")
    flops = part("_workloads").Flops(10.0, 100.0)

    def make(kind: str, walls: tuple[float, ...] = (1.0,), **fields: Any) -> Any:
        given = {
            "workload": "w",
            "windows": "4",
            "contender": kind,
            "trace_tokens": 1000,
            "forwards": 1,
            "prompt_tokens": 100,
            "body_tokens": 900,
            "padding_tokens": 0,
            "projected_tokens": 50,
            "readings": tuple(clock.Reading(x, 2 * x, x / 2, x, 0.9 * x) for x in walls),
            "share": 1.0,
            "scale": 1.0,
            "layers": 24,
            "all_layers": 24,
            "flops": flops,
        }
        return report.Line(kind=kind, **(given | fields))

    return make


@pytest.fixture
def compared(part: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """A comparison of lines."""
    report = part("_report")

    def make(*lines: Any, kind: str = "short_prompt") -> Any:
        return report.Comparison(kind, "a note", lines, report.Agreement(3, 1e-5, 1e-6))

    return make


def test_seconds_are_the_median_scaled_by_layers_and_by_share(line: Callable[..., Any]) -> None:
    one = line("lm_eval", (4.0, 1.0, 2.0), layers=2, all_layers=24, share=0.125, scale=8.0)
    # The median of 2 + 11 × 1, of which 1 is inside the layers; eight times that.
    assert one.seconds == 8 * (2 + 11 * 1)
    assert one.cpu_seconds == 8 * (4 + 11 * 2)
    assert one.unstretched_seconds == 8 * 2
    assert one.tokens_per_second == 1000 / one.seconds


def test_a_reading_of_more_layers(part: Callable[[str], ModuleType]) -> None:
    reading = part("_clock").Reading(10.0, 20.0, 4.0, 8.0, 9.0)
    assert tuple(reading.stretched(3)) == (10 + 2 * 4, 20 + 2 * 8, 3 * 4, 3 * 8, 9 + 2 * 4)
    assert reading.stretched(1) == reading


def test_host_side_and_share_of_the_matmul_rate(line: Callable[..., Any]) -> None:
    assert line("fast", (1.0, 2.0, 3.0)).host_share == pytest.approx(0.1)
    assert line("floor").host_share is None
    # 1,000 tokens of 10 operations and 50 positions of 100, in 2 seconds.
    assert line("fast", (2.0,)).matmul_share(rate=30000.0) == pytest.approx(0.25)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_of_made_up_numbers(part: Callable[[str], ModuleType], power: float) -> None:
    exponent = part("_targets").exponent
    sizes = [1000, 4000, 16000]
    assert exponent(sizes, [3 * x**power for x in sizes]) == pytest.approx(power)
    # An error of the middle one alone does not tilt the line.
    assert exponent([1, 10, 100], [1, 50, 100**power]) == pytest.approx(power)
    assert math.isnan(exponent([1000], [1.0]))


def test_ratios_are_to_the_fastest_lm_eval_and_to_the_floor(
    line: Callable[..., Any], compared: Callable[..., Any]
) -> None:
    slow, quick = line("lm_eval", (40.0,)), line("lm_eval", (30.0,), body_tokens=3900)
    fast, floor = line("fast", (2.5,)), line("floor", (2.0,))
    comparison = compared(slow, quick, fast, floor)
    assert comparison.line("lm_eval") is quick
    assert (comparison.faster(fast), comparison.above(fast)) == (12.0, 1.25)
    assert comparison.tokens_ratio(fast) == 4.0
    alone = compared(fast)
    assert math.isnan(alone.faster(fast)) and math.isnan(alone.above(fast, cpu=True))


def test_targets_of_ratios(
    line: Callable[..., Any], compared: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    lines = [line("lm_eval", (29.0,)), line("fast", (1.0,)), line("floor", (0.8,))]
    many = [line(one.kind, (one.seconds,), windows=MANY) for one in lines]
    targets = part("_targets").targets
    found = targets([compared(*lines), compared(*many, kind="long_prompt")])
    assert [(one.what, one.bound, one.met) for one in found] == [
        ("seconds, lm-eval / fast", 3, True),
        ("seconds, fast / floor", 1.25, True),
        ("host side / wall", 0.05, False),
        ("seconds, lm-eval / fast", 30, False),
        ("seconds, fast / floor", 1.25, True),
        ("host side / wall", 0.05, False),
    ]
    assert targets([compared(line("floor"))]) == []


def test_targets_over_trace_lengths(
    line: Callable[..., Any], compared: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    sizes = [16000, 1000, 4000]
    lines = [
        line("fast", (n / 100,), trace_tokens=n, body_tokens=n, memory=2**30 * n // 4000)
        for n in sizes
    ]
    found = part("_targets").targets([compared(one, kind="lengths") for one in lines])
    by_length = {one.what: (round(one.found, 3), one.met) for one in found if "to" in one.where}
    assert by_length == {
        "exponent of seconds in trace length": (1.0, True),
        "exponent of CPU seconds in trace length": (1.0, True),
        "exponent of body tokens in trace length": (1.0, True),
        "peak GiB beyond the weights": (4.0, False),
        "exponent of peak memory in trace length": (1.0, False),
    }


def test_the_table(
    line: Callable[..., Any], compared: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    table = part("_table")
    best = line("lm_eval", (8.0,), layers=2, share=0.25, scale=4.0, memory=3 * 2**20)
    comparison = compared(best, line("fast", (4.0,)))
    text = table.figures([comparison], 1e4, 1e-3)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()]
    found = dict(zip(rows[0], rows[2], strict=True))
    assert found["Contender"] == "lm_eval (best)"
    assert found["Timed"] == "25.00% × 1, 2 of 24 layers"
    assert (found["Seconds"], found["Peak MiB"], found["lm-eval / this"]) == ("208", "3", "1.00")
    assert (found["this / floor"], found["Host side"]) == ("", "")
    assert dict(zip(rows[0], rows[3], strict=True))["lm-eval / this"] == "52.00"
    assert table.FLOOR in text and "- w: a note." in text and "3 step sums" in text
    target = part("_targets").Target("cost", "w", "≤", 1.5, 2.0)
    assert "| cost   | w        | ≤ 1.5 |     2 | missed |" in table.targets_table([target])


def test_json_has_no_nan(
    line: Callable[..., Any], compared: Callable[..., Any], part: Callable[[str], ModuleType]
) -> None:
    (one,) = part("_report").to_json([compared(line("fast"))], 1e4)
    found = one["contenders"][0]
    assert found["faster"] is None and found["above_floor"] is None
    assert found["readings"] == [
        {"wall": 1.0, "cpu": 2.0, "layers": 0.5, "layers_cpu": 1.0, "model": 0.9}
    ]
    assert found["seconds"] == 1.0


def test_options(part: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    parse = part("_arguments").parse_arguments
    args = parse("", ["--quick", "--repeats", "4", "--workloads", "real,lengths"])
    assert (args.repeats, args.layers, args.workloads) == (4, 1, ["real", "lengths"])
    args = parse("", ["--memory", "none"])
    assert (args.layers, args.vocabulary, args.memory, args.dtype) == (24, 151936, [], "float32")
    on_gpu = parse("", ["--device", "cuda:1"])
    assert (on_gpu.dtype, on_gpu.matmul_size) == ("bfloat16", 8192)
    for wrong in ("real,rael", "none", ""):
        with pytest.raises(SystemExit, match="2"):
            parse("", ["--workloads", wrong])
    assert "'rael' is none of real" in capsys.readouterr().err


def test_help_explains_the_columns(
    part: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        part("benchmark_scoring").main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for said in ("Columns.", "Host side:", "Of matmul:", "--baseline_tokens", "Scaling."):
        assert said in shown


def test_bad_input_ends_with_2(
    part: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = part("benchmark_scoring").main
    assert main(["--quick", "--student", str(tmp_path)]) == 2
    assert "no student here" in capsys.readouterr().err
    assert main(["--quick", "--workloads", "short_prompt", "--windows", "4,x"]) == 2
    assert "unknown window" in capsys.readouterr().err


def test_a_batch_whose_logits_are_too_large_is_left_out(
    part: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--quick", "--workloads", "short_prompt", "--memory", "none", "--windows", "4"]
    assert part("benchmark_scoring").main([*small, "--baseline_gib", "1e-9"]) == 0
    shown = capsys.readouterr().out
    assert "lm-eval hf, batch 4 is left out" in shown and "lm-eval hf, batch 1 (best)" in shown


def test_turns_are_taken_back_and_forth_until_patience_ends(
    part: Callable[[str], ModuleType],
) -> None:
    contenders, clock = part("_contenders"), part("_clock")
    order: list[str] = []
    sides = [
        contenders.Contender("fast", name, None, lambda name=name: lambda: order.append(name) or {})
        for name in "ab"
    ]
    readings, _ = clock.take_turns(sides, 3, math.inf, "cpu")
    assert "".join(order) == "abbaab"
    assert [len(readings[name]) for name in "ab"] == [3, 3]
    readings, _ = clock.take_turns(sides, 3, 0.0, "cpu")
    assert [len(readings[name]) for name in "ab"] == [1, 1]


def test_the_clock_sees_layers_and_calls_and_leaves_nothing_behind(
    part: Callable[[str], ModuleType],
) -> None:
    clock, arguments = part("_clock"), part("_arguments")
    args = arguments.parse_arguments("", ["--quick", "--workloads", "short_prompt"])
    workload = next(arguments.recipes(args)).build()
    run = (
        part("_contenders")
        .ours(workload, part("lnat_plugins.steps.windows").parse_windows([1]), "fast", None)
        .ready()
    )
    before = dict(vars(clock.Projector))
    reading, _ = clock.timed(run, "cpu", workload.layers)
    assert 0 < reading.layers < reading.model < reading.wall
    assert dict(vars(clock.Projector)) == before
    assert not any(layer._forward_hooks for layer in workload.layers)
    assert clock.timed(lambda: None, "cpu")[0].model == 0


def test_a_gpu_is_waited_for(
    part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    part("_clock").timed(lambda: None, "cuda:0")
    assert len(waits) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark can be set back on Linux")
def test_memory_is_each_contender_s_own(part: Callable[[str], ModuleType]) -> None:
    """The larger one first: in one process its peak would stand for the smaller one as well."""
    arguments, memory = part("_arguments"), part("_memory")
    args = arguments.parse_arguments(
        "", ["--quick", "--workloads", "short_prompt", "--vocabulary", "20000", "--limit", "1"]
    )
    recipe = next(arguments.recipes(args))
    four = tuple(part("lnat_plugins.steps.windows").parse_windows([4]))
    shape = part("_floor").Shape(1, 8, 8)
    workload, lm_eval = recipe.build(), part("_lm_eval")
    asked = lm_eval.ask(workload, workload.requests(four))
    needed = lm_eval.logits_bytes(workload, asked, 8)
    peaks = [
        memory.peak_memory(memory.Job(recipe, four, kind, 1, None, 8, shape, 0))
        for kind in ("lm_eval", "fast")
    ]
    assert peaks[0] >= needed > peaks[1] > 0
