"""The verdict in one sentence."""

from __future__ import annotations

import dataclasses

from lnat_plugins.budget import Lead, Outcome

FOUND = Outcome(
    goal="best", error=0.05, stop="settled", chosen=("R1",), remaining=(), means={"R1": -2.0},
    placed=(), prompts=50, all=300, left_out=0, undefined={}, tokens=4_000, exact_tokens=100_000.0,
    global_tokens=20_000.0, lead=None,
)  # fmt: skip
LEAD = Lead("R1", "QwQ", 0.02, -0.03, 0.06, needed=1100, drawing_share=0.0)
READ = "50 of 300 prompts, 0.04 of the tokens of exact scoring, 0.2 of one global pass"


def test_sentences() -> None:
    def of(**changes: object) -> str:
        return dataclasses.replace(FOUND, **changes).sentence

    assert of() == f"R1 best (error ≤ 0.05): {READ}"
    assert of(goal="top 2", chosen=("R1", "QwQ")).startswith("R1, QwQ top 2 (error")
    assert of(goal="order", chosen=("R1", "QwQ")).startswith("R1, QwQ in this order (error")
    open_ = {"chosen": (), "remaining": ("R1", "QwQ"), "stop": "prompts used up"}
    assert of(**open_, lead=LEAD) == (
        "not settled: R1, QwQ remain; lead of R1 0.020 ± 0.050; about 1,100 prompts would tell "
        f"(error ≤ 0.05): {READ}"
    )
    assert "would tell" not in of(**open_, lead=dataclasses.replace(LEAD, needed=None))
    assert of(**open_) == f"not settled: R1, QwQ remain (error ≤ 0.05): {READ}"
