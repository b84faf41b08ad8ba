"""Changes the code in small ways, one at a time, and counts the changes that no test sees.

    python tests/mutants.py --seed 0 --count 100
    python tests/mutants.py --seed 0 --count 20 --packages engine,steps

A mutant is one changed node of the syntax tree: another comparison or operator, a condition turned
round, a number that is one higher, `and` for `or`, `min` for `max`, a statement left out. Drawn at
random from the packages, with a seed. The tests of the changed module run first, then those that
import it, those of its package, a few that go through everything, and those of the modules that
import it; the first failure ends it.
What survives is printed with its line: it is either a gap in the tests or a change that changes
nothing, which `tests/data/equivalent_mutants.yaml` lists, and which does not count.

The exit code is 1 where less than 95 % were killed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import yaml

REPO: Final = Path(__file__).resolve().parents[1]
EQUIVALENT: Final = REPO / "tests" / "data" / "equivalent_mutants.yaml"
PACKAGES: Final = ("engine", "scoring", "steps", "metrics", "ranking", "selection")
THROUGH_EVERYTHING: Final = (
    "tests/metrics/test_golden.py", "tests/harness/test_run.py", "tests/harness/test_requests.py",
    "tests/test_api.py", "tests/cli/test_rank.py", "tests/cli/test_select.py",
    "tests/plugins/test_registry.py", "tests/scoring/test_prefix.py",
    "tests/harness/test_chosen.py",
)  # fmt: skip
ENOUGH: Final = 0.95
_SECONDS: Final = 600
"""After so many a test run counts as a failure: most endless loops are mutants."""

_COMPARISONS: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Pow: ast.Mult,
}  # fmt: skip
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """A changed module.

    Args:
        path: of the module, from the repository.
        line: of the change, from 1.
        before, after: the changed statement's text, on one line.
        source: the whole module with the change.
    """

    path: str
    line: int
    before: str
    after: str
    source: str

    @property
    def key(self) -> str:
        """How `equivalent_mutants.yaml` names it; line numbers would not last."""
        return f"{self.path}: {self.before} -> {self.after}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[one, *_]) if type(one) in _COMPARISONS:
            yield _with(node, ops=[_COMPARISONS[type(one)](), *node.ops[1:]])
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
            yield _with(node, op=_OPERATORS[type(operator)]())
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
        case ast.IfExp() | ast.If() | ast.While():
            yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES:
            yield ast.Name(_NAMES[name], ast.Load())
        case ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _places(tree: ast.Module) -> Iterator[tuple[ast.stmt, ast.AST]]:
    """Nodes that may be changed, each with the innermost statement that holds it.

    What only describes is left out: annotations, messages, the arguments of errors and logs.
    """

    def walk(node: ast.AST, statement: ast.stmt | None) -> Iterator[tuple[ast.stmt, ast.AST]]:
        if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: a check, like `assert`
            return
        if isinstance(node, ast.stmt):
            statement = node
        if statement is not None:
            yield statement, node
        skipped = {"annotation", "returns", "decorator_list", "bases"}
        for name, value in ast.iter_fields(node):
            if name in skipped:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _only_describes(child):
                    yield from walk(child, statement)

    yield from walk(tree, None)


def _only_describes(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else node
    if isinstance(call, ast.Constant) and isinstance(call.value, str):
        return True
    name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
    return name.startswith("_log.") or name.rpartition(".")[2].endswith("Error")


def mutants_of(path: Path) -> Iterator[Callable[[], Mutant]]:
    """Of one module, each made when it is called."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    for number, (statement, node) in enumerate(_places(tree)):
        for which, _ in enumerate(changes(node)):
            yield lambda number=number, which=which, statement=statement: _mutant(  # type: ignore[misc]
                path, source, number, which, statement
            )


def _mutant(path: Path, source: str, number: int, which: int, statement: ast.stmt) -> Mutant:
    tree = ast.parse(source)
    _, node = list(_places(tree))[number]
    changed = list(changes(node))[which]
    ast.copy_location(changed, node)

    class Change(ast.NodeTransformer):
        def visit(self, visited: ast.AST) -> ast.AST:
            return changed if visited is node else self.generic_visit(visited)

    same = next(one for one, inner in _places(tree) if inner is node)
    before = _head(statement)
    after_tree = ast.fix_missing_locations(Change().visit(tree))
    after = _head(changed if same is node else same)
    line = getattr(node, "lineno", statement.lineno)
    return Mutant(
        str(path.relative_to(REPO)), line, before, after, ast.unparse(after_tree) + "\n"
    )  # fmt: skip


