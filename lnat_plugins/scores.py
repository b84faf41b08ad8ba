"""The scores of a teacher set by one student: rank, compare, select, report, write.

Each method gives what the command of the same name gives; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnat_plugins import ranking
from lnat_plugins.budget.choice import Choices, only_a_choice, replay_choices
from lnat_plugins.budget.run import Row
from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import ALL, Metric, frames, get_metric, metrics_to_compare
from lnat_plugins.metrics.budgeted import metric_under
from lnat_plugins.plugins import Plugins
from lnat_plugins.plugins.configured import needed_by, resolve
from lnat_plugins.ranking.bootstrap import RESAMPLES
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.scoring.contrast import contrasted
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.selection import Selection
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.selection.formats import FORMATS
from lnat_plugins.selection.stride import by_choices, check_block
from lnat_plugins.selection.student import (
    ScoredStudent,
    candidates_of_scores,
    provenance_of_scores,
)
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Candidates
from lnat_plugins.teacher_set.config import Budget

if TYPE_CHECKING:
    import pandas

    from lnat_plugins.report import ReportOptions

__all__ = ["Scores"]


@dataclass(frozen=True, repr=False)
class Scores:
    """Every response of a teacher set, scored by one student.

    Attributes:
        scored: the responses with their step sums, and how they were scored.
        plugins: where metrics and strategies are looked up.
        tokenizer: the student's, or its folder or name; counts tokens for `max_length`.
    """

    scored: ScoredSet
    plugins: Plugins
    tokenizer: Any = field(default=None, compare=False, repr=False)

    @property
    def rows(self) -> tuple[ScoredResponse, ...]:
        """The responses with their step sums."""
        return self.scored.rows

    @property
    def teachers(self) -> tuple[str, ...]:
        """Teachers in order of first appearance."""
        return self.scored.teachers

    @property
    def windows(self) -> tuple[str, ...]:
        """The names of the windows scored; the first is the default.

        Without that of stride scores, which are no local naturalness.
        """
        choice = self._budget and self._budget.of_choice
        return self.scored.windows[:1] if choice else self.scored.windows

    @cached_property
    def candidates(self) -> Candidates:
        """The responses as rows to choose from, with the prompts as they were rendered."""
        return candidates_of_scores(self.scored)

    def only(self, teachers: Collection[str] | None) -> Scores:
        """The scores of these teachers only; None = all.

        Raises:
            ConfigError: one that is not among them; the scores were read for a choice among all.
        """
        if teachers is not None and self._budget and self._budget.of_choice:
            raise only_a_choice(self.scored.task)
        return replace(self, scored=self.scored.only(teachers))

    def contrast(self, other: Scores) -> Scores:
        """These scores with what another student gave the same responses, for metric `contrast`.

        Responses are joined by prompt, teacher and sample. Where the other student has no score of
        one, or read another text or other tokens, the metric is undefined, and its reason says so.

        Args:
            other: scores of the same teacher set by a student that the metric is to count against,
                such as the same base trained on wrong responses.

        Raises:
            ConfigError: scores of another task, or estimates from a run with a budget.
        """
        self._check_exact()
        other._check_exact()
        return replace(self, scored=contrasted(self.scored, other.scored))

    def rank(
        self, metric: str = "local_naturalness", window: str | int | None = None, *,
        reference: str | Path | None = None, bootstrap_iters: int = RESAMPLES, seed: int = 1234,
    ) -> ranking.Ranking:  # fmt: skip
        """Teachers in order by one metric; `to_markdown()` of it is the table.

        The whole text of `lnat rank` is `leaderboard().to_markdown()`.

        Args:
            metric: by name.
            window: one of those scored; by default the first.
            reference: a known order, a file or text as `--reference` takes it.
            bootstrap_iters, seed: of the intervals.

        Raises:
            ConfigError: an unknown metric, one without a direction, or a window not scored.
        """
        metrics = self.plugins.registry.metrics
        with self.scored.degenerate_meanwhile() as degenerate:
            return ranking.rank(
                self.rows, self.scored.prompts, get_metric(metric, metrics), self._window(window),
                bootstrap_iters=bootstrap_iters, seed=seed, metrics=metrics,
                student=self.scored.student, texts=[row.text for row in self.rows],
                degenerate=degenerate, unusable=self.scored.unusable,
                prompts_in_set=self.scored.prompts_in_set, grown_from=self.scored.grown_from,
                reference=self._reference(reference),
            )  # fmt: skip

    def race(self) -> ranking.RacedRanking:
        """What a run with a budget settled; `to_markdown()` of it is the text of `lnat rank`.

        Raises:
            DataError: the scores were made without a budget.
        """
        return ranking.raced(self.scored)

    @property
    def _budget(self) -> Budget | None:
        found = self.scored.settings.get("budget")
        return Budget(**found) if found else None

    @cached_property
    def choices(self) -> Choices:
        """What a run for a choice read, and how far that can be relied on.

        Raises:
            ConfigError: the scores were made otherwise.
            DataError: records of the run are missing.
        """
        if self._budget is None or not self._budget.of_choice:
            raise ConfigError(
                "these scores were not read for a choice", where=f"task {self.scored.task}",
                remedy="score with `naturalness: budget: {goal: choice}`",
            )  # fmt: skip
        rows = [Row(one.prompt_id, len(one.text), one.record, one.correct) for one in self.rows]
        return replay_choices(self._budget, rows)

    def _check_exact(self) -> None:
        """Raises ConfigError for scores of a run with a budget."""
        if self._budget and self._budget.of_choice:
            raise only_a_choice(self.scored.task)
        if self._budget:
            raise ConfigError(
                "these are estimates from a run with a budget, and most responses were not read",
                where=f"task {self.scored.task}",
                remedy="see what it settled (`Scores.race()`, `lnat rank` without a metric), or "
                "score without `budget:`",
            )

    def compare(
        self, metrics: str | Sequence[str] = "all", window: str | int | None = None, *,
        reference: str | Path | None = None, bootstrap_iters: int = RESAMPLES, seed: int = 1234,
    ) -> ranking.Comparison:  # fmt: skip
        """Several metrics side by side; `to_markdown()` of it is the table.

        Args and errors as for `rank`; "all" = every metric that has a direction.
        """
        return ranking.compare(
            self.rows, self.scored.prompts, self._metrics(metrics), self._window(window),
            bootstrap_iters=bootstrap_iters, seed=seed, reference=self._reference(reference),
        )  # fmt: skip

    def leaderboard(
        self, metrics: str | Sequence[str] = "local_naturalness", window: str | int | None = None,
        *, reference: str | Path | None = None, known_teachers: Collection[str] = (),
        bootstrap_iters: int = RESAMPLES, seed: int = 1234,
    ) -> ranking.Leaderboard:  # fmt: skip
        """What `lnat rank` prints: the ranking by the first metric, several metrics compared.

        Args and errors as for `rank`; `metrics` may be several, or "all", and one requested by
        name must be comparable; `known_teachers` may stand in the reference and need not.
        """
        return ranking.leaderboard(
            self.scored, self._metrics(metrics), self._window(window),
            every=metrics == ALL or list(metrics) == [ALL], known=self.plugins.registry.metrics,
            reference=self._reference(reference, known_teachers), bootstrap_iters=bootstrap_iters,
            seed=seed,
        )  # fmt: skip

    def prefix_agreement(
        self, whole: Scores, metric: str = "local_naturalness", window: str | int | None = None, *,
        bootstrap_iters: int = RESAMPLES, seed: int = 1234,
    ) -> ranking.PrefixAgreement:  # fmt: skip
        """How far the order by these scores of a prefix is that by whole responses.

        Args and errors as for `rank`; `whole` are the scores of the same teacher set without a
        prefix, of all its prompts or some.
        """
        found = get_metric(metric, self.plugins.registry.metrics)
        return ranking.prefix_agreement(
            self.scored, whole.scored, found, self._window(window),
            bootstrap_iters=bootstrap_iters, seed=seed,
        )  # fmt: skip

    @property
    def unloaded_metrics(self) -> tuple[str, ...]:
        """Metrics that the responses were scored for and that no loaded plugin brings."""
        scored_for = self.scored.settings.get("metrics") or ()
        return tuple(name for name in scored_for if name not in self.plugins.registry.metrics)

    def check_metrics(self, names: Collection[str], where: str = "metrics") -> None:
        """Raises ConfigError for a name among `unloaded_metrics`, saying what to do."""
        for name in self.unloaded_metrics:
            if name in names:
                raise ConfigError(
                    f"unknown metric {name!r}, though task {self.scored.task} was scored for it",
                    where=where,
                    remedy="give its plugin with --plugins",
                )

    def __repr__(self) -> str:
        # Those asked for; others are recorded beside them.
        asked = [str(name) for name in self.scored.settings.get("windows") or self.windows]
        return (
            f"<Scores of {len(self.rows)} responses to {len(self.scored.prompts)} prompts, "
            f"teachers {', '.join(self.teachers)}, windows {', '.join(asked)}>"
        )

    def report(
        self, path: str | Path, metric: str = "local_naturalness", window: str | int | None = None,
        *, reference: str | Path | None = None, known_teachers: Collection[str] = (),
        prompts: int | None = None, max_size: float = 10.0, others: Sequence[Scores] = (),
        format: str | None = None, next_command: str | None = None,
        bootstrap_iters: int = RESAMPLES, seed: int = 1234, overwrite: bool = False,
    ) -> None:  # fmt: skip
        """Write one HTML file to look at, or its first plot, as `lnat report` does.

        Args and errors as for `leaderboard`; `prompts` and `max_size` (megabytes) bound the traces
        in the file; `others` are scores by other students, set beside these; `format` is "html",
        "png" or "svg", by default as the path ends; `next_command` ends the page's verdict;
        `overwrite` replaces a file that is no report of ours too. ConfigError if it is not written.
        """
        from lnat_plugins.report import write_report

        options = self._options(metric, window, bootstrap_iters, seed, reference, known_teachers)
        if next_command is not None:
            options = replace(options, next_command=next_command)
        write_report(
            Path(path), self.scored, options, prompts=prompts, max_size=max_size, format=format,
            others=[one.scored for one in others], overwrite=overwrite,
        )  # fmt: skip

    def plot(
        self, kind: str = "difference", metric: str = "local_naturalness",
        window: str | int | None = None, *, bootstrap_iters: int = RESAMPLES, seed: int = 1234,
    ) -> Any:  # fmt: skip
        """A plot of the report as an Altair chart, of `report.KINDS`; args, errors as `rank`."""
        from lnat_plugins.report import plot

        return plot(self.scored, self._options(metric, window, bootstrap_iters, seed), kind)

    def select(self, strategy: str = "best", **selection: Any) -> Selection:
        """Rows to train on, by the keys of a `selection:` block; indices are those of `rows`.

        Raises:
            ConfigError, DataError: as `select_dataset`, or a window that was not scored.
        """
        settled = "windows steps markers prefix turns observations teacher_set columns plugins"
        for key in settled.split():
            if key in selection:
                raise ConfigError(
                    f"`{key}` is settled: the responses are scored already",
                    found=selection[key],
                    remedy="leave it out, or score again",
                )
        if selection.get("window") is not None:
            selection["window"] = self._window(selection["window"])
        block = {"strategy": strategy, "windows": list(self.windows)}
        return self.select_by_block(block | selection)

    def select_by_block(self, block: Mapping[str, Any], where: str = "selection") -> Selection:
        """Rows to train on, by a whole `selection:` block, as `lnat select` chooses.

        Args:
            block: the keys; `plugins` must be loaded already.
            where: where the block stands, for messages.

        Raises:
            ConfigError, DataError: as `select_dataset`.
        """
        if self._budget and self._budget.of_choice:
            spec = resolve(check_block(block, where), self.plugins, where)
            spec = by_choices(spec, self.choices)
        else:
            self._check_exact()
            spec = resolve(block, self.plugins, where)
        of_scores = ("steps", "markers", "prefix", "observations")
        kept = {name: self.scored.settings.get(name) for name in of_scores}
        written = {**spec.written, **{name: value for name, value in kept.items() if value}}
        spec = replace(spec, written=written)  # as they were scored, not by default
        return self.plugins.select(self.candidates, self.scored_student, spec)

    @cached_property
    def scored_student(self) -> ScoredStudent:
        """The student, as far as choosing among `candidates` needs it."""
        in_process = self.tokenizer is not None and not isinstance(self.tokenizer, str)
        return ScoredStudent(
            self.scored.student, [row.record for row in self.rows], self.candidates.plain,
            None if in_process else self.tokenizer,
            load=(lambda _: self.tokenizer) if in_process else load_tokenizer,
            arguments=self.scored.settings.get("chat_template_kwargs", {}),
        )  # fmt: skip

    @property
    def provenance(self) -> Provenance:
        """Where rows and scores come from, for the files of a training set."""
        return provenance_of_scores(self.scored)

    def write(
        self, selection: Selection, folder: str | Path, *, format: str = "trl",
        overwrite: bool = False,
    ) -> tuple[Path, ...]:  # fmt: skip
        """Write the chosen rows as a training set, as `lnat select --output_path` does.

        Args:
            selection: made from these scores.
            folder: a training set there is replaced; anything else is refused.
            format: for which trainer; see docs/trainers.md.
            overwrite: whether a folder with other files is replaced too.

        Returns the files written; errors as `write_training_set`.
        """
        return write_training_set(
            folder, self.candidates, selection, format=format, provenance=self.provenance,
            overwrite=overwrite, **self.needed_by(format, selection),
        )  # fmt: skip

    def needed_by(
        self, format: str, selection: Selection, where: str = "selection"
    ) -> dict[str, Any]:
        """What a format must know beside the choice; see `plugins.configured.needed_by`."""
        form = FORMATS.get(format)
        if form is None:  # refused where it is written
            return {}
        if form.needs == "rejected":
            self._check_exact()
        student = self.scored_student
        return needed_by(form, self.candidates, selection, student, self.plugins, where)

    def tokens(self) -> pandas.DataFrame:
        """A row a token, with its log-probability; see `metrics.frames.tokens`."""
        return frames.tokens(self.rows)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a response: prompt, teacher, sample, verdict, every metric for every window.

        A metric that reads a window has one column a window, such as `local_naturalness[4]`.
        """
        metrics = self.plugins.registry.metrics
        if self._budget and self._budget.of_choice:
            stride = metric_under(self._budget.goal)
            metrics = {**metrics, stride.name: stride}
        return frames.responses(self.rows, self.windows, metrics)

    def _metrics(self, names: str | Sequence[str]) -> tuple[Metric, ...]:
        names = [names] if isinstance(names, str) else names
        return metrics_to_compare(names, self.plugins.registry.metrics, "metrics")

    def _options(
        self, metric: str, window: str | int | None, iters: int, seed: int,
        reference: str | Path | None = None, known_teachers: Collection[str] = (),
    ) -> ReportOptions:  # fmt: skip
        from lnat_plugins.report import ReportOptions, leading_metric, read_study

        metrics = self.plugins.registry.metrics
        return ReportOptions(
            leading_metric(metric, metrics), self._window(window), metrics,
            self._reference(reference, known_teachers), iters, seed,
            read_study(reference, self.scored.student),
        )  # fmt: skip

    def _reference(
        self, source: str | Path | None, known_teachers: Collection[str] = ()
    ) -> ranking.Reference | None:
        if source is None:
            return None
        return ranking.read_reference(source, self.teachers, known_teachers, self.scored.student)

    def _window(self, window: str | int | None) -> str:
        self._check_exact()
        if window is None:
            return self.scored.window(None)
        if str(window) not in self.windows:
            with suppress(ConfigError):  # what is no window at all was not scored either
                window = parse_windows([window])[0].name
        return self.scored.window(str(window))
