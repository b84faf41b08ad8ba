"""ms-swift: its data set loader, its ChatML template, the scale of the loss of each token."""

import json
import sys

import swift
from swift.dataset import load_dataset
from swift.model import get_processor
from swift.template import get_template

folder, student = sys.argv[1:]
rows, _ = load_dataset(f"{folder}/data/train.jsonl", strict=True, load_from_cache_file=False)
assert set(rows["channel"]) == {"QwQ", "R1"}, rows["channel"]

tokenizer = get_processor(student, model_type="qwen3")
template = get_template(tokenizer, template_type="chatml", is_binary_loss_scale=False)
template.set_mode("train")
found = []
for row in rows:
    encoded = template.encode(dict(row))
    ids, labels, scale = (encoded[key] for key in ("input_ids", "labels", "loss_scale"))
    trained = [i for i, label in enumerate(labels) if label != -100 and scale[i] > 0]
    response = row["messages"][-1]["content"]
    weight = scale[trained[0]]
    found.append({"text": tokenizer.decode([ids[i] for i in trained]), "weight": weight})
    assert response in found[-1]["text"]
print(json.dumps({"version": swift.__version__, "rows": found}))
