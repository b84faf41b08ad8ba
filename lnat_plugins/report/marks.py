"""How a teacher is drawn: a colour and a shape of its own, so that neither is needed alone.

Knows nothing of scores and places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lnat_plugins.report.axes import at, clipped, text
from lnat_plugins.report.markup import Markup, tag

COLOURS: Final = 8
"""Colours t0 … t7 and w0 … w7 of the page's style; one more than the shapes, so that pairs
repeat late."""

_LEGEND: Final = 36
"""Letters of a name in a legend."""

# In units of the radius, from the middle: what follows `M x y` in a path.
_SHAPES: Final[tuple[tuple[tuple[str, tuple[float, ...]], ...], ...]] = (
    (("m", (-1, 0)), ("a", (1, 1)), (" 0 1 0 ", (2, 0)), ("a", (1, 1)), (" 0 1 0 ", (-2, 0))),
    (("m", (-0.9, -0.9)), ("h", (1.8,)), ("v", (1.8,)), ("h", (-1.8,))),
    (("m", (0, -1.2)), ("l", (1.2, 2.2)), ("h", (-2.4,))),
    (("m", (0, -1.4)), ("l", (1.4, 1.4)), ("l", (-1.4, 1.4)), ("l", (-1.4, -1.4))),
    (("m", (0, 1.2)), ("l", (1.2, -2.2)), ("h", (-2.4,))),
    (("m", (-1.2, -0.5)), ("h", (2.4,)), ("v", (1,)), ("h", (-2.4,))),
    (("m", (-0.5, -1.2)), ("h", (1,)), ("v", (2.4,)), ("h", (-1,))),
)


class Marks:
    """The look of each teacher, by its place in the list; the same in every plot.

    Of lines that are no teachers (`plain`) the colours are black and grey, and the strokes differ.
    """

    def __init__(self, teachers: Sequence[str], *, plain: bool = False) -> None:
        self._letter = "w" if plain else "t"
        self._place: Mapping[str, int] = {name: place for place, name in enumerate(teachers)}

    def colour(self, teacher: str) -> str:
        """The class that sets its colour."""
        return f"{self._letter}{self._place[teacher] % COLOURS}"

    def path(self, teacher: str, places: Iterable[tuple[float, float]], radius: float) -> str:
        """Its shape at each place, as the data of one SVG path."""
        strokes = _SHAPES[self._place[teacher] % len(_SHAPES)]
        shape = "".join(pen + " ".join(at(radius * n) for n in by) for pen, by in strokes) + "z"
        return "".join(f"M{at(x)} {at(y)}{shape}" for x, y in places)

    def dot(self, teacher: str, x: float, y: float, radius: float = 5) -> Markup:
        """Its shape, once, filled."""
        return tag(
            "path", d=self.path(teacher, [(x, y)], radius), class_=f"dot {self.colour(teacher)}"
        )

    def inline(self, teacher: str) -> Markup:
        """Its shape as a picture beside its name in running text."""
        return tag(
            "svg", self.dot(teacher, 8, 8), viewBox="0 0 16 16", class_="key", aria_hidden="true"
        )

    def legend(self, y: float, left: float, right: float) -> tuple[Markup, float]:
        """All teachers in lines from `y` down, and the height that they take."""
        parts = []
        x, top = left, y
        for name in self._place:
            label = clipped(name, _LEGEND)
            room = 34 + 8.2 * min(len(name), _LEGEND)
            if x > left and x + room > right:
                x, y = left, y + 20
            parts += [self.dot(name, x + 6, y), text(x + 17, y + 4, label)]
            x += room
        return tag("g", *parts), y + 20 - top
