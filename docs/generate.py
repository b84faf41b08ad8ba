"""Writes the tables of the pages that the code knows: keys, strategies, metrics, commands, names.

    python docs/generate.py            write them
    python docs/generate.py --check    name the pages that lag behind; exit code 1 if there are any

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of `BLOCKS`.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import study_tables
from pydantic import BaseModel

from lnat_plugins.cli import main as lnat
from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.metrics import METRICS, Metric
from lnat_plugins.selection.base import REQUIRED
from lnat_plugins.selection.formats import FORMATS
from lnat_plugins.selection.spec import SelectionKeys
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.study.spec import EvaluationKeys, StudyKeys
from lnat_plugins.teacher_set.columns import COLUMN_MODELS, MEANING, plan_columns
from lnat_plugins.teacher_set.keys import BudgetKeys, NaturalnessKeys, TaskKeys

DOCS: Final = Path(__file__).parent
_MARKED: Final = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WIDTH: Final = 88


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in one) + " |" for one in lines
    )


# keys of YAML files

_NAMES: Final[Mapping[str, str]] = {
    "strategy": "a name", "metric": "a name", "window": "a window", "windows": "windows",
    "plugins": "names", "class": "a class", "include": "file names", "metadata": "a mapping",
    "dataset_path": "text, a list or a mapping", "num_fewshot": "0 or null",
}  # fmt: skip
"""Kinds of values that the annotations do not say in words."""


def kind(annotation: Any) -> str:
    """A type in words: `bool` -> "true or false"."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(one) for one in inner if one is not type(None)))
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner)
    plain = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text",
        tuple: "a list", list: "a list", dict: "a mapping",
    }  # fmt: skip
    for one, words in plain.items():
        if one in (annotation, origin):
            return words
    return "a mapping" if inspect.isclass(origin) and issubclass(origin, Mapping) else "any"


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the text below it in the model's source."""
    (body,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def default(value: Any) -> str:
    """A default as YAML writes it; – for what is not set."""
    if value is None or value in ("", (), {}, []):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str) and "\n" in value:
        return "`" + '"' + value.replace("\n", "\\n") + '"' + "`"
    return f"`{value}`"


def keys(model: type[BaseModel]) -> str:
    """The table of a model's keys; those without a text are named below it."""
    told = descriptions(model)
    rows = []
    for name, field in model.model_fields.items():
        if name in told:
            key = field.alias or name
            words = _NAMES.get(key) or kind(field.annotation)
            shown = "needed" if field.is_required() else default(field.default)
            rows.append((f"`{key}`", words, shown, told[name]))
    text = table(("key", "value", "default", "meaning"), rows)
    rest = [f"`{name}`" for name in model.model_fields if name not in told]
    return text + (f"\n\nKeys of lm-eval's that are not read: {', '.join(rest)}." if rest else "")


def columns() -> str:
    """The fields under `columns:`, with the columns they are read from and their layouts."""
    rows = []
    for name, meaning in MEANING.items():
        layouts = [one for one, model in COLUMN_MODELS.items() if name in model.model_fields]
        found: dict[tuple[str, ...], list[str]] = {}
        for layout in layouts:
            plan = plan_columns(layout, {}).fields.get(name)
            found.setdefault(plan.columns if plan else (), []).append(layout)
        ordered = sorted(found.items(), key=lambda one: -len(one[1]))
        words = [
            (", ".join(f"`{column}`" for column in read) or "–")
            + (f" ({', '.join(where)})" if number else "")
            for number, (read, where) in enumerate(ordered)
        ]
        every = "all" if len(layouts) == len(COLUMN_MODELS) else ", ".join(layouts)
        rows.append((f"`{name}`", "; ".join(words), every, meaning))
    return table(("field", "read from", "layouts", "value"), rows)


# selection


def strategies() -> str:
    """The built-in strategies."""
    rows = [
        (
            f"`{one.name}`", one.description, ", ".join(f"`{name}`" for name in one.options),
            ", ".join(sorted(one.needs)) or "nothing", one.source,
        )
        for one in STRATEGIES.values()
    ]  # fmt: skip
    return table(("strategy", "chooses", "options", "needs", "source"), rows)


def options() -> str:
    """Their options."""
    rows = [
        (
            f"`{name}`", f"`{one.name}`",
            "needed" if option.default is REQUIRED else default(option.default), option.help,
        )
        for one in STRATEGIES.values()
        for name, option in one.options.items()
    ]  # fmt: skip
    return table(("option", "of", "default", "what it is"), rows)


# metrics

