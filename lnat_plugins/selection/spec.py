"""The `selection:` block: which rows may be chosen, by what rule, and how they are scored.

The same keys serve `lnat select`, a training config, the trainer's `selection=` and the keyword
arguments of `select_dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from lnat_plugins.errors import PASSES_ON, ConfigError, LnatError, did_you_mean, validate
from lnat_plugins.metrics import GLOBAL, Metric, check_prefix
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.selection.base import KEYS, REQUIRED, Strategy
from lnat_plugins.selection.conditions import SPREAD, Condition, parse_conditions
from lnat_plugins.selection.result import json_value
from lnat_plugins.steps import SPLITTERS, Splitter, StepSpec, parse_steps
from lnat_plugins.steps.windows import Window, parse_window, parse_windows
from lnat_plugins.teacher_set.config import Observations, Sensitivity, Settings

DEFAULT_WINDOW: Final = "4"
"""Preceding steps a step may see: k = 4 in arXiv 2510.03988 v1."""

EASY: Final = "easy_to_hard"
HARD: Final = "hard_to_easy"

_FILTERS: Final = ("require_correct", "max_length", "min_margin", "drop_duplicates", "seed")


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
        where: keep only prompts that meet all of these conditions.
        drop_duplicates: of equal responses to one prompt, keep the first.
        weights: a file of row weights; a row without one is dropped.
        resample: draw as many rows as were chosen by their weights, with replacement.
        order: of the training set: `EASY`, `HARD` or "random"; None for that of the data.
        seed: for strategies that draw or resample, and for `resample` and `order: random`.
        mix_answers: share of the chosen prompts that keep their answers alone; None for none.
        turns: whether a response is the last turn of the assistant, or all of them.
        columns: field -> column of the rows, where they are not named alike; None for a field
            that no column is to give.
        teacher_set: the YAML that the rows come from, instead of the trainer's own data set.
        written: the whole block as JSON values, defaults filled in: equal wherever two blocks mean
            the same. `metric` and `window` only if scores are needed; `where`, `weights`,
            `resample`, `order`, `mix_answers`, `columns`, `teacher_set` and `plugins` only where
            given.
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
    where: tuple[Condition, ...] = ()
    drop_duplicates: bool = True
    weights: str | None = None
    resample: bool = False
    order: str | None = None
    seed: int = 1234
    mix_answers: float | None = None
    turns: Literal["last", "all"] = "last"
    columns: Mapping[str, str | None] = field(default_factory=dict)
    teacher_set: str | None = None
    written: Mapping[str, Any] = field(default_factory=dict)
    source: str = "selection"

    @property
    def requested(self) -> RequestedMetrics:
        """What must be gathered to choose by the metric."""
        return RequestedMetrics({self.metric.name: self.metric.needs} if self.needs_scores else {})

    @property
    def tokens(self) -> bool:
        """Choosing needs no numbers of tokens."""
        return False

    @property
    def sensitivity(self) -> Sensitivity:
        """Choosing needs no further scores."""
        return "none"

    @property
    def weighs(self) -> bool:
        """Whether chosen rows may differ in weight, by the strategy or a file."""
        return self.strategy.weighs or self.weights is not None

    @property
    def needs_scores(self) -> bool:
        """Whether any step of choosing reads the metric."""
        of_scores = any(condition.figure == SPREAD for condition in self.where)
        filtered = self.min_margin is not None or of_scores
        return "scores" in self.strategy.needs or filtered or self.order in (EASY, HARD)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("string_type", "blank")
    return text


def _mapping_of_names(value: Any) -> Any:
    if isinstance(value, Mapping) and not all(isinstance(name, str) for name in value):
        raise PydanticCustomError("mapping_type", "names that are no text")
    return {} if value is None else value


_Text = Annotated[str, AfterValidator(_not_blank)]
_Path = Annotated[_Text | None, BeforeValidator(lambda path: None if path is None else str(path))]
_QUOTES: Final[dict[str, Any]] = {"remedy": "put it in quotes"}


class SelectionKeys(BaseModel):
    """The values that a block may hold, apart from those that name something.

    Names of strategies and metrics, windows and the options of a strategy are looked up elsewhere.
    The text below a key is its line in docs/selection.md.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    strategy: Any = "best"
    """the rule; see [Strategies](#strategies). Its options stand beside it"""
    metric: Any = "local_naturalness"
    """what scores the rows; see [Metrics](#metrics)"""
    window: Any = None
    """the window that decides, where several are scored: the first of `windows` if not set. Not for
    a metric that reads the global window only, or none
    """
    windows: Any = None
    """what is scored: numbers of preceding steps, shares such as `"10%"`, or `global`; `window` if
    that is set, else `[4]`, or `[global]` for a metric that reads only that
    """
    steps: _Text = Field(Settings.steps, json_schema_extra=_QUOTES)
    """how a response is cut: `sentence`, `line`, `paragraph`, `turn`, `tokens:N`, `supplied` (the
    rows' own column `steps`), `supplied_or_sentence`
    """
    markers: Literal["skip", "keep"] = Settings.markers
    """`skip`: tags such as `</think>` and lines of nothing but markup are no steps, and tags are
    not scored; `keep`: steps as they are cut, every token scored
    """
    prefix: Any = None
    """only the beginning of each response is scored: `512` (tokens) or `8 steps`; see
    [performance](performance.md#prefixes)
    """
    turns: Literal["last", "all"] = "last"
    """`all`: every turn of the assistant is scored, as TRL's `assistant_only_loss` trains on them;
    see [conversations](conversations.md)
    """
    observations: Observations = Settings.observations
    """of `turns: all`: what a step is read behind of the turns of users and tools after the prompt:
    those in its `window`, `all` before it, or `none` of their contents
    """
    require_correct: bool = False
    """only rows whose `correct` is true"""
    max_length: int | None = Field(
        None, ge=1, json_schema_extra={"must_be": "a whole number, 1 or more"}
    )
    """only rows of at most so many tokens, as training reads them; see [Length](#length)"""
    min_margin: float | None = Field(
        None, ge=0, allow_inf_nan=False,
        json_schema_extra={"must_be": "a number, 0 or more, in the metric's unit"},
    )  # fmt: skip
    """only prompts whose best row leads the second best by so much, in the metric's unit"""
    where: Any = None
    """only prompts that meet a condition, or all of a list of them, such as `disagreement >= 0.3`;
    see [Conditions on prompts](#conditions-on-prompts)
    """
    drop_duplicates: bool = True
    """of equal responses to a prompt only the first"""
    weights: _Path = Field(None, json_schema_extra=_QUOTES)
    """a file with a weight for each row, as `lnat nce` writes it, from the config's folder; rows
    without one are dropped. Not for strategies that weigh rows; see [Weights](#weights)
    """
    resample: bool = False
    """for a trainer that takes no weights: as many rows as were chosen are drawn by weight, with
    replacement, and all weigh 1. Only with `weights`, or a strategy that weighs rows; see
    [Weights](#weights)
    """
    order: Literal["easy_to_hard", "hard_to_easy", "random"] | None = None
    """of the rows in training: by score, better ones are easier, or drawn by `seed`; else the order
    of the data, which trainers shuffle. See [Order](#order)
    """
    seed: int = Field(1234, ge=0, json_schema_extra={"must_be": "a whole number, 0 or more"})
    """for strategies that draw or resample, `resample`, and `order: random`"""
    mix_answers: float | None = Field(
        None, gt=0, le=1, allow_inf_nan=False,
        json_schema_extra={"must_be": "a number above 0, 1 at most"},
    )  # fmt: skip
    """so large a share of the chosen prompts, the easiest ones, is trained on by the answers
    alone, without the thinking; see [Answers without thinking](#answers-without-thinking)
    """
    columns: Annotated[Mapping[str, _Text | None], BeforeValidator(_mapping_of_names)] = {}
    """what your columns are called: `{teacher: model, correct: is_right}`; see [Rows](#rows)"""
    teacher_set: _Path = Field(None, json_schema_extra=_QUOTES)
    """a teacher set's YAML as the source of the rows, from the config's folder. In a training
    config only, in place of TRL's `dataset_name` or `datasets`
    """
    plugins: Any = None
    """modules, and files from the config's folder, that bring strategies, metrics or splitters of
    your own ([plugins](plugins.md)); in a program objects too
    """


