"""Seconds: of a whole pass, of the student's layers in it, and of the engine's calls of it.

Knows nothing of what is timed. Processor time stands beside the clock's, because other work on
the machine disturbs it less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from unittest.mock import patch

import torch

from lnat_plugins.engine.projection import Projector

T = TypeVar("T")
_MATMULS: Final = 5


class Reading(NamedTuple):
    """One timed pass, in seconds.

    Args:
        wall, cpu: of the pass, by the clock and in processor time over all threads.
        layers, layers_cpu: the part of it inside the student's decoder layers; 0 where these
            are not watched.
        model: the part of `wall` inside the engine's calls of the student and its projection;
            the rest is work on the host. 0 where the engine has no part in it.
    """

    wall: float
    cpu: float
    layers: float = 0.0
    layers_cpu: float = 0.0
    model: float = 0.0

    def stretched(self, by: float) -> Reading:
        """The same for a student with `by` times as many layers, all else alike."""
        more = by - 1
        return self._replace(
            wall=self.wall + more * self.layers,
            cpu=self.cpu + more * self.layers_cpu,
            layers=by * self.layers,
            layers_cpu=by * self.layers_cpu,
            model=self.model + more * self.layers if self.model else 0.0,
        )


class Stopwatch:
    """Adds up wall and processor seconds between `start` and `stop`."""

    def __init__(self, device: str) -> None:
        self.wall = self.cpu = 0.0
        self._device = device

    def start(self, *_: Any) -> None:
        """Also a hook before a module's forward."""
        synchronize(self._device)
        self.wall -= time.perf_counter()
        self.cpu -= time.process_time()

    def stop(self, *_: Any) -> None:
        """Also a hook after it."""
        synchronize(self._device)
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


def synchronize(device: str) -> None:
    """Waits for the device, if it works on its own."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(
    run: Callable[[], T], device: str, layers: Sequence[torch.nn.Module] = ()
) -> tuple[Reading, T]:
    """Runs it once; `layers` are watched one by one, which on a GPU makes the pass wait."""
    whole = Stopwatch(device)
    with _layers_watched(layers, device) as inside, _calls_watched(device) as called:
        whole.start()
        result = run()
        whole.stop()
    return Reading(whole.wall, whole.cpu, inside.wall, inside.cpu, called.wall), result


@contextmanager
def _layers_watched(layers: Sequence[torch.nn.Module], device: str) -> Iterator[Stopwatch]:
    watch = Stopwatch(device)
    handles = [layer.register_forward_pre_hook(watch.start) for layer in layers]
    handles += [layer.register_forward_hook(watch.stop) for layer in layers]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _calls_watched(device: str) -> Iterator[Stopwatch]:
    """The two calls by which both of the engine's paths reach the student."""
    watch = Stopwatch(device)

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*args: Any) -> Any:
            watch.start()
            try:
                return call(*args)
            finally:
                watch.stop()

        return one

    with (
        patch.object(Projector, "measure", watched(Projector.measure)),
        patch.object(Projector, "log_softmax", watched(Projector.log_softmax)),
    ):
        yield watch


class Turn(Protocol):
    """What takes turns: `ready` prepares a pass, untimed, and returns it."""

    @property
    def name(self) -> str:
        """Its name, unlike the others'."""
        ...

    @property
    def ready(self) -> Callable[[], Callable[[], Mapping[Any, float]]]:
        """Makes everything ready and returns what is to be timed."""
        ...


def take_turns(
    sides: Sequence[Turn],
    repeats: int,
    patience: float,
    device: str,
    layers: Sequence[torch.nn.Module] = (),
) -> tuple[dict[str, list[Reading]], dict[str, Mapping[Any, float]]]:
    """The readings of each side by name, and its last sums; in reversed order every other time.

    A side that has taken `patience` seconds has no further turn.
    """
    readings: dict[str, list[Reading]] = {side.name: [] for side in sides}
    sums: dict[str, Mapping[Any, float]] = {}
    for repeat in range(repeats):
        for side in reversed(sides) if repeat % 2 else sides:
            if repeat and sum(reading.wall for reading in readings[side.name]) >= patience:
                continue
            reading, sums[side.name] = timed(side.ready(), device, layers)
            readings[side.name].append(reading)
    return readings, sums


def matmul_rate(device: str, dtype: str, size: int) -> float:
    """Floating-point operations a second of one square product, the best of several."""
    a, b = (torch.rand(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    times = [timed(lambda: a @ b, device)[0].wall for _ in range(1 + _MATMULS)]
    return 2 * size**3 / min(times[1:])
