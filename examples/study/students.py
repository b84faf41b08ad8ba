"""Train the students of the shipped study: three architectures that know single steps.

They learn from short problems of every family, worked out plainly, and from strings that are to be
copied over some distance. Long problems they have not read, and other registers than the plain one
hardly: of the foreign words and of the strange notation an option says how much. Without any, no
student learns the sums of the strange notation in as little training as a study can afford.

    OMP_NUM_THREADS=1 python examples/study/students.py --output_dir students

With the same seed, library versions and kind of processor a student comes out the same.

Shapes: B texts of a batch, T tokens of the longest of them.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from families import FAMILIES, LABELS, ROOMS, endless
from teachers import REMARKS, TEACHERS, respond, with_remarks
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VOCABULARY: Final = 384
BATCH: Final = 32
POOL: Final = 16  # batches that are cut from texts sorted by length, so that little is padding
PEAK_RATE: Final = 3e-3
STEPS: Final = 2500
FOREIGN: Final = 0.01
STRANGE: Final = ("foreign", "notation")  # registers of that share, half each
REMARKED: Final = 0.2  # of the texts with working; of their lines the same share
COPIES: Final = 0.25
COPIED: Final = range(1, 41)
SYMBOLS: Final = f"0123456789{LABELS}{ROOMS.lower()}x+=:."
IGNORED: Final = -100  # a label without a loss, to torch and transformers
# A word with the blank before it, a letter, a digit, or a sign with the line break behind it.
PATTERN: Final = r" ?\p{L}{2,}|\p{L}|\p{N}|[^\s\p{L}\p{N}]\n?|\s"
CHAT_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Encoded = tuple[list[int], list[int]]
"""Ids of a prompt in the chat template, and of the response with its end."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE over short problems as every teacher answers them.

    Every word of a teacher is one token, so no register is longer for being spelt out in bytes.
    """

    def texts() -> Iterator[str]:
        rng = random.Random("tokenizer")
        for family in FAMILIES.values():
            source = endless(family, "pre-training", family.known, rng)
            for index, problem in zip(range(100), source, strict=False):
                for teacher in TEACHERS:
                    response = respond(teacher, problem, family, index)
                    yield f"user\n{problem.prompt}\nassistant\n{response}"
        yield from (f"Copy {symbol}{remark}" for symbol in SYMBOLS for remark in REMARKS)

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
    tokenizer.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=4096,
    )


def _shared(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 4096,
        "initializer_range": 0.08,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": "float32",
    }


def llama(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64, intermediate_size=192, num_hidden_layers=4, num_attention_heads=2,
            num_key_value_heads=2, **_shared(tokenizer),
        )
    )  # fmt: skip


def gpt_neox(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            hidden_size=64, intermediate_size=256, num_hidden_layers=4, num_attention_heads=2,
            rotary_pct=0.5, use_parallel_residual=True, **_shared(tokenizer),
        )
    )  # fmt: skip


def qwen3(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return Qwen3ForCausalLM(
        Qwen3Config(
            hidden_size=64, intermediate_size=224, num_hidden_layers=4, num_attention_heads=2,
            num_key_value_heads=2, head_dim=32, **_shared(tokenizer),
        )
    )  # fmt: skip


STUDENTS: Final[Mapping[str, Callable[[PreTrainedTokenizerFast], PreTrainedModel]]] = {
    make.__name__: make for make in (llama, gpt_neox, qwen3)
}
"""Name -> what makes the student before it is trained."""


def texts(seed: int, foreign: float) -> Iterator[tuple[str, str]]:
    """Prompts and responses to learn from, without end.

    Args:
        seed: of the order and the problems.
        foreign: share of the texts with working that are in foreign words or in unknown notation.
    """
    rng = random.Random(f"texts {seed}")
    sources = [
        (family, endless(family, "pre-training", family.known, rng)) for family in FAMILIES.values()
    ]
    while True:
        if rng.random() < COPIES:
            copied = "".join(rng.choices(SYMBOLS, k=rng.choice(COPIED)))
            yield f"Copy {copied}", copied
            continue
        family, source = rng.choice(sources)
        problem = next(source)
        teacher = rng.choice(STRANGE) if rng.random() < foreign else "plain"
        response = respond(teacher, problem, family, seed)
        if rng.random() < REMARKED:
            *lines, answer = response.split("\n")
            response = "\n".join([*with_remarks(lines, REMARKED, rng), answer])
        yield problem.prompt, response


def encode(tokenizer: Any, prompt: str, response: str) -> Encoded:
    """Ids of the prompt in the template and of the response, joined as ids, never as text."""
    head = f"{START}user\n{prompt}{END}\n{START}assistant\n"
    ids = tokenizer([head, response], add_special_tokens=False)["input_ids"]
    return ids[0], [*ids[1], tokenizer.eos_token_id]


def collate(rows: Sequence[Encoded], pad: int) -> dict[str, torch.Tensor]:
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


def batches(tokenizer: Any, seed: int, foreign: float) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of texts of about the same length, without end."""
    source = texts(seed, foreign)
    rng = random.Random(f"batches {seed}")
    while True:
        pool = [encode(tokenizer, *next(source)) for _ in range(BATCH * POOL)]
        pool.sort(key=lambda one: len(one[0]) + len(one[1]))
        for start in rng.sample(range(0, len(pool), BATCH), POOL):
            yield collate(pool[start : start + BATCH], tokenizer.pad_token_id)


def rate_at(step: int, steps: int) -> float:
    """Share of the peak learning rate: a short warm-up, then a cosine down to a twentieth."""
    warm = max(1, min(50, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train(
    model: PreTrainedModel, source: Iterator[dict[str, torch.Tensor]], steps: int, peak_rate: float
) -> None:
    """Next-token training, AdamW; prints the loss (nats per token) now and then."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps))
    started = time.process_time()
    model.train()
    for step, batch in zip(range(1, steps + 1), source, strict=False):
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            spent = time.process_time() - started
            print(f"step {step}/{steps}  loss {loss.item():.4f}  {spent:.0f} s", flush=True)
    model.train(False)


def write_student(
    folder: Path, name: str, seed: int, steps: int = STEPS, foreign: float = FOREIGN
) -> None:
    """Train one student and save it with its tokenizer."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = STUDENTS[name](tokenizer)
    print(f"{folder.name}: {model.num_parameters()} parameters, {len(tokenizer)} tokens")
    train(model, batches(tokenizer, seed, foreign), steps, PEAK_RATE)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the study's students.")
    parser.add_argument("--output_dir", type=Path, required=True, help="a folder a student")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=STUDENTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2], help="of pre-training")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of {BATCH} texts")
    parser.add_argument("--foreign", type=float, default=FOREIGN, help="share of strange registers")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for seed in args.seeds:
        for name in args.students:
            write_student(args.output_dir / f"{name}-{seed}", name, seed, args.steps, args.foreign)


if __name__ == "__main__":
    main()
