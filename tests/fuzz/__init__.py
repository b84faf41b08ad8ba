"""Random input for everything that is read from outside: it works, or it is one line of an error.

    python -m tests.fuzz 20000 --seed 1      (`make fuzz`)
    python -m tests.fuzz 20000 --guided      (`make fuzz GUIDED=1`)

Good input is changed at random places by values that are hard to hold: nothing, halves of
characters, terminal escapes, numbers beyond floats, lists for text. Each kind of input is a
function of a `random.Random`, so that an input is known by its kind and its number; in the guided
form, where atheris looks for input that reaches other lines, by the bytes that are drawn from.
"""
