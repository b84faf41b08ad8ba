"""What plugins register and answer: junk is an error of ours, and what is accepted is right.

Whatever a plugin raises is one too, but what ends the run (`errors.PASSES_ON`).
"""

from __future__ import annotations

import functools
import json
import math
import random
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from lnat_plugins import hookimpl
from lnat_plugins.errors import ConfigError, DataError, LnatError, is_name, visible
from lnat_plugins.metrics import Metric, UndefinedError
from lnat_plugins.plugins import load_plugins
from lnat_plugins.scores import Scores
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.scoring.samples import ScoredSet, read_scored_sets
from lnat_plugins.selection import Choice, Option, ScoredCandidates, Selection, parse_selection
from lnat_plugins.steps import SPLITTERS
from lnat_plugins.teacher_set import Candidate, Row, load
from lnat_plugins.teacher_set.config import parse_task
from lnat_plugins.teacher_set.detect.create import STDOUT, Options, create
from tests.fuzz.good_rows import BLOCKS, ROWS, USER
from tests.fuzz.values import TEXTS, changed, value
from tests.helpers_samples import record_of, teacher_table, write_run
from tests.plugins import lab


class Hostile:
    """Every question that Python asks of it fails."""

    def _fails(self, *_: object) -> Any:
        raise RuntimeError("a\nb")

    __repr__ = __str__ = __len__ = __iter__ = __index__ = __float__ = __bool__ = __eq__ = _fails
    __lt__ = __getitem__ = __contains__ = __hash__ = __call__ = _fails


class Quits(BaseException):
    """Not derived from `Exception`; its text cannot be read."""

    def __str__(self) -> str:
        raise ValueError


OBJECTS: Final[tuple[Callable[[], Any], ...]] = (
    Hostile, object, lambda: b"x", lambda: {1, 2}, lambda: 1j, lambda: Fraction(1, 3),
    lambda: Decimal("NaN"), lambda: np.float32(0.5), lambda: np.float64("nan"), lambda: np.int64(1),
    lambda: np.bool_(True), lambda: np.array([0.0, 1.0]), lambda: np.array(2), lambda: 10**5000,
    lambda: Fraction(10**400), lambda: (0, 1), lambda: (1,), lambda: iter([0, 1]), lambda: len,
    lambda: range(3), lambda: Choice((1,)), lambda: Row({"prompt": "p"}, "here"), lambda: 1.5,
    lambda: DataError("a row of\nnone"), lambda: type("Text", (str,), {})("a"),
)  # fmt: skip
FAILURES: Final[tuple[Callable[[], BaseException], ...]] = (
    Quits, lambda: SystemExit(0), StopIteration, RecursionError, MemoryError, KeyError,
    lambda: ValueError("a\nb \x1b[2J"), lambda: OSError(2, "none"), EOFError, UndefinedError,
    lambda: UndefinedError("why\nnot", (0,)), lambda: UndefinedError("\ud83d", (7, "x")),  # type: ignore[arg-type]
    lambda: ConfigError("not\nso"), lambda: DataError(""), lambda: ArithmeticError("x" * 9000),
)  # fmt: skip


NUMBERS: Final[tuple[Any, ...]] = (
    math.nan, math.inf, -math.inf, -1.0, -5e-324, 0, 1e99, 1e101, 1e308, 10**400, True, "1",
    np.float32(2.5), np.float32("nan"), np.float64("inf"), Fraction(1, 3), Fraction(10**400),
)  # fmt: skip


def number(rng: random.Random, good: float) -> Any:
    """The good number, or one on the border of what is accepted."""
    return good if rng.random() < 0.9 else rng.choice(NUMBERS)


def odd(rng: random.Random) -> Any:
    """A value that a program may give: of JSON, or an object."""
    return value(rng, 2) if rng.random() < 0.5 else rng.choice(OBJECTS)()


def answer(rng: random.Random, good: Any) -> Any:
    """A good answer, changed; or what a plugin raises in place of it."""
    if rng.random() < 0.08:
        raise rng.choice(FAILURES)()
    return changed(rng, good, make=odd)


def _shaped(rng: random.Random, found: Any) -> Any:
    """Lists as tuples, as a generator or as they are."""
    if not isinstance(found, list) or rng.random() < 0.3:
        return found
    inner = [tuple(one) if isinstance(one, list) else one for one in found]
    return tuple(inner) if rng.random() < 0.7 else (one for one in inner)


def ask_plugin(rng: random.Random, folder: Path) -> Any:
    """A plugin of one kind, by the registry and the function that uses its answer."""
    return rng.choice((entry, splitter, metric, strategy, decider, loader))(rng, folder)


PLURALS: Final = {
    "splitter": "splitters", "metric": "metrics", "strategy": "strategies", "loader": "loaders",
}  # fmt: skip


