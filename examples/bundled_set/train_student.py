"""Train the bundled student: a tiny Qwen3 that knows the stepwise register of word problems.

Knows nothing of scores. It learns from text of the project's own making (`_student_text`) in a
few minutes on two CPU cores; with the same seed, thread count and library versions it comes out
the same. The prompts it learns from are disjoint from those of the bundled teacher set.

    OMP_NUM_THREADS=2 python examples/bundled_set/train_student.py --output_dir lnat_plugins/student

Shapes: B sequences of a batch, T tokens of a sequence.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import torch
from _student_text import Document, documents
from make_teacher_set import PROMPTS, SEED, problems
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

VOCABULARY: Final = 1536
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
LENGTH: Final = 384
BATCH: Final = 8
PEAK_RATE: Final = 4e-3
TOKENIZER_DOCUMENTS: Final = 4000
# Qwen's own: one digit a token, and a full stop may swallow the line breaks behind it.
PATTERN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


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
    """A Qwen3 of just under a million parameters, input and output embeddings tied."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=368,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


def render(document: Document, rng: random.Random) -> str:
    """The document as the student sees it: half the replies in ChatML, half as plain text."""
    prompt, text = document
    if not prompt:
        return f"{text}{PAD}"
    if rng.random() < 0.5:
        return f"{START}user\n{prompt}{END}\n{START}assistant\n{text}{END}\n{PAD}"
    return f"{prompt}\n\n{text}{PAD}"


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, unseen: frozenset[str]
) -> Iterator[torch.Tensor]:
    """Packed token ids without end, `[B, T]`.

    A template's text and a reply are tokenised as one string here; ChatML's header ends in a line
    break that no reply of this corpus starts with, so nothing merges across it.
    """
    rng = random.Random(f"render {seed}")
    source = documents(seed, unseen)
    ids: list[int] = []
    while True:
        while len(ids) < BATCH * LENGTH:
            texts = [render(document, rng) for document in islice(source, 64)]
            for encoded in tokenizer(texts, add_special_tokens=False)["input_ids"]:
                ids += encoded
        yield torch.tensor(ids[: BATCH * LENGTH]).view(BATCH, LENGTH)
        ids = ids[BATCH * LENGTH :]


def rate_at(step: int, steps: int) -> float:
    """Share of the peak learning rate: a short warm-up, then a cosine down to a twentieth."""
    warm = max(1, min(50, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train(model: Qwen3ForCausalLM, source: Iterator[torch.Tensor], steps: int) -> None:
    """Next-token training, AdamW; prints the loss (nats per token) as it goes."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps))
    started = time.monotonic()
    model.train()
    for step, ids_BT in enumerate(islice(source, steps), start=1):
        loss = model(input_ids=ids_BT, labels=ids_BT, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps:
            spent = time.monotonic() - started
            print(f"step {step}/{steps}  loss {loss.item():.4f}  {spent:.0f} s", flush=True)
    model.train(False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled student.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500, help=f"of {BATCH} x {LENGTH} tokens")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    unseen = frozenset(problem.prompt for problem in problems(PROMPTS, SEED))
    corpus = islice(documents(args.seed, unseen), TOKENIZER_DOCUMENTS)
    tokenizer = train_tokenizer(f"{prompt}\n\n{text}" for prompt, text in corpus)
    model = make_model(tokenizer)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens in the vocabulary")
    train(model, batches(tokenizer, args.seed, unseen), args.steps)
    model.save_pretrained(args.output_dir)
    tokenizer.save_pretrained(args.output_dir)


if __name__ == "__main__":
    main()
