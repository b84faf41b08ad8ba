"""Writes a small set of agent traces: word problems that three teachers solve with a calculator.

`terse` calls and answers; `explains` says what each call is for; `checks` calls once more, and at
times gets an error first. What the calculator prints is of varying length. Everything is made up.

    python examples/agents/make_agents.py OUT --tasks 12
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "calculate",
            "description": "The value of an expression of numbers, +, - and *.",
            "parameters": {
                "type": "object",
                "properties": {"expression": {"type": "string"}},
                "required": ["expression"],
            },
        },
    }
]
GREETING = {"role": "assistant", "content": "Hello! What is the problem?"}


def call(expression: str, content: str = "") -> dict[str, Any]:
    """An assistant turn that calls the calculator."""
    function = {"name": "calculate", "arguments": {"expression": expression}}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"type": "function", "function": function}],
    }


def output(text: str) -> dict[str, Any]:
    """What the calculator prints."""
    return {"role": "tool", "name": "calculate", "content": text}


def trace(teacher: str, a: int, b: int, c: int, rng: random.Random) -> tuple[list[Any], bool]:
    """The turns after the task, and whether the answer is right."""
    says = teacher != "terse"
    log = "".join(f"step {i}: ok\n" for i in range(rng.randrange(6)))
    turns: list[Any] = []
    if teacher == "checks" and rng.random() < 0.4:
        turns += [call(f"{a} x {b}", "First, the pens in all boxes."), output("error: unknown x")]
    turns.append(call(f"{a} * {b}", "First, the pens in all boxes." if says else ""))
    turns.append(output(f"{log}{a * b}"))
    slip = teacher == "terse" and rng.random() < 0.4
    left = a * b + c if slip else a * b - c
    sign = "+" if slip else "-"
    turns.append(call(f"{a * b} {sign} {c}", "Then the pens that were sold." if says else ""))
    turns.append(output(str(left)))
    if teacher == "checks":
        turns += [call(f"{left} + {c}", "I check the result."), output(str(left + c))]
    turns.append({"role": "assistant", "content": f"{left} pens are left."})
    return turns, not slip


def rows(tasks: int, seed: int = 0) -> list[dict[str, Any]]:
    """A row for each task and teacher."""
    rng = random.Random(seed)
    found = []
    for number in range(tasks):
        a, b, c = rng.randrange(3, 9), rng.randrange(3, 9), rng.randrange(1, 9)
        task = f"A shop has {a} boxes of {b} pens and sells {c} pens. How many are left?"
        opening = [
            {"role": "system", "content": "Use the calculator."},
            GREETING,
            {"role": "user", "content": task},
        ]
        for teacher in ("terse", "explains", "checks"):
            turns, right = trace(teacher, a, b, c, rng)
            found.append(
                {
                    "prompt_id": f"pens-{number:02d}", "teacher": teacher,
                    "messages": [*opening, *turns], "scripted": [1], "reward": float(right),
                    "correct": right,
                }
            )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="for agents.jsonl and tools.json")
    parser.add_argument("--tasks", type=int, default=12, help="default: %(default)s")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(args.tasks))
    (args.folder / "agents.jsonl").write_text("".join(lines), encoding="utf-8")
    (args.folder / "tools.json").write_text(json.dumps(TOOLS, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
