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
READ = "Read: 50 of 300 prompts, 4% of the tokens of exact scoring, 20% of those of one global pass"


def test_sentences() -> None:
    def of(**changes: object) -> str:
        return dataclasses.replace(FOUND, **changes).sentence

    assert of() == f"R1 is best (error at most 5%). {READ}"
    two = {"chosen": ("R1", "QwQ")}
    assert of(goal="top 2", **two).startswith("The top 2: R1, QwQ (error at most 5%). Read")
    assert of(goal="order", **two).startswith("From best to worst: R1, QwQ (error at most 5%). Re")
    assert "140% of the tokens" in of(tokens=140_000) and "0.42% of" in of(tokens=420)
    open_ = {"chosen": (), "remaining": ("R1", "QwQ"), "stop": "prompts used up"}
    assert of(**open_, lead=LEAD) == (
        "Not settled (error at most 5%): the best is one of R1, QwQ; R1 leads QwQ by 0.020 ± 0.050 "
        f"nats per token, and about 1,100 prompts would tell (probability 80%). {READ}"
    )
    assert "would tell" not in of(**open_, lead=dataclasses.replace(LEAD, needed=None))
    assert of(**open_) == f"Not settled (error at most 5%): the best is one of R1, QwQ. {READ}"
    assert "the places of R1, QwQ are open" in of(**open_, goal="order")
    assert "the top 3 are of R1, QwQ. " in of(**open_, goal="top 3")
    found = of(**open_ | {"chosen": ("s1",)}, goal="top 2")
    assert "the top 2 are s1, and of R1, QwQ. " in found
