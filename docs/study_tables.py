"""Tables of `evidence.md`, from what `lnat study` measured: `examples/study/measured/_*.json`.

Each file is the `studies.json` of a run, or what a run of one study says of its students together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from lnat_plugins.formatting import span
from lnat_plugins.study.agreement import FEWEST

MEASURED: Final = Path(__file__).parent.parent / "examples" / "study" / "measured"

Rows = tuple[list[str], list[list[str]]]


def runs() -> list[str]:
    """The names of the files."""
    return sorted(file.stem.removeprefix("_") for file in MEASURED.glob("_*.json"))


def read(name: str) -> dict[str, Any]:
    """What a run says of all its students together."""
    found = json.loads((MEASURED / f"_{name}.json").read_text(encoding="utf-8"))
    together: dict[str, Any] = found["together"]
    return together


def _label(label: str) -> str:
    """Without what its budget says again."""
    return re.sub("_(rows|tokens|utility)_[12]:", ":", label)


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return ""
    written = f"{value:.{digits}f}"
    return written.lstrip("-") if not float(written) else written.replace("-", "−")


def _interval(estimate: Mapping[str, float | None], digits: int = 2) -> str:
    low, high = estimate["low"], estimate["high"]
    if low is None or high is None:
        return ""
    return span(low, high, digits).replace("-", "−")


def students(name: str) -> Rows:
    """A line a student, study and budget."""
    head = ["study: student, budget", "seeds", "no training", "best teacher, its mean",
            "SD of teachers", "at the floor", "reliability", "largest τ-b"]  # fmt: skip
    rows = [
        [_label(one["label"]), str(one["seeds"]), _number(one["none"], 3),
         f"`{one['best_teacher']}` {_number(one['best'], 3)}",
         _number(one["sd_of_teachers"], 3), str(one["at_the_floor"]),
         _number(one["reliability"], 3), _number(one["largest_tau"])]
        for one in read(name)["results"]
    ]  # fmt: skip
    return head, rows


def teachers(name: str) -> Rows:
    """A line a teacher, a column a study: the mean over its students; and without training."""
    return _arms(name, "trained on the rows of", selections=False)


def selections(name: str) -> Rows:
    """A line a selection, likewise."""
    return _arms(name, "trained on a row of each prompt by", selections=True)


def _arms(name: str, head: str, *, selections: bool) -> Rows:
    found = read(name)
    chosen = {one["selection"] for one in found["gains"]} | {"random"}
    studies: dict[str, list[Mapping[str, float]]] = {}
    for one in found["results"]:
        study = _label(one["label"]).split(":")[0]
        studies.setdefault(study, []).append(one["arms"])
    of = {
        arm: [float(np.mean([one[arm] for one in each])) for each in studies.values()]
        for arm in next(iter(studies.values()))[0]
        if (arm in chosen) is selections
    }
    falling = sorted(of, key=lambda arm: -float(np.mean(of[arm])))
    rows = [[f"`{arm}`", *(_number(value, 3) for value in of[arm])] for arm in falling]
    return [head, *studies], rows


def metrics(name: str) -> Rows:
    """A line a metric, highest mean τ-b first: how far its order is that after training."""
    rows = []
    for one in _by_tau(name):
        known = [value for value in one["values"].values() if value is not None]
        rows.append([
            f"`{one['metric']}`", _number(one["tau"]["value"]), _interval(one["tau_fixed"]),
            _interval(one["tau"]), f"{_number(min(known))}, {_number(max(known))}",
        ])  # fmt: skip
    return ["metric", "mean τ-b", "these teachers", "other teachers", "lowest, highest"], rows


def regrets(name: str) -> Rows:
    """A line a metric, in the order of `metrics`: what following it costs, against the baseline."""
    base = read(name)["baseline"]
    rows = []
    for one in _by_tau(name):
        own = one["metric"] == base
        rows.append([
            f"`{one['metric']}`",
            f"{_number(one['regret']['value'], 3)} {_interval(one['regret'], 3)}",
            _number(one["worst_regret"], 3),
            "" if own else f"{_number(one['difference']['value'])} {_interval(one['difference'])}",
            "" if own else one["claim"],
        ])  # fmt: skip
    return ["metric", "mean regret", "worst", f"τ-b − `{base}`", "claim"], rows


def _by_tau(name: str) -> list[dict[str, Any]]:
    """Without metrics that have no order in any result, such as words that no teacher says.

    None at all where there are too few teachers to say anything of a metric.
    """
    found = read(name)
    if max(one["teachers"] for one in found["results"]) < FEWEST:
        return []
    ordered = [one for one in found["metrics"] if one["tau"]["value"] is not None]
    return sorted(ordered, key=lambda each: -each["tau"]["value"])


def gains(name: str) -> Rows:
    """A line a selection: what it gains over other arms."""
    found = read(name)["gains"]
    overs = list(dict.fromkeys(one["over"] for one in found))
    rows = []
    for arm in dict.fromkeys(one["selection"] for one in found):
        of = {one["over"]: one["gain"] for one in found if one["selection"] == arm}
        rows.append([
            f"`{arm}`",
            *(f"{_number(of[over]['value'], 3)} {_interval(of[over], 3)}" if over in of else ""
              for over in overs),
        ])  # fmt: skip
    return ["rows by", *(f"over {over}" for over in overs)], rows