def _head(node: ast.AST) -> str:
    """A statement without its block."""
    if not isinstance(
        node, ast.If | ast.While | ast.For | ast.With | ast.FunctionDef | ast.ClassDef
    ):
        return " ".join(ast.unparse(node).split())
    bare = {"body": [ast.Pass()], "orelse": [], "decorator_list": []}
    return ast.unparse(_with(node, **bare)).partition("\n")[0]


def drawn(packages: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """So many mutants, each as likely as any other."""
    every = [
        make
        for package in packages
        for path in sorted((REPO / "lnat_plugins" / package).rglob("*.py"))
        for make in mutants_of(path)
    ]
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    return [make() for make in chosen]


def suites_for(path: str) -> list[list[str]]:
    """What is run for a changed module, in order: its own tests, its package's, and some others."""
    own = _own_tests(path)
    folder, package = own.parent, Path("tests", *own.parts[1:2])
    first = [[str(own)]] if (REPO / own).is_file() else []
    importing = [str(one) for one in _naming(path, "tests", "test_*.py") if one.parent != folder]
    around = [[str(one)] for one in dict.fromkeys((folder, package))]
    users = dict.fromkeys(_own_tests(str(one)) for one in _naming(path, "lnat_plugins", "*.py"))
    ran = {*importing, *THROUGH_EVERYTHING}
    apart = [
        [str(one)]
        for one in users
        if (REPO / one).is_file() and package not in one.parents and str(one) not in ran
    ]
    found = [*first, importing, *around, [*THROUGH_EVERYTHING], *apart]
    return [one for one in found if one]


def _own_tests(path: str) -> Path:
    """Where the tests of a module are, if it has any of its own."""
    _, *folders, name = Path(path).parts
    return Path("tests", *folders, f"test_{name}")


def _naming(path: str, folder: str, files: str) -> list[Path]:
    """The files in a folder that import a module, in their order."""
    module = ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")
    named = re.compile(rf"\b{re.escape(module)}\b(?!\.)")
    found = [one.relative_to(REPO) for one in sorted((REPO / folder).rglob(files))]
    return [one for one in found if named.search((REPO / one).read_text(encoding="utf-8"))]


def is_killed(mutant: Mutant, tree: Path) -> bool:
    """Whether a test fails; the tree is left as it was."""
    target = tree / mutant.path
    before = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    environment = {
        **os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    environment.pop("LNAT_TEST_INSTALLED", None)
    try:
        for tests in suites_for(mutant.path):
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
            try:
                done = subprocess.run(
                    command, cwd=tree, env=environment, capture_output=True, timeout=_SECONDS,
                    check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return True
            if done.returncode not in (0, 5):  # 5: no tests there
                return True
        return False
    finally:
        target.write_text(before, encoding="utf-8")


def copied(tree: Path) -> Path:
    """A copy of the repository in which modules can be changed."""
    ignored = shutil.ignore_patterns(".*", "out", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(REPO, tree, ignore=ignored, symlinks=True)
    for name in ("hooks", "tasks"):
        (tree / "lnat_plugins" / name).symlink_to(Path("..") / name)
    if (REPO.parent / "shared").is_dir():
        (tree.parent / "shared").symlink_to(REPO.parent / "shared")
    return tree


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Which small changes of the code no test sees.")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--packages", default=",".join(PACKAGES), help="default: %(default)s")
    args = parser.parse_args(arguments)
    equivalent = set(yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")) or ())
    chosen = drawn(args.packages.split(","), args.count, args.seed)
    survived, without_effect = [], 0
    with tempfile.TemporaryDirectory() as name:
        tree = copied(Path(name) / "repository")
        for number, mutant in enumerate(chosen, start=1):
            begin = time.monotonic()
            if mutant.key in equivalent:
                without_effect += 1
                verdict = "changes nothing"
            elif is_killed(mutant, tree):
                verdict = "killed"
            else:
                verdict = "SURVIVED"
                survived.append(mutant)
            where = f"{mutant.path}:{mutant.line}"
            print(
                f"{number}: {verdict} ({time.monotonic() - begin:.0f} s) {where}: {mutant.before}"
                f" -> {mutant.after}",
                flush=True,
            )
    counted = len(chosen) - without_effect
    killed = counted - len(survived)
    print(
        f"seed {args.seed}: {killed} of {counted} killed ({killed / max(1, counted):.1%}),"
        f" {without_effect} change nothing"
    )
    for mutant in survived:
        print(f"survived: {mutant.key}")
    return 0 if killed >= ENOUGH * counted else 1


if __name__ == "__main__":
    sys.exit(main())
