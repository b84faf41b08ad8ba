"""The stories of the word problems: tables of templates, and nothing else.

Knows nothing of how a problem is put together (`_word_problems`) or answered.
"""

# fmt: off
from __future__ import annotations

from typing import Final

from _word_problems import Family, Move

_SHE: Final = "Mia Ana Priya Lena Zoe Ruth Nora Ivy Clara Aisha Hana Maya Olga Tess June".split()
_HE: Final = "Tom Omar Ben Luis Kenji Sam Paul Ravi Noah Leo Hugo Amir Felix Dan Otto".split()
CAST: Final = tuple([(name, "she") for name in _SHE] + [(name, "he") for name in _HE])

SHOPPING: Final = Family(
    "shopping",
    {
        "things": ("notebooks", "shirts", "plates", "candles", "books", "lamps", "mugs", "scarves"),
        "extras": ("pens", "cards", "bags", "spoons", "towels", "maps"),
    },
    Move(
        "*", (3, 15), "{name} [buys|orders|picks out] {m} {things} at {n} dollars each.",
        "{name} [buys|gets] {m} {things} for {n} dollars each", "the cost of the {things}",
        "How many dollars does {name} spend?", "dollars", lots=(2, 9),
    ),
    (
        Move(
            "+", (2, 9), "{She} also [buys|takes] {m} {extras} for {n} dollars each.",
            "the {extras} [are added to the bill|go on the same bill]", "the bill so far",
            "How [much is the bill|many dollars is the bill] now?", "dollars", (2, 8),
            "{she} takes {m} {extras} at {n} dollars each", "the cost of the {extras}",
        ),
        Move(
            "-", (3, 20), "A coupon takes {n} dollars off the [bill|price].",
            "the coupon takes {n} dollars off", "the bill after the coupon",
            "How many dollars does {name} pay after the coupon?", "dollars",
        ),
        Move(
            "+", (4, 15), "[Delivery costs|The shop charges] {n} dollars [more|extra].",
            "there is an extra charge of {n} dollars", "the bill with the charge",
            "How many dollars does {name} pay in all?", "dollars",
        ),
        Move(
            "/", (2, 4), "{She} [splits|shares] the bill equally with friends, {n} people in all.",
            "the bill is split among {n} people", "the share of each person",
            "How many dollars does each person pay?", "dollars", last=True,
        ),
    ),
)
TRAVEL: Final = Family(
    "travel",
    {
        "ride": ("by train", "by bus", "by car", "on a motorbike"),
        "place": ("coast", "lake", "city"),
    },
    Move(
        "*", (30, 60), "{name} travels to the {place} {ride} for {m} hours at {n} miles an hour.",
        "{name} travels for {m} hours at {n} miles an hour", "the distance covered",
        "How many miles does {name} travel?", "miles", lots=(2, 4),
    ),
    (
        Move(
            "+", (5, 12), "Then {she} rides a bicycle for {m} hours at {n} miles an hour.",
            "the bicycle ride [is added|comes on top]", "the distance so far",
            "How many miles has {name} covered?", "miles", (2, 5),
            "{she} rides for {m} hours at {n} miles an hour", "the length of the bicycle ride",
        ),
        Move(
            "+", (3, 30), "A detour [adds|makes the way longer by] {n} miles.",
            "the detour adds {n} miles", "the distance with the detour",
            "How long is the whole way in miles?", "miles",
        ),
        Move(
            "-", (5, 40), "[By mistake|Without need], {n} of these miles lead the wrong way.",
            "{n} miles lead the wrong way", "the distance that counts",
            "How many of the miles count?", "miles",
        ),
        Move(
            "*", (2, 3), "{name} makes the whole trip {n} times [in a month|that summer].",
            "the trip is made {n} times", "the distance of all trips",
            "How many miles are all the trips together?", "miles", last=True,
        ),
        Move(
            "/", (2, 5), "{She} walks the same distance [in|over] {n} equal parts, one a week.",
            "the distance is cut into {n} equal parts", "the length of one part",
            "How many miles long is each part?", "miles", last=True,
        ),
    ),
)
SHARING: Final = Family(
    "sharing",
    {
        "things": ("sweets", "stickers", "grapes", "marbles", "shells", "stamps", "cookies"),
        "pack": ("bags", "jars", "boxes", "tins"),
    },
    Move(
        "*", (4, 20), "{name} has {m} {pack} with {n} {things} in each.",
        "{name} has {m} {pack} of {n} {things}", "the number of {things} at the start",
        "How many {things} does {name} have?", lots=(3, 9),
    ),
    (
        Move(
            "-", (2, 9), "{She} gives {n} {things} to each of {m} [friends|classmates|cousins].",
            "the {things} given away [are taken off|leave the pile]", "the number of {things} left",
            "How many {things} are left?", "{things}", (2, 6),
            "{m} people get {n} {things} each", "the number of {things} given away",
        ),
        Move(
            "+", (5, 30), "{other} [brings|hands over] {n} more {things}.",
            "{other} brings {n} more", "the number of {things} now",
            "How many {things} are there now?",
        ),
        Move(
            "-", (3, 20), "Then {name} loses {n} {things}.",
            "{n} {things} are lost", "the number of {things} that remain",
            "How many {things} does {name} still have?",
        ),
        Move(
            "/", (2, 6), "The {things} are [shared|divided] equally among {n} children.",
            "{n} children share equally", "the number of {things} for each child",
            "How many {things} does each child get?", last=True,
        ),
    ),
)
PRODUCTION: Final = Family(
    "production",
    {
        "things": ("chairs", "toys", "clocks", "bricks", "bottles", "ropes", "tiles"),
        "site": ("workshop", "factory", "mill"),
    },
    Move(
        "*", (5, 25), "A {site} run by {name} makes {n} {things} an hour for {m} hours.",
        "the {site} runs for {m} hours and makes {n} {things} an hour",
        "the number of {things} made", "How many {things} are made?", lots=(3, 9),
    ),
    (
        Move(
            "-", (3, 25), "{n} of the {things} [fail the test|are broken].",
            "{n} {things} [are no good|have to go]", "the number of good {things}",
            "How many good {things} are there?",
        ),
        Move(
            "+", (3, 12), "A second line adds {m} crates of {n} {things}.",
            "the second line's {things} are added", "the number of {things} from both lines",
            "How many {things} are there from both lines?", "{things}", (2, 7),
            "the second line fills {m} crates with {n} {things} each",
            "the number of {things} in the crates",
        ),
        Move(
            "+", (6, 40), "There are {n} {things} [left from the day before|already in the store].",
            "{n} {things} were there before", "the number of {things} in store",
            "How many {things} are in the store?",
        ),
        Move(
            "/", (2, 6), "They are loaded equally onto {n} [trucks|wagons].",
            "{n} loads are equal", "the number of {things} in each load",
            "How many {things} are in each load?", last=True,
        ),
        Move(
            "*", (2, 4), "Each one sells for {n} dollars.",
            "each one sells for {n} dollars", "the money taken",
            "How many dollars are taken?", "dollars", last=True,
        ),
    ),
)
