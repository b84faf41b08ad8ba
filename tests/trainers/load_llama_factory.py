"""LLaMA-Factory: v1's data engine and ChatML renderer; v0's reader, which aligns the same rows."""

import json
import sys
from importlib.metadata import version

from llamafactory.data.loader import _load_single_dataset
from llamafactory.data.parser import get_dataset_list
from llamafactory.hparams import DataArguments, ModelArguments
from llamafactory.v1.core.data_engine import DataEngine
from llamafactory.v1.core.utils.rendering import Renderer
from transformers import AutoTokenizer, Seq2SeqTrainingArguments

folder, student = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(student)

engine = DataEngine(f"{folder}/data/v1.jsonl")
inputs = Renderer("chatml", tokenizer).process_samples([engine[i] for i in range(len(engine))])
found = []
for one in inputs:
    pairs = list(zip(one["labels"], one["loss_weights"], strict=True))
    trained = [(label, weight) for label, weight in pairs if label != -100]
    text = tokenizer.decode([label for label, _ in trained])
    found.append({"text": text, "weight": trained[0][1]})

data = DataArguments(template="chatml", dataset="lnat", dataset_dir=folder)
(entry,) = get_dataset_list(["lnat"], folder)
model, args = ModelArguments(model_name_or_path=student), Seq2SeqTrainingArguments("out")
aligned = _load_single_dataset(entry, model, data, args)
for row, v1 in zip(aligned, found, strict=True):
    (turn,) = row["_response"]
    assert turn["role"] == "assistant" and turn["content"] in v1["text"], (turn, v1)
print(json.dumps({"version": version("llamafactory"), "rows": found}))
