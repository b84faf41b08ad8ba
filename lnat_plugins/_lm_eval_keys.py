"""The keys of lm-eval's task YAML, and those of them that can do nothing for a teacher set."""

from __future__ import annotations

from typing import Final

IDLE_KEYS: Final = (
    # what they would do elsewhere cannot be done to responses that are already there
    "custom_dataset",
    "training_split",
    "validation_split",
    "fewshot_split",
    "process_docs",
    "doc_to_text",
    "doc_to_target",
    "doc_to_image",
    "doc_to_audio",
    "unsafe_code",
    "doc_to_choice",
    "process_results",
    "use_prompt",
    "description",
    "fewshot_delimiter",
    "fewshot_config",
    "metric_list",
    "generation_kwargs",
    "filter_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "gen_prefix",
)

LM_EVAL_KEYS: Final = (
    # keys that lm-eval takes out before it builds a TaskConfig
    "class",
    "group",
    "include",
    "task_list",
    # with the idle ones the fields of lm_eval.config.task.TaskConfig, 0.4.13
    "task",
    "task_alias",
    "tag",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "test_split",
    "target_delimiter",
    "num_fewshot",
    "output_type",
    "repeats",
    "metadata",
    *IDLE_KEYS,
)