def parse_selection(
    block: Mapping[str, Any],
    *,
    metrics: Mapping[str, Metric],
    strategies: Mapping[str, Strategy],
    splitters: Mapping[str, Splitter] = SPLITTERS,
    source: str = "selection",
) -> SelectionSpec:
    """Check a block's keys and values; no row is read.

    Raises:
        ConfigError: an unknown key, strategy, metric, window or splitter (with the nearest known
            name), a value that is not allowed, a key that would do nothing, or a metric that has
            no direction to choose by.
    """
    strategy = _look_up(block.get("strategy", "best"), strategies, "strategy", source)
    known = (*KEYS, *strategy.options)
    for key in (key for key in block if key not in known):
        owners = [one.name for one in strategies.values() if key in one.options]
        if owners:
            raise ConfigError(
                f"`{key}` does nothing with strategy {strategy.name!r}", where=source,
                remedy=f"it belongs to {', '.join(owners)}: choose that, or remove the key",
            )  # fmt: skip
        raise ConfigError(
            "unknown key in the selection",
            where=source, found=key, remedy=did_you_mean(str(key), known),
        )  # fmt: skip
    options = _options(block, strategy, source)
    values = validate(SelectionKeys, {k: v for k, v in block.items() if k in KEYS}, where=source)
    metric = _look_up(values.metric, metrics, "metric", source)
    windows, window = _windows(values, metric, source)
    names = tuple(one.name for one in windows)
    settings = Settings(
        steps=values.steps,
        windows=names,
        metrics=(metric.name,),
        markers=values.markers,
        observations=values.observations,
    ).with_prefix(values.prefix, source)
    spec = SelectionSpec(
        strategy=strategy,
        options=options,
        metric=metric,
        window=window,
        settings=settings,
        steps=parse_steps(
            values.steps, f"{source}: steps", splitters, values.markers, settings.prefix
        ),
        windows=windows,
        **{name: getattr(values, name) for name in _FILTERS},
        where=() if values.where is None else parse_conditions(values.where, f"{source}: where"),
        weights=values.weights,
        resample=values.resample,
        order=values.order,
        mix_answers=values.mix_answers,
        turns=values.turns,
        columns=values.columns,
        teacher_set=values.teacher_set,
        source=source,
    )
    _check_turns(values, source)
    if spec.weights is not None and strategy.weighs:
        raise ConfigError(
            f"strategy {strategy.name!r} weighs the rows itself", where=f"{source}: weights",
            found=spec.weights, remedy="remove `weights`, or choose another strategy, such as all",
        )  # fmt: skip
    if spec.resample and not spec.weighs:
        weighing = ", ".join(one.name for one in strategies.values() if one.weighs)
        raise ConfigError(
            f"`resample` does nothing with strategy {strategy.name!r}, which weighs no rows",
            where=source,
            remedy=f"remove it, give `weights`, or choose a strategy that weighs them: {weighing}",
        )  # fmt: skip
    if not spec.needs_scores:
        # `windows` may stand, because it says what was scored; so may a teacher set's own steps.
        of_steps = () if values.teacher_set else ("steps", "markers", "prefix", "observations")
        for key in ("metric", "window", *of_steps):
            if block.get(key) is not None:
                raise ConfigError(
                    f"`{key}` does nothing with strategy {strategy.name!r}",
                    where=source, found=block[key],
                    remedy="remove it: this strategy needs no scores",
                )  # fmt: skip
    elif metric.higher_is_better is None:
        directed = (name for name, one in metrics.items() if one.higher_is_better is not None)
        raise ConfigError(
            f"metric {metric.name!r} has no better or worse, so nothing can be chosen by it",
            where=source, remedy=f"choose one of {', '.join(directed)}",
        )  # fmt: skip
    if spec.needs_scores:
        check_prefix(metric, settings.prefix, f"{source}: metric")
    written = {
        "strategy": strategy.name,
        **{name: block.get(name, option.default) for name, option in strategy.options.items()},
        **({"metric": metric.name, "window": window} if spec.needs_scores else {}),
        "windows": names,
        "steps": values.steps,
        "markers": values.markers,
        **({"prefix": settings.prefix} if settings.prefix else {}),
        **({"turns": "all", "observations": values.observations} if values.turns == "all" else {}),
        **{name: getattr(values, name) for name in _FILTERS},
    }
    if spec.where:
        written["where"] = [str(condition) for condition in spec.where]
    for name in (
        "weights", "resample", "order", "mix_answers", "columns", "teacher_set", "plugins",
    ):  # fmt: skip
        if getattr(values, name):
            written[name] = getattr(values, name)
    return replace(spec, written=json_value(written))