_FORMULA: Final[Mapping[str, str]] = {
    "local_naturalness": "mean over steps of the step's mean log p, given the window's steps",
    "global_naturalness": "mean over tokens of log p",
    "global_step_naturalness": "mean over steps of the step's mean log p",
    "aslec_drop": "mean log p over all tokens but the first of each step",
    "aslec_drop2": "the same without the first two of each step",
    "aslec_casl": "M − g·F, with g from a regression over all responses",
    "aslec_casl_by_teacher": "M − g·F, with g from a regression over the teacher's responses",
    "rsr": "Σ min(rank, 100) / Σ NLL",
    "lark": "2·B / ΣL − L·ΣB / (ΣL)², sums over the prompt's responses",
    "lark_top50": "the same, B from the 50 most probable tokens",
    "scas": "½·N_A²·cos_AA + ½·N_A·N_Q·cos_AQ, with N mean NLLs and cos mean cosines of "
    "activations, response A, prompt Q",
    "perplexity": "exp(mean over tokens of −log p)",
    "entropy": "mean over tokens of −Σ p log p",
    "ifd": "mean NLL with the prompt / mean NLL without it",
    "car": "reward / (1 + 3·NLL), NLL the mean over tokens",
    "masters": "(r − mean r) / SD of r over the prompt's responses, r = 1[correct] + d, d ease of "
    "transfer",
    "contrast": "mean log p of one student − mean log p of another",
    "strategy_count": "distinct reasoning strategies",
    "strategy_density": "the same per 1,000 tokens",
    "disagreement": "1 − share of pairs of teachers whose final answers agree",
    "n_tokens": "n",
    "n_steps": "p",
    "mean_step_tokens": "n / p",
    "first_token_ratio": "F = p / n",
    "random": "uniform in [0, 1), from a fixed seed",
}  # fmt: skip
_PAGE: Final[Mapping[str, str]] = {
    "aslec_drop": "aslec", "aslec_drop2": "aslec", "aslec_casl": "aslec",
    "aslec_casl_by_teacher": "aslec", "lark_top50": "lark", "n_tokens": "controls",
    "n_steps": "controls", "mean_step_tokens": "controls", "first_token_ratio": "controls",
    "random": "controls", "strategy_count": "natural_thoughts",
    "strategy_density": "natural_thoughts", "disagreement": "natural_thoughts",
}  # fmt: skip
_COST: Final[Mapping[str, str]] = {
    "unprompted": "the response read once more, without its prompt",
    "capped_rank": "a count over the vocabulary at each token",
    "brier": "a sum over the vocabulary at each token",
    "brier_top50": "the 50 most probable tokens at each token",
    "entropy": "a sum over the vocabulary at each token",
    "cosine_self": "sums of activations; the prompt read once more",
}
"""Of the statistics that cost more than a look at log-probabilities that are there."""


def cost(metric: Metric) -> str:
    """What computing it adds to reading the response."""
    if metric.reads == "counts":
        return "a search of the text" if _PAGE.get(metric.name) == "natural_thoughts" else "none"
    if OTHER_LOG_PROB in metric.needs:
        return "global pass of two students"
    own = [words for name, words in _COST.items() if name in metric.needs]
    if own:
        return "global pass; " + "; ".join(own)
    return "global pass" if metric.reads == "global" else "k + 1 times the response"


def declared(metric: Metric) -> dict[str, str]:
    """What a metric says of itself, in words."""
    better = {True: "higher", False: "lower", None: "–"}[metric.higher_is_better]
    window = {"window": "any", "global": "`global`", "counts": "none"}[metric.reads]
    return {
        "unit": metric.unit,
        "better": better,
        "scope": metric.scope,
        "window": window,
        "needs": ", ".join(f"`{name}`" for name in sorted(metric.needs)) or "–",
        "cost": cost(metric),
        "source": metric.source,
    }


def metrics() -> str:
    """All built-in metrics, each with its page."""
    rows = [
        (f"[`{name}`]({_PAGE.get(name, name)}.md)", _FORMULA[name], *declared(metric).values())
        for name, metric in METRICS.items()
    ]
    head = ("metric", "formula", *declared(next(iter(METRICS.values()))))
    return table(head, rows)


def metric_page(page: str) -> str:
    """What the metrics of one page say of themselves, a column each."""
    of_page = [metric for name, metric in METRICS.items() if _PAGE.get(name, name) == page]
    told = [declared(metric) for metric in of_page]
    for one, metric in zip(told, of_page, strict=True):
        ratio = metric.aggregate == "ratio_of_means"
        one["teacher's figure"] = "ratio of means" if ratio else "mean over prompts"
    rows = [(name, *(one[name] for one in told)) for name in told[0]]
    return table(("", *(f"`{metric.name}`" for metric in of_page)), rows)


# commands and names


