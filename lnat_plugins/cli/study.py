"""`lnat study`: trains students on each teacher and selection; which score predicted it."""

from __future__ import annotations

import argparse
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lnat_plugins.cli.shared import add_overwrite, command, log, print_result
from lnat_plugins.errors import ConfigError
from lnat_plugins.files import shown

if TYPE_CHECKING:
    from lnat_plugins.study.run import StudyRun
    from lnat_plugins.study.units import Kind, Unit


def declare_study(parser: argparse.ArgumentParser) -> None:
    """`lnat study`: does the units that are not done, then prints the result."""
    parser.description = (
        "Trains each student of the study on every teacher's rows and on every selection, by TRL's "
        "SFTTrainer, evaluates it by lm-eval, and holds the order of the teachers after training "
        "against the order by each metric. What is done already is not done again."
    )
    parser.add_argument(
        "studies", type=Path, nargs="+", metavar="STUDY.yaml",
        help="several are done one after the other, and brought together",
    )  # fmt: skip
    parser.add_argument(
        "--output_path", type=Path, metavar="DIR",
        help="of the units and the result; default: the study's name, beside the YAML. Of several "
        "studies each has a folder in it",
    )  # fmt: skip
    add_overwrite(parser.add_argument)
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="units at once; default: 1"
    )
    parser.add_argument(
        "--unit", action="append", metavar="NAME",
        help="do this unit alone, for a scheduler; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the units that are not done, a command each, and do nothing",
    )
    parser.add_argument("--bootstrap_iters", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=1234, help="of the resampling; default: 1234")
    parser.set_defaults(run=_study)


def _study(args: argparse.Namespace) -> int:
    from lnat_plugins.formatting import plural
    from lnat_plugins.study.run import RESULT
    from lnat_plugins.study.studies import (
        RESULTS,
        check_study_resampling,
        open_studies,
        write_studies,
    )

    if args.jobs < 1:
        raise ConfigError("at least one unit at once", where="--jobs", found=args.jobs)
    check_study_resampling(args.bootstrap_iters, args.seed)
    runs = open_studies(args.studies, args.output_path, args.overwrite)
    wanted = [(run, unit) for run in runs for unit in run.units]
    if args.unit:
        wanted = [_find(name, runs) for name in args.unit]
    left = [(run, unit) for run, unit in wanted if run.done(unit) is None]
    if args.dry_run:
        print_result("".join(_command(run, unit) for run, unit in left))
        return 0
    for run in runs:
        units, own = ([unit for of, unit in each if of is run] for each in (wanted, left))
        if units:
            done = f"{len(units) - len(own)} done"
            log(f"plan: {plural(len(units), 'unit')}, {done}, in {shown(run.folder)}")
            _do(run, own, args.jobs)
    if args.unit:
        return 0
    result = write_studies(runs, iters=args.bootstrap_iters, seed=args.seed)
    several = len(runs) > 1
    print_result(result.to_markdown() if several else result.studies[0].to_markdown())
    for run in runs:
        log(f"wrote {shown(run.folder / RESULT)}")
    if several:
        log(f"wrote {shown(runs[0].folder.parent / RESULTS)}")
    first = runs[0]
    scores = [shown(first.folder_of(unit)) for unit in first.units if unit.kind == "scores"]
    reference = shown(first.folder / RESULT)
    log(f"next: {command('rank', scores, {'metric': 'all', 'reference': reference})}")
    return 0


def _find(name: str, runs: Sequence[StudyRun]) -> tuple[StudyRun, Unit]:
    """The unit of that name in the only study."""
    from lnat_plugins.study.units import find_unit

    if len(runs) > 1:
        raise ConfigError(
            "which study's unit?", where="--unit", found=name, remedy="name one study alone"
        )
    return runs[0], find_unit(name, runs[0].units)


def _command(run: StudyRun, unit: Unit) -> str:
    study, folder = str(run.spec.source), str(run.folder)
    parts = ["lnat", "study", study, "--output_path", folder, "--unit", unit.name]
    return shlex.join(parts) + "\n"


def _do(run: StudyRun, units: Sequence[Unit], jobs: int) -> None:
    from lnat_plugins.formatting import duration
    from lnat_plugins.study.jobs import run_units

    start = time.monotonic()
    seconds: dict[Kind, list[float]] = {}
    waiting = Counter(unit.kind for unit in units)
    for number, (unit, result) in enumerate(run_units(run, units, jobs), 1):
        seconds.setdefault(unit.kind, []).append(result["seconds"])
        waiting[unit.kind] -= 1
        left = seconds_left(waiting, seconds, time.monotonic() - start)
        more = f"; about {duration(left)} left" if left else ""
        log(f"[{number}/{len(units)}] {unit.name}: {_figures(result)}{more}")


def seconds_left(
    waiting: Mapping[Kind, int], done: Mapping[Kind, Sequence[float]], elapsed: float
) -> float:
    """How long the other units take if each takes as long as those of its kind that are done.

    Args:
        waiting: kind of unit -> how many are not done.
        done: kind -> seconds of each that is done.
        elapsed: seconds that these took together, several at once.

    Returns:
        0 where nothing waits, or a unit of a kind of which none is done.
    """
    if any(number and kind not in done for kind, number in waiting.items()):
        return 0.0
    work = sum(number * fmean(done[kind]) for kind, number in waiting.items() if number)
    return work * elapsed / sum(map(sum, done.values()))


def _figures(result: dict[str, Any]) -> str:
    """ "sums .47, 4 seconds"."""
    from lnat_plugins.formatting import duration, number

    found = [
        f"{task} {number(sum(values.values()) / len(values))}"
        for task, values in result.get("values", {}).items()
    ]
    return ", ".join([*found, duration(result["seconds"])])
