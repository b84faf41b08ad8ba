"""`make mutants`: what is changed, what is not, and that a change is seen by the tests."""

from __future__ import annotations

import ast
from pathlib import Path

from tests import mutants
from tests.mutants import REPO, copied, drawn, is_killed, mutants_of, suites_for

MODULE = '''"""A module."""
from x import y
LIMIT: Annotated[int, 7] = 3
@decorated(1)
def f(a: Literal[1], b=2) -> Literal[5]:
    """A docstring with 1 < 2."""
    if a < b and not b:
        raise ValueError(f"not {a + 1}", 4)
    total = min(a, -b)
    total += 1
    _log.info("so many: %d", 9)
    check(zip(total, strict=True))
    return a + b if total else [1.5, True]
'''


def test_what_is_changed() -> None:
    path = REPO / "lnat_plugins" / "steps" / "no_such_module.py"

    class Read(type(path)):  # type: ignore[misc]
        def read_text(self, encoding: str) -> str:
            return MODULE

    found = [make() for make in mutants_of(Read(path))]
    assert {mutant.after for mutant in found} == {
        "LIMIT: Annotated[int, 7] = 4",
        "def f(a: Literal[1], b=3) -> Literal[5]:",
        "if not (a < b and (not b)):",
        "if a < b or not b:",
        "if a <= b and (not b):",
        "if a < b and b:",
        "total = max(a, -b)",
        "total = min(a, b)",
        "pass",
        "total += 2",
        "return a + b if not total else [1.5, True]",
        "return a - b if total else [1.5, True]",
        "return a + b if total else [2.5, True]",
        "return a + b if total else [1.5, False]",
    }
    assert [m.before for m in found if m.after == "pass"] == [
        "total += 1", "check(zip(total, strict=True))",
    ]  # fmt: skip
    for mutant in found:
        assert mutant.path == "lnat_plugins/steps/no_such_module.py"
        assert ast.unparse(ast.parse(mutant.source)) != ast.unparse(ast.parse(MODULE))


def test_the_same_are_drawn_again_and_others_with_another_seed() -> None:
    first, again, other = (drawn(["steps", "metrics"], 20, seed) for seed in (1, 1, 2))
    assert [one.key for one in first] == [one.key for one in again] != [one.key for one in other]
    assert {Path(one.path).parts[1] for one in first} == {"steps", "metrics"}


def test_a_modules_own_tests_come_first() -> None:
    own, importing, folder, others, *users = suites_for("lnat_plugins/steps/windows.py")
    assert (own, folder) == (["tests/steps/test_windows.py"], ["tests/steps"])
    assert "tests/scoring/test_variants.py" in importing and own[0] not in importing
    assert ["tests/teacher_set/test_config.py"] in users
    assert ["tests/ranking"] in suites_for("lnat_plugins/ranking/paired.py")
    inner = suites_for("lnat_plugins/selection/formats/base.py")
    at = inner.index(["tests/selection/formats"])
    assert inner[at + 1] == ["tests/selection"]
    # A package is imported by its name alone, not by those of its modules.
    assert "tests/steps/test_windows.py" not in suites_for("lnat_plugins/steps/__init__.py")[0]
    assert all((REPO / name).is_file() for name in others)


def test_a_change_is_seen_and_the_copy_is_left_as_it_was(tmp_path: Path) -> None:
    tree = copied(tmp_path / "repository")
    path = REPO / "lnat_plugins" / "steps" / "windows.py"
    before = path.read_text("utf-8")
    worst = next(
        mutant
        for mutant in (make() for make in mutants_of(path))
        if mutant.before.startswith("return min(self.count") and "max(" in mutant.after
    )
    assert is_killed(worst, tree)
    assert (tree / worst.path).read_text("utf-8") == before == path.read_text("utf-8")
    harmless = worst._replace(source=before + "\n")
    only_own = mutants.suites_for(worst.path)[:1]
    original, mutants.suites_for = mutants.suites_for, lambda _: only_own
    try:
        assert not is_killed(harmless, tree)
    finally:
        mutants.suites_for = original
