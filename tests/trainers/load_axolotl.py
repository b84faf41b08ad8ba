"""axolotl: its own reading of axolotl.yaml, and of another config with the plugin."""

import json
import sys
from pathlib import Path

import axolotl
import yaml
from axolotl.cli.config import load_cfg
from axolotl.common.datasets import load_datasets
from axolotl.integrations.base import PluginManager
from axolotl.loaders import load_tokenizer

SWITCHES = {"bf16": False, "fp16": False, "tf32": False, "dataset_num_proc": 1}


def trained(rows, tokenizer):
    """Sorted, as axolotl shuffles them."""
    found = []
    for row in rows:
        ids = [label for label in row["labels"] if label != -100]
        found.append({"text": tokenizer.decode(ids), "weight": None})
    return sorted(found, key=lambda row: row["text"])


def main(folder):
    cfg = load_cfg(f"{folder}/axolotl.yaml", **SWITCHES)
    tokenizer = load_tokenizer(cfg)
    found = trained(load_datasets(cfg=cfg).train_dataset, tokenizer)

    sys.path.append(folder)  # as PYTHONPATH
    keys = yaml.safe_load(Path(folder, "axolotl.yaml").read_text(encoding="utf-8"))
    other = {"path": f"{folder}/nowhere.parquet", "ds_type": "parquet", "type": "chat_template"}
    keys |= {"datasets": [other], "plugins": ["lnat_axolotl.ChosenRows"]}
    keys["dataset_prepared_path"] = f"{folder}-other"
    Path("other.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    cfg = load_cfg("other.yaml", **SWITCHES)
    meta = PluginManager.get_instance().load_datasets(cfg, preprocess=False)
    by_plugin = trained(meta.train_dataset, tokenizer)
    assert by_plugin == found, (by_plugin, found)
    print(json.dumps({"version": axolotl.__version__, "rows": found}))


if __name__ == "__main__":  # the processes that axolotl starts import this file
    main(sys.argv[1])
