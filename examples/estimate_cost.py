"""What scoring a million traces takes, by arithmetic: tokens, operations and hours on GPUs.

Shows `estimate_cost`: 250,000 prompts of 150 tokens, four teachers, traces of 8,000 tokens in
sentences of 20. Nothing is loaded or scored: the students are given by their configurations.

    python examples/estimate_cost.py
    python examples/estimate_cost.py --response_tokens 1500 --gpu A100
"""

from __future__ import annotations

import argparse

import pandas as pd
from transformers import PretrainedConfig, Qwen2Config

from lnat_plugins import estimate_cost

STUDENTS: dict[str, PretrainedConfig] = {
    "Qwen2.5-7B": Qwen2Config(
        hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, vocab_size=152064,
    ),
    "Qwen2.5-32B": Qwen2Config(
        hidden_size=5120, intermediate_size=27648, num_hidden_layers=64, num_attention_heads=40,
        num_key_value_heads=8, vocab_size=152064,
    ),
}  # fmt: skip
SCORES: dict[str, dict[str, list[str]]] = {
    "local and global": {},
    "global alone": {"windows": ["global"], "metrics": ["global_naturalness"]},
    "every metric": {"metrics": ["all"]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What scoring a million traces takes.")
    parser.add_argument("--prompts", type=int, default=250_000)
    parser.add_argument("--responses", type=int, default=4, help="to each prompt")
    parser.add_argument("--prompt_tokens", type=int, default=150)
    parser.add_argument("--response_tokens", type=int, default=8000)
    parser.add_argument("--step_tokens", type=float, default=20)
    parser.add_argument("--gpu", default="H100")
    args = parser.parse_args()

    rows = []
    for name, config in STUDENTS.items():
        for scores, options in SCORES.items():
            cost = estimate_cost(
                config, prompts=args.prompts, responses=args.responses,
                prompt_tokens=args.prompt_tokens, response_tokens=args.response_tokens,
                step_tokens=args.step_tokens, gpu=args.gpu, **options,
            )  # fmt: skip
            hours = {f"hours on {n} {args.gpu}": f"{cost.gpu_hours / n:,.1f}" for n in (1, 8, 64)}
            tokens, flop = f"{cost.tokens / 1e9:,.1f}", f"{cost.flop:.1e}"
            rows.append({"student": name, "scores": scores, "1e9 tokens": tokens, "FLOP": flop}
                        | hours)  # fmt: skip
    print(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
