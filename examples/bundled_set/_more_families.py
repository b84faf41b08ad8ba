"""The other half of the stories: tables of templates, and nothing else.

Knows nothing of how a problem is put together (`_word_problems`) or answered.
"""

# fmt: off
from __future__ import annotations

from typing import Final

from _families import PRODUCTION, SHARING, SHOPPING, TRAVEL
from _word_problems import Family, Move

AGES: Final = Family(
    "ages",
    {"kin": ("aunt", "uncle", "cousin", "neighbour", "teacher")},
    Move(
        "+", (3, 15), "{name} is {m} years old, and {other} is {n} years older.",
        "{other} is {n} years older than {name}", "the age of {other}",
        "How old is {other}?", "years", lots=(5, 14),
    ),
    (
        Move(
            "*", (2, 3), "The {kin} is {n} times as old as the last one [named|mentioned].",
            "the {kin} is {n} times as old", "the age of the {kin}",
            "How old is the {kin}?", "years",
        ),
        Move(
            "-", (2, 9), "{name}'s sister is {n} years younger than that.",
            "the sister is {n} years younger", "the age of the sister",
            "How old is the sister?", "years",
        ),
        Move(
            "+", (10, 60), "A tree in the garden is {n} years older still.",
            "the tree is {n} years older", "the age of the tree",
            "How old is the tree?", "years",
        ),
        Move(
            "+", (2, 20), "[All this was|These were the ages] {n} years ago.",
            "{n} years have passed", "the age today",
            "How old is the last one today?", "years",
        ),
        Move(
            "/", (2, 4), "The dog's age is that number divided by {n}.",
            "the dog's age is that number divided by {n}", "the age of the dog",
            "How old is the dog?", "years", last=True,
        ),
    ),
)
SAVINGS: Final = Family(
    "savings",
    {"job": ("mowing lawns", "walking dogs", "washing cars", "babysitting"),
     "goal": ("bicycle", "camera", "guitar", "tent", "telescope")},
    Move(
        "*", (6, 30), "{name} saves {n} dollars a week for {m} weeks to buy a {goal}.",
        "{name} saves {n} dollars in each of {m} weeks", "the amount saved",
        "How many dollars does {name} save?", "dollars", lots=(3, 9),
    ),
    (
        Move(
            "+", (5, 15), "{She} earns {n} dollars an hour for {m} hours of {job}.",
            "the pay goes into the savings", "the savings with the pay",
            "How many dollars does {name} have then?", "dollars", (2, 7),
            "{she} works for {m} hours at {n} dollars an hour", "the pay for {job}",
        ),
        Move(
            "-", (4, 35), "{She} [spends|uses] {n} dollars on a present for {other}.",
            "the present costs {n} dollars", "the money left",
            "How many dollars are left?", "dollars",
        ),
        Move(
            "+", (10, 50), "{her} [grandmother|uncle] gives {n} dollars [as a gift|for the plan].",
            "a gift of {n} dollars comes in", "the savings with the gift",
            "How many dollars has {name} now?", "dollars",
        ),
        Move(
            "/", (2, 5), "{She} puts the money into {n} equal envelopes.",
            "there are {n} equal envelopes", "the money in each envelope",
            "How many dollars are in each envelope?", "dollars", last=True,
        ),
    ),
)
GARDEN: Final = Family(
    "garden",
    {"things": ("carrots", "tulips", "beans", "melons", "roses", "onions", "peppers"),
     "pest": ("rabbits", "snails", "birds")},
    Move(
        "*", (4, 20), "{name} plants {m} rows of {things} with {n} in each row.",
        "there are {m} rows with {n} {things} in each", "the number of {things} planted",
        "How many {things} are planted?", lots=(3, 9),
    ),
    (
        Move(
            "-", (3, 20), "The {pest} [eat|ruin] {n} of them.",
            "the {pest} take {n}", "the number of {things} that survive",
            "How many {things} survive?",
        ),
        Move(
            "+", (3, 9), "{other} plants {m} more rows of {n}.",
            "the new rows are added", "the number of {things} in the garden",
            "How many {things} are in the garden?", "{things}", (2, 6),
            "{other} plants {m} rows of {n}", "the number of {things} in the new rows",
        ),
        Move(
            "-", (2, 6), "{name} picks {n} {things} for each of {m} neighbours.",
            "the {things} picked are gone", "the number of {things} after the picking",
            "How many {things} are still in the ground?", "{things}", (2, 6),
            "{m} neighbours get {n} {things} each", "the number of {things} picked",
        ),
        Move(
            "/", (2, 6), "The harvest is tied into bunches of {n}.",
            "each bunch holds {n}", "the number of bunches",
            "How many bunches are there?", "bunches", last=True,
        ),
        Move(
            "*", (2, 4), "They are sold for {n} dollars each.",
            "each is sold for {n} dollars", "the money earned",
            "How many dollars does {name} earn?", "dollars", last=True,
        ),
    ),
)
READING: Final = Family(
    "reading",
    {"book": ("novel", "history book", "travel book", "book of tales")},
    Move(
        "*", (6, 30), "{name} reads {n} pages of a {book} a day for {m} days.",
        "{name} reads {n} pages on each of {m} days", "the number of pages read",
        "How many pages does {name} read?", "pages", lots=(3, 9),
    ),
    (
        Move(
            "+", (5, 15), "At the weekend {she} reads {m} chapters of {n} pages.",
            "the chapters are added", "the number of pages so far",
            "How many pages is that so far?", "pages", (2, 5),
            "{she} reads {m} chapters of {n} pages each", "the number of pages in the chapters",
        ),
        Move(
            "-", (3, 20), "{n} of the pages are only pictures and do not count.",
            "{n} pages do not count", "the number of pages with words",
            "How many pages with words has {name} read?", "pages",
        ),
        Move(
            "+", (8, 40), "{other} has read {n} pages more [than that|than {name}].",
            "{other} has read {n} pages more", "the number of pages {other} has read",
            "How many pages has {other} read?", "pages",
        ),
        Move(
            "*", (2, 3), "A third friend has read {n} times as many pages.",
            "the friend has read {n} times as many", "the number of pages the friend has read",
            "How many pages has the friend read?", "pages", last=True,
        ),
        Move(
            "/", (2, 5), "The pages fall into {n} equal parts.",
            "there are {n} equal parts", "the number of pages in each part",
            "How many pages are in each part?", "pages", last=True,
        ),
    ),
)
FAMILIES: Final = (SHOPPING, TRAVEL, SHARING, PRODUCTION, AGES, SAVINGS, GARDEN, READING)
