"""A known order of the teachers: read from a file or a line of text, and how near a metric comes.

Shapes: B resamples, T teachers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.files import RepeatedKeyError, parse_json, read_yaml
from lnat_plugins.ranking.bootstrap import tau_interval
from lnat_plugins.ranking.orders import Ranks, ranks, spearman, tau_b
from lnat_plugins.ranking.table import Floats

_FORMS: Final = 'give a JSON or YAML file of teacher: accuracy, or a ranking such as "A>B=C>D"'


@dataclass(frozen=True)
class Reference:
    """Teachers by what is known of them.

    Attributes:
        name: the file's name, or the ranking as given.
        values: teacher -> number; higher = better, equal = tied.
        numeric: whether the numbers mean something (accuracies) or only put teachers in order.
    """

    name: str
    values: Mapping[str, float]
    numeric: bool

    def ranks(self, teachers: Sequence[str]) -> Ranks:
        """(1, T) the known ranks of these teachers."""
        return ranks(np.array([[self.values[teacher] for teacher in teachers]]))

    def tau(self, teachers: Sequence[str], scores_BT: Floats) -> Floats:
        """(B,) Kendall's tau-b of each row with the known values; NaN where a score is NaN."""
        tau_B = tau_b(ranks(scores_BT).better, self.ranks(teachers).better)
        return np.where(np.isfinite(scores_BT).all(axis=1), tau_B, np.nan)


def read_reference(
    source: str | Path, teachers: Sequence[str], known: Collection[str] = (), student: str = ""
) -> Reference:
    """Read a file of teacher -> number (higher = better), or text such as "A>B=C>D".

    Args:
        source: a path to a JSON or YAML file, or the text; or the file `study.json` of a study,
            whose accuracies after training are read.
        student: whose accuracies, of several in a study; by default the only one.
        teachers: each must have its rank.
        known: teachers that may have one but need not, such as those left out of a comparison.

    Raises:
        ConfigError: fewer than two teachers; neither a file nor a ranking; a value that is no
            number; a teacher twice; or teachers missing or unknown, all of them in one message.
    """
    if len(teachers) < 2:
        raise ConfigError(
            "one teacher only: there is no order to hold against a reference",
            where="--reference", found=", ".join(teachers), remedy="leave --reference out",
        )  # fmt: skip
    path = Path(source)
    try:
        path = path.expanduser()
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or of an unknown user
        is_file = False
    if is_file:
        name, values = path.name, _numbers(_of_study(_read_mapping(path), student, path), path)
    elif ">" in str(source) or "=" in str(source):
        name, values = str(source), _parse_order(str(source))
    else:
        raise ConfigError(
            "neither a file nor a ranking", where="--reference", found=str(source), remedy=_FORMS
        )
    allowed = {*teachers, *known}
    missing = [teacher for teacher in teachers if teacher not in values]
    unknown = [teacher for teacher in values if teacher not in allowed]
    if missing or unknown:
        problems = [f"has no {', '.join(map(repr, missing))}"] if missing else []
        problems += [f"names the unknown {', '.join(map(repr, unknown))}"] if unknown else []
        raise ConfigError(
            "the reference " + " and ".join(problems),
            where=f"--reference {name}",
            remedy=did_you_mean(unknown[0], allowed)
            if unknown
            else "rank every teacher, or leave teachers out with --teachers",
        )
    return Reference(name, {teacher: values[teacher] for teacher in teachers}, numeric=is_file)


def _of_study(found: Mapping[str, Any], student: str, path: Path) -> Mapping[str, Any]:
    """The accuracies of one student, where the file is a study's; else the file's own."""
    students = found.get("reference")
    if "study" not in found or not isinstance(students, list):
        return found
    names = {Path(student).name, student}
    own = [one for one in students if {one["student"], one["model"]} & names]
    own = own or (students if len({one["student"] for one in students}) == 1 else [])
    if not own:
        raise ConfigError(
            "the study has no such student", where=f"--reference {path.name}", found=student,
            remedy=did_you_mean(student, {one["student"] for one in students}),
        )  # fmt: skip
    accuracy: Mapping[str, Any] = own[0]["accuracy"]
    return accuracy