def entry(rng: random.Random, folder: Path) -> Any:
    """An entry with changed fields: it is refused, or stands in the registry by a name."""
    kind = rng.choice([*PLURALS])
    good = getattr(lab, kind)()
    given = {one.name: getattr(good, one.name) for one in fields(good)}
    for name in rng.sample([*given], rng.randrange(3)):
        given[name] = odd(rng)
    made = odd(rng) if rng.random() < 0.05 else type(good)(**given)
    registry = load_plugins(objects=[lab.Registers(**{kind: made})]).registry
    new = getattr(registry, PLURALS[kind])[made.name]
    assert is_name(new.name) and "(object 1)" in new.owner, new.name
    return registry


def splitter(rng: random.Random, folder: Path) -> Any:
    """Spans: accepted are such that tile the text, in plain numbers."""
    text = "".join(rng.choice((*TEXTS, ". ")) for _ in range(rng.randrange(1, 6))) or "a"
    by_one = [0] * 20 + [-1, 1]
    spans = [
        [place + rng.choice(by_one) for place in span] for span in SPLITTERS["sentence"].cut(text)
    ]
    mine = lab.splitter(split=lambda _: _shaped(rng, answer(rng, spans)))
    cut = load_plugins(objects=[lab.Registers(splitter=mine)]).registry.splitters["whole"].cut(text)
    assert all(type(place) is int for span in cut for place in span), cut
    assert all(start < end for start, end in cut), cut
    assert [0, *(end for _, end in cut)] == [*(start for start, _ in cut), len(text)], cut
    return cut


@functools.cache
def _scored() -> ScoredSet:
    with tempfile.TemporaryDirectory() as folder:
        table = teacher_table({"A": [-1.0, -2.0, -1.5], "B": [-1.1, -2.5, math.nan]})
        (found,) = read_scored_sets([write_run(Path(folder), table)])
    return found


def metric(rng: random.Random, folder: Path) -> Any:
    """Values: accepted are numbers, finite, or NaN with a reason; and a table of them."""
    scope = rng.choice(("response", "prompt", "corpus"))
    ratio = scope == "response" and rng.random() < 0.4

    def compute(rows: Any, _: str) -> Any:
        if scope == "response":
            return answer(rng, [number(rng, rng.uniform(-3, 0))])[0]
        return _shaped(rng, answer(rng, [number(rng, -1.0 - i) for i in range(len(rows))]))

    mine: Metric = lab.metric(
        scope=scope, compute=compute, reads=rng.choice(("window", "global", "counts")),
        higher_is_better=rng.choice((True, False, None)), of_prefix=rng.random() < 0.5,
        aggregate="ratio_of_means" if ratio else "mean",
        parts=(lambda *_: _shaped(rng, answer(rng, [-1.0, number(rng, 2.0)]))) if ratio else None,
    )  # fmt: skip
    plugins = load_plugins(objects=[lab.Registers(metric=mine)])
    mine = plugins.registry.metrics["longer"]
    rows = [ScoredResponse(row, record_of(row.teacher, -1.0)) for row in lab.ROWS]
    found = mine.rate(rows, rng.choice(("4", "global", "9")))
    assert len(found.values) == len(found.reasons) == len(rows)
    for one, reason in zip(*found, strict=True):
        assert type(one) is float and not math.isinf(one), one
        assert isinstance(reason, str) and bool(reason) == math.isnan(one), (one, reason)
    if ratio:
        for one in mine.parts_of(rows[0].record, "4"):
            assert type(one) is float and not math.isinf(one), one
    board = Scores(_scored(), plugins, None).leaderboard(["longer"], bootstrap_iters=20)
    assert visible(board.to_markdown(), keep="\n") == board.to_markdown()
    json.dumps(board.as_dict(), allow_nan=False, ensure_ascii=False).encode()
    return board


def _checked(found: Selection, folder: Path) -> Selection:
    """What is accepted can be written, and read back as it was."""
    assert all(math.isfinite(one) and one >= 0 for one in found.weights), found.weights
    assert all(reason for reason in found.reasons.values())
    assert found.teachers == tuple(row.teacher for row in lab.ROWS)
    text = json.dumps(found.as_dict(), allow_nan=False, ensure_ascii=False)
    stored = json.loads(text.encode())
    try:
        again = Selection.from_dict(stored)
    except LnatError as error:
        raise AssertionError(f"it is not read back: {error}") from None
    assert json.dumps(again.as_dict()) == json.dumps(found.as_dict())
    found.figures()
    assert set(found.dropped) == {reason.partition(":")[0] for reason in found.reasons.values()}
    return found