def _check_turns(values: SelectionKeys, source: str) -> None:
    """Keys that only conversations have, and those that they do not have."""
    if values.turns == "last":
        if values.observations != Settings.observations:
            raise ConfigError(
                "only responses of several turns have this", where=f"{source}: observations",
                found=values.observations, remedy="add `turns: all`, or leave it out",
            )  # fmt: skip
        return
    if values.steps in ("supplied", "supplied_or_sentence"):
        raise ConfigError(
            "the steps of a conversation are cut, not supplied", where=f"{source}: steps",
            found=values.steps, remedy="set `steps: turn` or `steps: sentence`",
        )  # fmt: skip
    if values.mix_answers is not None:
        raise ConfigError(
            "`mix_answers` takes the thinking from responses of one turn", where=source,
            found=values.mix_answers, remedy="leave it out with `turns: all`",
        )  # fmt: skip


def _look_up(name: Any, table: Mapping[str, Any], kind: str, source: str) -> Any:
    if not isinstance(name, str) or name not in table:
        remedy = did_you_mean(str(name), table)
        raise ConfigError(f"unknown {kind}", where=source, found=name, remedy=remedy)
    return table[name]


def _windows(
    values: SelectionKeys, metric: Metric, source: str
) -> tuple[tuple[Window, ...], str | None]:
    """What is scored, and which of it decides; by default no more than the metric reads."""
    wanted = None
    if values.window is not None:
        wanted = parse_window(values.window, f"{source}: window").name
        only = metric.window_read(wanted)
        if only != wanted:
            reads = f"the window {only!r}, whatever `window` says" if only else "no window"
            raise ConfigError(
                f"metric {metric.name!r} reads {reads}",
                where=f"{source}: window", found=values.window, remedy="remove `window`",
            )  # fmt: skip
    listed = values.windows
    if listed is None:
        listed = metric.window_read(wanted or DEFAULT_WINDOW) or wanted or GLOBAL
    listed = listed if isinstance(listed, list | tuple) else [listed]
    windows = parse_windows(listed, f"{source}: windows")
    names = [window.name for window in windows]
    decides = metric.window_read(wanted or names[0])
    for window in (wanted, decides):
        if window is not None and window not in names:
            raise ConfigError(
                f"window {window!r} decides, but is not among those scored",
                where=f"{source}: windows", found=names,
                remedy="score it too: add it to `windows`",
            )  # fmt: skip
    return windows, decides


def _options(block: Mapping[str, Any], strategy: Strategy, source: str) -> dict[str, Any]:
    parsed = {}
    for name, option in strategy.options.items():
        if name not in block and option.default is REQUIRED:
            raise ConfigError(
                f"strategy {strategy.name!r} needs `{name}`",
                where=source, remedy=f"give `{name}` beside `strategy`: {option.help}",
            )  # fmt: skip
        try:
            parsed[name] = option.parse(block[name]) if name in block else option.default
        except ValueError as cause:
            what = f"`{name}` must be {cause}"
            raise ConfigError(what, where=f"{source}: {name}", found=block[name]) from None
        except (LnatError, *PASSES_ON):
            raise
        except BaseException as cause:
            raise strategy.failed(cause) from cause
    return parsed
