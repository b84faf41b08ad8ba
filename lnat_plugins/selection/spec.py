"""The `selection:` block: which rows may be chosen, by what, and how they are scored for it.

Knows nothing of rows and students. The same keys serve `lnat select`, a training config, the
trainer's `selection=` and the keyword arguments of `select_dataset`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.metrics import GLOBAL, Metric
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.selection.base import REQUIRED, Strategy
from lnat_plugins.selection.result import json_value
from lnat_plugins.steps import SPLITTERS, Splitter, StepSpec, parse_steps
from lnat_plugins.steps.windows import Window, parse_window, parse_windows
from lnat_plugins.teacher_set.config import Checks, Settings

KEYS: Final = (
    "strategy",
    "metric",
    "window",
    "windows",
    "steps",
    "require_correct",
    "max_length",
    "min_margin",
    "drop_duplicates",
    "seed",
    "columns",
    "teacher_set",
    "plugins",
)
"""Keys of every selection block; the chosen strategy's own options stand beside them."""

DEFAULT_WINDOW: Final = "4"
"""Preceding steps a step may see: k = 4 in arXiv 2510.03988 v1."""


@dataclass(frozen=True)
class SelectionSpec:
    """A selection block, checked, its names resolved.

    Attributes:
        strategy, options: how to choose, every option of the strategy parsed.
        metric: what scores the rows.
        window: the window that the metric reads; None if it reads no window.
        settings: how rows are scored where that is still to be done.
        steps, windows: the same, resolved.
        require_correct: keep only rows known to be correct.
        max_length: keep only rows of at most so many tokens, as training reads them.
        min_margin: keep only prompts whose best row leads the second best by at least so much.
        drop_duplicates: of equal responses to one prompt, keep the first.
        seed: for strategies that draw.
        columns: field -> column of the rows, where they are not named alike; None for a field
            that no column is to give.
        teacher_set: the YAML that the rows come from, instead of the trainer's own data set.
        written: the whole block as JSON values, what was left out filled in: equal wherever two
            blocks mean the same. `metric` and `window` only if scores are needed; `columns`,
            `teacher_set` and `plugins` only where given.
        source: where the block stands, for messages.
    """

    strategy: Strategy
    options: Mapping[str, Any]
    metric: Metric
    window: str | None
    settings: Settings
    steps: StepSpec
    windows: tuple[Window, ...]
    require_correct: bool = False
    max_length: int | None = None
    min_margin: float | None = None
    drop_duplicates: bool = True
    seed: int = 1234
    columns: Mapping[str, str | None] = field(default_factory=dict)
    teacher_set: str | None = None
    written: Mapping[str, Any] = field(default_factory=dict)
    source: str = "selection"

    @property
    def requested(self) -> RequestedMetrics:
        """What must be gathered to choose by the metric."""
        return RequestedMetrics({self.metric.name: self.metric.needs} if self.needs_scores else {})

    @property
    def needs_scores(self) -> bool:
        """Whether any step of choosing reads the metric."""
        return "scores" in self.strategy.needs or self.min_margin is not None


def parse_selection(
    block: Mapping[str, Any],
    *,
    metrics: Mapping[str, Metric],
    strategies: Mapping[str, Strategy],
    splitters: Mapping[str, Splitter] = SPLITTERS,
    source: str = "selection",
) -> SelectionSpec:
    """Check a block's keys and values; no row is read.

    Raises ConfigError for an unknown key, strategy, metric, window or splitter (with the nearest
    known name), a value that cannot hold, a key that would do nothing, and a metric that has no
    direction to choose by.
    """
    check = Checks(source)
    strategy = _named(block.get("strategy", "best"), strategies, "strategy", check)
    _refuse_unknown(block, strategy, strategies, check)
    metric = _named(block.get("metric", "local_naturalness"), metrics, "metric", check)
    windows, window = _windows(block, metric, source)
    steps = check.text(block.get("steps", Settings.steps), "steps")
    seed = block.get("seed", SelectionSpec.seed)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError("`seed` must be a whole number, 0 or more", where=source, found=seed)
    max_length = block.get("max_length")
    teacher_set = block.get("teacher_set")
    spec = SelectionSpec(
        strategy=strategy,
        options=_options(block, strategy, source),
        metric=metric,
        window=window,
        settings=Settings(
            steps=steps,
            windows=tuple(one.name for one in windows),
            metrics=(metric.name,),
        ),
        steps=parse_steps(steps, f"{source}: steps", splitters),
        windows=windows,
        require_correct=check.flag(block.get("require_correct", False), "require_correct"),
        max_length=None if max_length is None else check.count(max_length, "max_length"),
        min_margin=_margin(block.get("min_margin"), source),
        drop_duplicates=check.flag(block.get("drop_duplicates", True), "drop_duplicates"),
        seed=seed,
        columns={
            name: None if column is None else check.text(column, f"columns: {name}")
            for name, column in check.mapping(block.get("columns"), "columns").items()
        },
        teacher_set=None if teacher_set is None else check.text(str(teacher_set), "teacher_set"),
        source=source,
    )
    if not spec.needs_scores:
        _refuse_idle(block, strategy, source)
    elif metric.higher_is_better is None:
        raise ConfigError(
            f"metric {metric.name!r} has no better or worse, so nothing can be chosen by it",
            where=source,
            remedy="choose one of "
            + ", ".join(name for name, one in metrics.items() if one.higher_is_better is not None),
        )
    return replace(spec, written=_written(spec, block))


