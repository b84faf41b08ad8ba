"""How far the metrics and strategies differ on scored responses: orders, rows chosen, overlap.

Shows `Scores.compare` and `Scores.select`, on what `lm_eval --log_samples` wrote. Scores for every
metric need `naturalness: {metrics: all}` in the teacher set's YAML; a metric or strategy that
cannot choose on this data is named below the tables with its reason.

    python examples/compare_selections.py OUT
    python examples/compare_selections.py OUT --strategies best best_set random
"""

from __future__ import annotations

import argparse
from collections import Counter

import pandas as pd

from lnat_plugins import Selection, read_scores
from lnat_plugins.errors import LnatError
from lnat_plugins.scores import Scores

STRATEGIES: dict[str, dict[str, object]] = {
    "best": {},
    "best_teacher": {},
    "best_set": {},
    "balanced": {},
    "all": {},
    "top_fraction": {"fraction": 0.25},
    "weighted": {"budget": 2},
    "length_biased": {"fraction": 0.25},
    "random": {},
    "shortest": {},
    "longest": {},
}
"""Strategies with options that suit any data."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare metrics and strategies of selection.")
    parser.add_argument("out", help="lm_eval's output folder, or samples files")
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES, "top_k", "diverse"])
    args = parser.parse_args()

    scores = read_scores(args.out)
    one_a_prompt = {"k": len(scores.scored.prompts)}
    options = {**STRATEGIES, "top_k": one_a_prompt, "diverse": one_a_prompt}
    orders = scores.compare("all")
    print(orders.to_markdown())  # as `lnat rank --metric all` does

    chosen: dict[str, Selection] = {}
    failed: dict[str, str] = {}

    def choose(name: str, strategy: str, **options: object) -> None:
        try:
            chosen[name] = scores.select(strategy, **options)
        except LnatError as error:
            failed[name] = str(error)

    for line in orders.metrics[1:]:
        choose(f"best by {line.metric}", "best", metric=line.metric)
    for name in args.strategies:
        choose(name, name, **options.get(name, {}))

    described = {name: describe(scores, selection) for name, selection in chosen.items()}
    print(
        "Chosen: the best row of each prompt by a metric, then strategies by local_naturalness.\n"
    )
    print(pd.DataFrame(described).T.to_string(), end="\n\n")
    print("Overlap: rows that both choose, as a share of the rows that either chooses.\n")
    rows = [set(selection.indices) for selection in chosen.values()]
    overlap = pd.DataFrame([[len(a & b) / (len(a | b) or 1) for b in rows] for a in rows])
    overlap.columns = range(1, len(rows) + 1)
    overlap.index = [f"{number} {name}" for number, name in enumerate(chosen, 1)]
    print(overlap.round(2).to_string(), end="\n\n")
    for name, reason in failed.items():
        print(f"- not chosen by {name}: {reason}")


def describe(scores: Scores, selection: Selection) -> dict[str, object]:
    """Counts of the rows chosen, and the three teachers with most of them."""
    rows = [scores.rows[index] for index in selection.indices]
    known = [row.correct for row in rows if row.correct is not None]
    teachers = Counter(row.teacher for row in rows).most_common(3)
    return {
        "rows": len(rows),
        "tokens": sum(row.record.n_tokens for row in rows),
        "right": round(sum(known) / len(known), 3) if known else "unknown",
        "teachers": ", ".join(f"{teacher} {count}" for teacher, count in teachers),
    }


if __name__ == "__main__":
    main()