def _numbers(found: Mapping[str, Any], path: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, value in found.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            values[name] = float(value) if is_number else math.nan
        except OverflowError:  # a whole number beyond what a float holds
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise ConfigError(
                f"the reference value of {name!r} is not a number",
                where=str(path), found=value, remedy=_FORMS,
            )  # fmt: skip
    return values


def _read_mapping(path: Path) -> Mapping[str, Any]:
    """JSON or YAML; in both a name may stand once."""
    try:
        found = parse_json(path.read_text(encoding="utf-8-sig"))
    except RepeatedKeyError as cause:
        raise _duplicate(cause.key, str(path)) from None
    except (OSError, ValueError, RecursionError):
        found = read_yaml(path)
    if not isinstance(found, dict):
        raise ConfigError(
            "a reference maps each teacher to a number",
            where=str(path), found=found, remedy=_FORMS,
        )  # fmt: skip
    return found


def _parse_order(text: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for rank, tied in enumerate(text.split(">")):
        for name in map(str.strip, tied.split("=")):
            if not name:
                raise ConfigError(
                    "empty name in the ranking",
                    where="--reference", found=text, remedy=_FORMS,
                )  # fmt: skip
            if name in values:
                raise _duplicate(name, f"--reference {text}")
            values[name] = -float(rank)
    return values


def _duplicate(name: str, where: str) -> ConfigError:
    return ConfigError(f"duplicate name {name!r}", where=where, remedy="name it once")


@dataclass(frozen=True)
class ReferenceFit:
    """A metric's order against a known one.

    Attributes:
        name: of the reference.
        tau: Kendall's tau-b of the teachers' scores, by the metric's direction, with the known
            values; NaN if either is one tie.
        tau_low, tau_high: its percentile bootstrap interval over prompts, at `bootstrap.LEVEL`:
            how far other prompts would change it, not how far other teachers would.
        spearman: Spearman's correlation of the same.
        pairwise_accuracy: share of the pairs that the metric puts the known way round; a pair on
            which the metric ties counts half. NaN without a pair.
        pairs: pairs of teachers whose known values differ.
        ties_excluded: pairs whose known values are equal; they count in no accuracy.
        regret: known value of the best teacher minus that of the metric's first; NaN where the
            reference is an order without numbers.
        best: the teacher that the reference puts first; of a tie all of them, joined by " = ".
        chosen: the teacher that the metric puts first.
    """

    name: str
    tau: float
    tau_low: float
    tau_high: float
    spearman: float
    pairwise_accuracy: float
    pairs: int
    ties_excluded: int
    regret: float
    best: str
    chosen: str


def reference_fit(
    reference: Reference, teachers: tuple[str, ...], scores_T: Floats, scores_BT: Floats
) -> ReferenceFit:
    """Compare the scores, and their resamples, with the known values; higher = better in both."""
    ours, theirs = ranks(scores_T[None]), reference.ranks(teachers)
    first, second = np.triu_indices(len(teachers), k=1)
    known = np.sign(theirs.better[0, first] - theirs.better[0, second])
    found = np.sign(ours.better[0, first] - ours.better[0, second])
    right = np.where(found == 0, 0.5, found == known)[known != 0]
    tau_low, tau_high = tau_interval(reference.tau(teachers, scores_BT))
    best = [name for name, better in zip(teachers, theirs.better[0], strict=True) if not better]
    chosen = teachers[int(np.argmin(ours.better[0]))]
    regret = max(reference.values[name] for name in teachers) - reference.values[chosen]
    return ReferenceFit(
        name=reference.name,
        tau=float(reference.tau(teachers, scores_T[None])[0]), tau_low=tau_low, tau_high=tau_high,
        spearman=spearman(ours.better[0], theirs.better[0]),
        pairwise_accuracy=float(right.mean()) if len(right) else math.nan,
        pairs=len(right), ties_excluded=int((known == 0).sum()),
        regret=regret if reference.numeric else math.nan,
        best=" = ".join(best), chosen=chosen,
    )  # fmt: skip