def help_of(command: str) -> str:
    """What `lnat COMMAND --help` prints, of that width on every terminal."""
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_WIDTH)
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            lnat([*command.split(), "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return printed.getvalue().rstrip()


def commands() -> str:
    """The help of every command that has one of its own."""
    names = re.findall(r"^    (\w+)  ", help_of(""), re.MULTILINE)
    assert len(names) > 5
    parts = [f"```text\n{help_of('')}\n```"]
    for name in names:
        if name in ("eval", "sft"):
            continue  # they hand `--help` on
        parts.append(f"## lnat {name}\n\n```text\n{help_of(name)}\n```")
    return "\n\n".join(parts)


API: Final[Mapping[str, tuple[str, ...]]] = {
    "Scoring, ranking, choosing": (
        "lnat_plugins.load_teacher_set", "lnat_plugins.init_teacher_set",
        "lnat_plugins.check_teacher_set", "lnat_plugins.estimate_cost", "lnat_plugins.score",
        "lnat_plugins.SglangServer",
        "lnat_plugins.score_on_ray", "lnat_plugins.ScoredOnRay", "lnat_plugins.read_scores",
        "lnat_plugins.read_all_scores", "lnat_plugins.Scores", "lnat_plugins.Selection",
        "lnat_plugins.gradient_scores", "lnat_plugins.GradientScores",
        "lnat_plugins.nce_weights", "lnat_plugins.NceWeights",
        "lnat_plugins.run_study", "lnat_plugins.run_studies",
    ),
    "Training": (
        "lnat_plugins.select_dataset", "lnat_plugins.hooks.trl_sft.NaturalSFTTrainer",
        "lnat_plugins.hooks.trl_sft.NaturalSelectionMixin",
        "lnat_plugins.hooks.trl_sft.NaturalnessCallback", "lnat_plugins.hooks.trl_sft.attach",
    ),
    "What these give": (
        "lnat_plugins.teacher_set.TeacherSet", "lnat_plugins.ranking.Ranking",
        "lnat_plugins.ranking.Comparison", "lnat_plugins.ranking.Leaderboard",
        "lnat_plugins.ScoredResponse", "lnat_plugins.Candidate",
    ),
    "Plugins": (
        "lnat_plugins.Registry", "lnat_plugins.Metric", "lnat_plugins.UndefinedError",
        "lnat_plugins.Splitter", "lnat_plugins.Strategy", "lnat_plugins.Loader",
    ),
    "Errors": (
        "lnat_plugins.errors.LnatError", "lnat_plugins.errors.ConfigError",
        "lnat_plugins.errors.DataError", "lnat_plugins.errors.StudentError",
        "lnat_plugins.errors.PluginWarning",
    ),
}  # fmt: skip
"""Every public name, by what it is for. `hookimpl` is a mark of pluggy's, told in plugins.md."""


def api() -> str:
    """The public names with their first lines, then what their docstrings say."""
    parts = []
    for title, names in API.items():
        rows, blocks = [], []
        for name in names:
            module, _, short = name.rpartition(".")
            thing = getattr(__import__(module, fromlist=[short]), short)
            first = (inspect.getdoc(thing) or "").partition("\n")[0]
            rows.append((f"`{name}`", first))
            is_class = inspect.isclass(thing)
            auto = f".. auto{'class' if is_class else 'function'}:: {name}"
            members = "\n   :members:" if is_class else ""
            blocks.append(f"```{{eval-rst}}\n{auto}{members}\n```")
        parts += [f"## {title}", table(("name", ""), rows), *blocks]
    return "\n\n".join(parts)


def formats() -> str:
    """What `--format` writes, for whom."""
    rows = [
        (
            f"`{one.name}`", one.trainer, ", ".join(f"`{file}`" for file in one.files),
            one.holds, one.weight or "–",
        )
        for one in FORMATS.values()
    ]  # fmt: skip
    head = ("format", "for", "files", "the data file holds", "where a row's weight is read")
    return table(head, rows)


def measured(shown: Callable[[str], study_tables.Rows], name: str) -> str:
    """A table of a study's results."""
    return table(*shown(name))


BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "task-keys": partial(keys, TaskKeys),
    "naturalness-keys": partial(keys, NaturalnessKeys),
    "budget-keys": partial(keys, BudgetKeys),
    "columns": columns,
    "selection-keys": partial(keys, SelectionKeys),
    "strategies": strategies,
    "options": options,
    "formats": formats,
    "study-keys": partial(keys, StudyKeys),
    "evaluation-keys": partial(keys, EvaluationKeys),
    "metrics": metrics,
    **{
        f"metric-{page}": partial(metric_page, page)
        for page in dict.fromkeys(_PAGE.get(name, name) for name in METRICS)
    },
    "commands": commands,
    "api": api,
    **{
        f"{name}-{run}": partial(measured, shown, run)
        for run in study_tables.runs()
        for name, shown in (
            ("students", study_tables.students),
            ("teachers", study_tables.teachers),
            ("selections", study_tables.selections),
            ("study-metrics", study_tables.metrics),
            ("study-regrets", study_tables.regrets),
            ("gains", study_tables.gains),
        )
        if shown(run)[1]  # a run without selections has no table of them
    },
}


def generated(text: str) -> str:
    """A page with its blocks as they should be."""
    return _MARKED.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n{found[3]}", text)


def pages() -> dict[Path, str]:
    """Every page that has blocks -> its text as it should be."""
    found = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    return {path: generated(text) for path, text in found.items() if _MARKED.search(text)}


def main(arguments: list[str]) -> int:
    """Write the pages, or name those that differ."""
    behind = [path for path, text in pages().items() if path.read_text(encoding="utf-8") != text]
    for path in behind:
        print(f"{'behind' if '--check' in arguments else 'wrote'}: {path.relative_to(DOCS)}")
        if "--check" not in arguments:
            path.write_text(pages()[path], encoding="utf-8")
    return int("--check" in arguments and bool(behind))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