def _written(spec: SelectionSpec, block: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: block.get(name, one.default) for name, one in spec.strategy.options.items()}
    scored = {"metric": spec.metric.name, "window": spec.window} if spec.needs_scores else {}
    found = {
        "strategy": spec.strategy.name,
        **options,
        **scored,
        "windows": spec.settings.windows,
        "steps": spec.settings.steps,
        "require_correct": spec.require_correct,
        "max_length": spec.max_length,
        "min_margin": spec.min_margin,
        "drop_duplicates": spec.drop_duplicates,
        "seed": spec.seed,
    }
    given = {
        "columns": spec.columns,
        "teacher_set": spec.teacher_set,
        "plugins": block.get("plugins"),
    }
    found |= {name: value for name, value in given.items() if value}
    plain: dict[str, Any] = json_value(found)
    return plain


def _named(name: Any, table: Mapping[str, Any], kind: str, check: Checks) -> Any:
    if not isinstance(name, str) or name not in table:
        raise ConfigError(
            f"unknown {kind}",
            where=check.source,
            found=name,
            remedy=did_you_mean(str(name), table),
        )
    return table[name]


def _refuse_unknown(
    block: Mapping[str, Any],
    strategy: Strategy,
    strategies: Mapping[str, Strategy],
    check: Checks,
) -> None:
    for key in block:
        owners = [one.name for one in strategies.values() if key in one.options]
        if key not in KEYS and key not in strategy.options and owners:
            raise ConfigError(
                f"`{key}` does nothing with strategy {strategy.name!r}",
                where=check.source,
                remedy=f"it belongs to {', '.join(owners)}: choose that, or remove the key",
            )
    check.known(block, (*KEYS, *strategy.options), "key in the selection")


def _refuse_idle(block: Mapping[str, Any], strategy: Strategy, source: str) -> None:
    """Refuse what only scoring reads. `windows` may stand, because it says what was scored."""
    # A teacher set's own steps stand in the block too, whatever its rows are chosen by.
    idle = ("metric", "window") if block.get("teacher_set") else ("metric", "window", "steps")
    for key in idle:
        if block.get(key) is not None:
            raise ConfigError(
                f"`{key}` does nothing with strategy {strategy.name!r}",
                where=source,
                found=block[key],
                remedy="remove it: this strategy needs no scores",
            )


def _windows(
    block: Mapping[str, Any], metric: Metric, source: str
) -> tuple[tuple[Window, ...], str | None]:
    """What is scored, and which of it decides; by default no more than the metric reads."""
    asked = block.get("window")
    wanted = None if asked is None else parse_window(asked, f"{source}: window").name
    if wanted is not None and metric.window_read(wanted) != wanted:
        only = metric.window_read(wanted)
        raise ConfigError(
            f"metric {metric.name!r} reads "
            + (f"the window {only!r}, whatever `window` says" if only else "no window"),
            where=f"{source}: window",
            found=asked,
            remedy="remove `window`",
        )
    reads = metric.window_read(wanted or DEFAULT_WINDOW) or wanted or GLOBAL
    listed = [reads] if block.get("windows") is None else block["windows"]
    if not isinstance(listed, list | tuple):
        listed = [listed]
    windows = parse_windows(listed, f"{source}: windows")
    names = [window.name for window in windows]
    decides = metric.window_read(wanted or names[0])
    for window in (wanted, decides):
        if window is not None and window not in names:
            raise ConfigError(
                f"window {window!r} decides, but is not among those scored",
                where=f"{source}: windows",
                found=names,
                remedy="score it too: add it to `windows`",
            )
    return windows, decides


def _options(block: Mapping[str, Any], strategy: Strategy, source: str) -> dict[str, Any]:
    found = {}
    for name, option in strategy.options.items():
        if name in block:
            try:
                found[name] = option.parse(block[name])
            except ValueError as cause:
                raise ConfigError(
                    f"`{name}` must be {cause}", where=f"{source}: {name}", found=block[name]
                ) from None
        elif option.default is REQUIRED:
            raise ConfigError(
                f"strategy {strategy.name!r} needs `{name}`",
                where=source,
                remedy=f"write `{name}:` beside `strategy:`: {option.help}",
            )
        else:
            found[name] = option.default
    return found


def _margin(value: Any, source: str) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigError(
            "`min_margin` must be a number, 0 or more, in the metric's unit",
            where=source,
            found=value,
        )
    return float(value)
