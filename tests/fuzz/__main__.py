"""See the package."""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.fuzz.drawn import Drawn


class Tries:
    """Tries inputs, prints those that break, and counts.

    Args:
        kinds: from a name to what `attempt` tries.
        slow: seconds that an input may take.
        once: print the first only of those that break at one place.
    """

    def __init__(self, kinds: Any, slow: float, *, once: bool) -> None:
        self._kinds, self._slow, self._once = kinds, slow, once
        self.worked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.broke: Counter[str] = Counter()
        self._places: set[str] = set()
        self._begun = time.monotonic()

    def one(self, kind: str, rng: random.Random, named: str) -> None:
        """Try an input of the kind, `named` so in what is printed."""
        with tempfile.TemporaryDirectory(prefix="lnat-fuzz-") as folder:
            start = time.process_time()
            try:
                line = self._kinds.attempt(kind, rng, Path(folder))
                if (took := time.process_time() - start) > self._slow:
                    raise AssertionError(f"it takes {took:.1f} s")
            except Exception as error:  # noqa: BLE001 - what is looked for
                self.broke[kind] += 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
                if not (self._once and place in self._places):
                    print(f"{kind} {named}: {place}: {str(error)[:200]!r}", flush=True)
                self._places.add(place)
            else:
                (self.refused if line else self.worked)[kind] += 1

    def ended(self, kinds: Sequence[str], seed: int) -> int:
        """Print the counts; the exit code, 1 if any input broke."""
        for kind in kinds:
            counts = self.worked[kind], self.refused[kind], self.broke[kind]
            print("{}: {} work, {} refused, {} break".format(kind, *counts))
        count = self.worked.total() + self.refused.total() + self.broke.total()
        seconds, broke = time.monotonic() - self._begun, self.broke.total()
        print(f"{count} inputs in {seconds:.0f} s, seed {seed}: {broke} break", flush=True)
        return int(bool(broke))


def main(argv: Sequence[str] | None = None) -> int:
    """Inputs of every kind in turn; the kind and number of each that breaks. Exit code 1 if any."""
    about = (sys.modules["tests.fuzz"].__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="fuzz", description=about)
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--kind", help="this kind alone")
    parser.add_argument("--slow", type=float, default=2.0, help="seconds that an input may take")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--guided", action="store_true", help="by coverage; needs atheris")
    parser.add_argument("--bytes", help="the one input of --kind that is drawn from these, in hex")
    args = parser.parse_args(argv)
    if args.guided and not is_there("atheris"):
        print("fuzz: error: --guided needs atheris. Run pip install atheris.", file=sys.stderr)
        return 2
    if args.bytes is not None and not args.kind:
        parser.error("--bytes needs --kind")
    with instrumented() if args.guided else nullcontext():
        from tests.fuzz import kinds
    if args.kind not in (None, *kinds.KINDS):
        parser.error(f"--kind: one of {', '.join(kinds.KINDS)}")
    chosen = [args.kind] if args.kind else [*kinds.KINDS]
    tries = Tries(kinds, args.slow, once=args.guided)
    if args.guided:
        from tests.fuzz.guided import guide

        guide(tries, chosen, args.count, args.seed)  # ends the process
    elif args.bytes is not None:
        tries.one(chosen[0], Drawn(bytes.fromhex(args.bytes)), f"--bytes {args.bytes}")
    else:
        for number in range(args.first, args.first + args.count):
            kind = chosen[number % len(chosen)]
            tries.one(kind, random.Random(f"{args.seed} {kind} {number}"), str(number))
    return tries.ended(chosen, args.seed)


def is_there(module: str) -> bool:
    """Whether it can be imported."""
    return importlib.util.find_spec(module) is not None


def instrumented() -> Any:
    """While it lasts, atheris sees which lines of lnat_plugins run, of what is imported."""
    import atheris

    return atheris.instrument_imports(include=["lnat_plugins"])


if __name__ == "__main__":
    sys.exit(main())
