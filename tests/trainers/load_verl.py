"""verl: its data set for SFT; a limit below the longest row must stop it."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

folder, student = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(student)
card = Path(folder, "README.md").read_text(encoding="utf-8")
longest = int(card.partition("data.max_length=")[2].split()[0])


def load(limit):
    config = OmegaConf.create(
        {"max_length": limit, "truncation": "error", "pad_mode": "no_padding"}
    )
    return MultiTurnSFTDataset(f"{folder}/data/train.parquet", tokenizer, config)


found = []
rows = load(longest)
for i in range(len(rows)):
    row = rows[i]
    trained = row["input_ids"][row["loss_mask"].bool()].tolist()
    found.append({"text": tokenizer.decode(trained), "weight": None})


def stops(row):
    try:
        short[row]
    except ValueError:
        return True
    return False


short = load(longest - 1)
assert any(map(stops, range(len(short)))), "a row longer than max_length was read"
print(json.dumps({"version": version("verl"), "rows": found}))
