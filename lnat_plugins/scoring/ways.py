"""Which windows are recorded beside those asked for, and how a sample of the prompts is scored too.

The windows below the widest come out of its runs, but for the last steps of a response, which need
runs of their own: 2 % more tokens for 80 steps and a window of 4, three times as many for 5 steps.
So they are recorded for every response where that is cheap, else for a sample of the prompts. Other
steps, or a window that grows with the trace, need another reading: on the sample alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from lnat_plugins.steps import SPLITTERS, StepSpec
from lnat_plugins.steps.windows import Pair, Window, plan_runs

SAMPLE: Final = 20
"""Prompts that are scored in further ways."""

CHEAP: Final = 0.15
"""More steps to read for the narrower windows than this share: they are recorded on the sample."""

_CHARACTERS_A_TOKEN: Final = 4


def narrower_are_cheap(texts: Iterable[str], spec: StepSpec, windows: Sequence[Window]) -> bool:
    """Whether the windows below the widest cost next to nothing for these responses.

    Counted in steps that are read after the prompt, over all responses; no token is needed.
    """
    return cheap_at((_count_steps(text, spec) for text in texts), windows)


def cheap_at(counts: Iterable[int], windows: Sequence[Window]) -> bool:
    """As `narrower_are_cheap`, of responses of so many steps each."""
    widest = max((window.count or 0 for window in windows), default=0)
    asked = more = 0
    for n_steps in counts:
        pairs = {pair for window in windows for pair in window.pairs(n_steps)}
        narrower = {
            pair for count in range(widest) for pair in Window(str(count), count).pairs(n_steps)
        }
        asked += _steps_read(pairs)
        more += _steps_read(pairs | narrower)
    return more <= (1 + CHEAP) * asked


def _count_steps(text: str, spec: StepSpec) -> int:
    """Of tokens, of supplied steps and of a prefix in tokens, a guess."""
    if spec.prefix is not None:
        text = spec.prefix.beginning(text)
    if spec.kind == "tokens":
        found = 1 + len(text) // (_CHARACTERS_A_TOKEN * (spec.n or 1))
    else:
        found = len((spec.splitter or SPLITTERS["sentence"]).cut(text))
    if spec.prefix is not None and spec.prefix.unit == "steps":
        return min(found, spec.prefix.count)
    return found


def _steps_read(pairs: Iterable[Pair]) -> int:
    return sum(run.stop - run.start for run in plan_runs(pairs))


def sampled(n_prompts: int) -> frozenset[int]:
    """The indices of the prompts of the sample, evenly spread; all if there are no more."""
    count = min(SAMPLE, n_prompts)
    return frozenset(i * n_prompts // count for i in range(count))


class Extra(NamedTuple):
    """What is scored beside the windows asked for, by prompt.

    Args:
        sample: indices of the sample.
        everywhere: whether the windows below the widest are recorded for every prompt.
        variants: whether the sample is scored in further ways.
    """

    sample: frozenset[int]
    everywhere: bool
    variants: bool

    def narrower_in(self, prompt: int) -> bool:
        """Whether the windows below the widest are recorded for the prompt of that index."""
        return self.everywhere or prompt in self.sample

    def variants_in(self, prompt: int) -> bool:
        """Whether the prompt of that index is scored in further ways."""
        return self.variants and prompt in self.sample


def extra_of(
    depth: str, n_prompts: int, texts: Sequence[str], spec: StepSpec, windows: Sequence[Window]
) -> Extra:
    """By the setting `sensitivity` and the texts of all responses."""
    if depth == "none":
        return Extra(frozenset(), False, False)
    everywhere = bool(texts) and narrower_are_cheap(texts, spec, windows)
    return Extra(sampled(n_prompts), everywhere, depth == "full")


def ways_on_sample(splitter: str, markers: str, window: Window) -> tuple[str, ...]:
    """The variants of a score: each a setting and its other value.

    Steps by `line` (by `sentence` where they are lines already), and a window of 10 % of the
    preceding steps (of 4 steps where the window is a share already). The other setting of `markers`
    where the records cannot tell what it gives: by `sentence` a tag is part of a step, and the sums
    over tags are recorded.

    Args:
        splitter: as a record names it, such as "sentence@2".
        markers: the setting.
        window: the first one.
    """
    steps = "sentence" if splitter.startswith("line@") else "line"
    ways = [f"steps {steps}", "window 4" if window.share else "window 10%"]
    if markers == "keep":
        ways.append("markers skip")
    elif not splitter.startswith("sentence@"):
        ways.append("markers keep")
    return tuple(ways)
