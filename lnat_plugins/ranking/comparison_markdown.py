"""A comparison of metrics as text. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lnat_plugins._tables import markdown_table
from lnat_plugins.ranking.comparison import Comparison, MetricOrder, counted_out
from lnat_plugins.ranking.markdown import ARROW
from lnat_plugins.ranking.wording import number, share_of, span

_KNOWN: Final = ["tau-b", "95% interval", "Spearman", "Pairs", "Regret", "tau-b − first's"]
_LONGEST_NAME: Final = 24
MOST_NAMED: Final = 5
"""Teachers of an order that are named; the rest stand in the json."""


def comparison_to_markdown(comparison: Comparison, title: Sequence[str] = ()) -> str:
    """Title lines, a line a metric, the fit to what is known, each against each, who is left out.

    tau-b and the same winner are those with the first metric; the full matrix of tau-b follows
    where there are three metrics or more.
    """
    blocks = [
        "\n".join(title),
        _orders(comparison),
        _fits(comparison),
        _matrix(comparison),
        "\n".join(_remarks(comparison)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _orders(comparison: Comparison) -> str:
    headers = ["Metric", "Window", "", "Order of the teachers", "P(best)", "tau-b with first"]
    headers += ["Same winner", "Prompts"]
    rows = [
        [
            one.metric,
            one.window or "",
            ARROW[one.higher_is_better],
            _order(one),
            number(one.p_best, 3),
            number(comparison.tau[0][index], 3),
            number(comparison.overlap[0][index], 3),
            str(one.prompts_used),
        ]
        for index, one in enumerate(comparison.metrics)
    ]
    return markdown_table(headers, rows, left=4)


def _order(one: MetricOrder) -> str:
    left = len(one.order) - MOST_NAMED
    return one.in_words(MOST_NAMED) + (f" > … {left} more" if left > 0 else "")


def _fits(comparison: Comparison) -> str:
    fits = [(one, one.fit) for one in comparison.metrics if one.fit is not None]
    if not fits:
        return ""
    rows = [
        [
            one.metric,
            number(fit.tau, 3),
            span(fit.tau_low, fit.tau_high, 3),
            number(fit.spearman, 3),
            share_of(fit.pairwise_accuracy, fit.pairs),
            number(fit.regret),
            f"{number(one.tau_difference, 3)} "
            f"{span(one.tau_difference_low, one.tau_difference_high, 3)}",
        ]
        for one, fit in fits
    ]
    name = fits[0][1].name
    against = name if len(name) <= _LONGEST_NAME else "the known order"
    return markdown_table([f"Against {against}", *_KNOWN], rows, left=1)


def _matrix(comparison: Comparison) -> str:
    if len(comparison.metrics) < 3:
        return ""
    names = [one.metric for one in comparison.metrics]
    rows = [
        [f"{place} {name}", *(number(tau, 2) for tau in line)]
        for place, (name, line) in enumerate(zip(names, comparison.tau, strict=True), start=1)
    ]
    return markdown_table(["tau-b", *map(str, range(1, len(names) + 1))], rows, left=1)


def _remarks(comparison: Comparison) -> list[str]:
    found = []
    fit = comparison.metrics[0].fit
    if fit is not None and fit.ties_excluded:
        found.append(f"- Known ties, left out of the pairs: {fit.ties_excluded}.")
    if comparison.left_out:
        found.append(f"- Not compared: {counted_out(comparison.left_out)}.")
    return found