def strategy(rng: random.Random, folder: Path) -> Any:
    """A choice: accepted are rows that were given, with finite weights."""
    chosen = rng.sample(range(4), rng.randrange(1, 4))
    good = {
        "positions": chosen, "weights": [[i, number(rng, 1.0 + i)] for i in chosen],
        "reasons": [[i, "worse: a little"] for i in range(4) if i not in chosen], "ties": 1,
    }  # fmt: skip
    answers: list[Choice] = []
    rows: list[Candidate] = []

    def choose(given: ScoredCandidates) -> Any:
        found = answer(rng, good)
        if not isinstance(found, dict) or not good.keys() <= found.keys():
            return found
        parts = {name: found[name] for name in good}
        for name in ("weights", "reasons"):
            if isinstance(parts[name], list) and rng.random() < 0.9:
                parts[name] = dict(parts[name])
        answers[:], rows[:] = [Choice(**parts)], given.rows
        return replace(answers[0], positions=_shaped(rng, parts["positions"]))

    mine = lab.strategy(
        choose=choose, weighs=True, options={"x": Option(lambda one: answer(rng, one), 1, "an x")},
        needs=frozenset(rng.sample(("scores", "tokens"), rng.randrange(3))),
        check=(lambda *_: answer(rng, 0)) if rng.random() < 0.2 else None,
    )  # fmt: skip
    plugins = load_plugins(objects=[lab.Registers(strategy=mine)])
    known = plugins.registry
    more = {
        "x": value(rng, 1),
        "resample": True,
        "order": rng.choice(("easy_to_hard", "hard_to_easy")),
    }
    block = {"strategy": "first", **{k: more[k] for k in more if rng.random() < 0.2}}
    spec = parse_selection(block, metrics=known.metrics, strategies=known.strategies)
    found = _checked(plugins.select(lab.POOL, lab.Student(), spec), folder)
    assert found.strategy == "first"
    if rows and "resample" not in block:
        weights = answers[0].weights or dict.fromkeys(answers[0].positions, 1.0)
        given = {rows[i].index: float(weights[int(i)]) for i in answers[0].positions}
        assert given == dict(zip(found.indices, found.weights, strict=True)), given
    return found


def decider(rng: random.Random, folder: Path) -> Any:
    """A `Selection` with changed parts."""
    good = lab.chosen(*sorted(rng.sample(range(4), rng.randrange(1, 4))))

    class Decides:
        @hookimpl
        def lnat_select(self) -> Any:
            plain = {one.name: getattr(good, one.name) for one in fields(good)}
            name = rng.choice([*plain])
            plain |= {"weights": tuple(number(rng, 1.0) for _ in good.indices)}
            part = plain[name]
            part = answer(rng, [*part] if isinstance(part, tuple) else part)
            found = replace(good, weights=plain["weights"])
            found = replace(found, **{name: tuple(part) if isinstance(part, list) else part})
            return odd(rng) if rng.random() < 0.05 else found

    plugins = load_plugins(objects=[Decides()])
    return _checked(plugins.select(lab.POOL, lab.Student(), lab.spec(strategy="best")), folder)


def loader(rng: random.Random, folder: Path) -> Any:
    """Rows: what is loaded are prompts and responses of text, with columns that JSON can hold; or
    a definition of them, proposed by `lnat init`."""
    layout = rng.choice([*ROWS])
    good = [{**row, "a": [1]} for row in ROWS[layout]]

    def read(path: Path, shown: str) -> Any:
        rows = answer(rng, good)
        for one in rows if isinstance(rows, list) and rng.random() < 0.8 else (rows,):
            yield (
                Row(one, odd(rng) if rng.random() < 0.1 else shown, odd(rng))
                if (rng.random() < 0.2)
                else one
            )

    (folder / "rows.none").touch()
    as_it_is = rng.random() < 0.1
    mine = lab.loader(read=(lambda *_: odd(rng)) if as_it_is else read)
    known = load_plugins(objects=[lab.Registers(loader=mine)]).registry
    (folder / "p.jsonl").write_text(json.dumps({"custom_id": "q", "body": {"messages": [USER]}}))
    if rng.random() < 0.2:
        (folder / "rows.none").write_text("one")
        loads = functools.partial(load, splitters=known.splitters, loaders=known.loaders)
        rows = str(folder / "rows.none")
        return create([rows], Options(), STDOUT, known.loaders, loads)
    block = {"layout": layout, "min_teachers": 1, **BLOCKS.get(layout, {})}
    if rng.random() < 0.2:
        block["where"] = {rng.choice(["a", "prompt", "teacher"]): [rng.choice([1, "A", "p"])]}
    config = {"task": "t", "dataset_path": "rows.none", "naturalness": block}
    found = load(parse_task(config, folder / "t.yaml"), known.splitters, known.loaders)
    for prompt in found.prompts:
        assert isinstance(prompt.prompt_id, str) and isinstance(prompt.text, str)
        for one in prompt.responses:
            assert one.text and isinstance(one.text, str) and isinstance(one.teacher, str), one
            assert isinstance(one.correct, bool | None) and isinstance(one.where, str), one
            json.dumps([dict(one.extra), one.sample], allow_nan=False, ensure_ascii=False).encode()
    return found
