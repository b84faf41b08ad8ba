"""Train the bundled student: a tiny Qwen3 that knows short recurrences, worked out plainly.

Knows nothing of scores. Every text it learns from has 2 to 10 lines of working; the teachers'
responses have 24 to 40. With the same seed, thread count, library versions and kind of processor
it comes out the same.

    OMP_NUM_THREADS=1 python examples/bundled_set/train_student.py \\
        --output_dir lnat_plugins/student

Shapes: B texts of a batch, T tokens of the longest of them.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import torch
from _recurrence import SHORT, TEACHERS, make_problem, plain
from make_teacher_set import problems
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

VOCABULARY: Final = 384
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
BATCH: Final = 32
PEAK_RATE: Final = 4e-3
TOKENIZER_PROBLEMS: Final = 200
IGNORED: Final = -100  # a label without a loss, to torch and transformers
# Qwen's own: one digit a token, and a full stop may swallow the line breaks behind it.
PATTERN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What the assistant writes is marked, so that TRL and conversations know it.
CHAT_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}{{ '\\n' }}<tool_call>"
    "{{ call['function'] | tojson }}</tool_call>{% endfor %}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer_texts() -> Iterator[str]:
    """Short problems as every teacher answers them, so that no register's words fall to bytes."""
    for index, problem in enumerate(problems(TOKENIZER_PROBLEMS, "tokenizer", SHORT)):
        for teacher, write in TEACHERS.items():
            yield f"{problem.prompt}\n\n{write(problem, random.Random(f'{teacher} {index}'))}"


def train_tokenizer(texts: Iterator[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with ChatML's special tokens and template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=8192,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A Qwen3 of a quarter of a million parameters, input and output embeddings tied."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=32,
            initializer_range=0.08,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


def encode(
    tokenizer: PreTrainedTokenizerFast, prompt: str, response: str, template: bool
) -> tuple[list[int], list[int]]:
    """Ids of the prompt and of the response with its end, joined as ids, never as text."""
    head = f"{START}user\n{prompt}{END}\n{START}assistant\n" if template else f"{prompt}\n\n"
    ids = tokenizer([head, response], add_special_tokens=False)["input_ids"]
    return ids[0], [*ids[1], tokenizer.eos_token_id]


def collate(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """Ids and labels, `[B, T]`, padded on the right; the prompt has no loss."""
    longest = max(len(head) + len(body) for head, body in rows)
    ids_BT = torch.full((len(rows), longest), pad)
    labels_BT = torch.full((len(rows), longest), IGNORED)
    for row, (head, body) in enumerate(rows):
        end = len(head) + len(body)
        ids_BT[row, :end] = torch.tensor(head + body)
        labels_BT[row, len(head) : end] = torch.tensor(body)
    # Padding stands behind every real token, so the causal mask is enough.
    return {"input_ids": ids_BT, "labels": labels_BT}


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of short problems with plain solutions without end, half of them in ChatML.

    None can be a prompt of the teacher set: those take more lines.
    """
    rng = random.Random(f"student {seed}")
    while True:
        count = rng.choice(SHORT)  # texts of one length need no padding
        made = [make_problem([count], rng) for _ in range(BATCH)]
        yield collate(
            [encode(tokenizer, p.prompt, plain(p, rng), rng.random() < 0.5) for p in made],
            tokenizer.pad_token_id,
        )


def rate_at(step: int, steps: int) -> float:
    """Share of the peak learning rate: a short warm-up, then a cosine down to a twentieth."""
    warm = max(1, min(50, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train(
    model: Qwen3ForCausalLM,
    source: Iterator[dict[str, torch.Tensor]],
    steps: int,
    peak_rate: float,
    report: Callable[[str], None],
) -> None:
    """Next-token training, AdamW; reports the loss (nats per token) every 50 steps."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps))
    started = time.monotonic()
    model.train()
    for step, batch in enumerate(islice(source, steps), start=1):
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            spent = time.monotonic() - started
            report(f"step {step}/{steps}  loss {loss.item():.4f}  {spent:.0f} s")
    model.train(False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled student.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=900, help=f"of {BATCH} texts")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    tokenizer = train_tokenizer(tokenizer_texts())
    model = make_model(tokenizer)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens in the vocabulary")
    train(
        model, batches(tokenizer, args.seed), args.steps, PEAK_RATE, lambda x: print(x, flush=True)
    )
    model.save_pretrained(args.output_dir)
    tokenizer.save_pretrained(args.output_dir)


if __name__ == "__main__":
    main()
