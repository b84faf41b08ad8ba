#!/usr/bin/env bash
# From teachers' traces to a trained student, on the command line: score, rank, choose, train.
#
#     examples/rank_and_select.sh [FOLDER] [PROMPTS]
#
# Scores the first PROMPTS (default 12) of the bundled set with the bundled student, and leaves
# everything in FOLDER (default out): lm-eval's scores, the ranking, the chosen rows, the model.
set -euo pipefail

out="${1:-out}"
prompts="${2:-12}"
student="$(lnat student)"

# 1. Score. `lnat eval` is lm_eval, which finds the shipped teacher sets from a clone too.
#    Prompts are plain text here, as in the bundled set's own figures. Add --apply_chat_template if
#    the student is to be trained in its chat template, as an instruct model is: the rows of step 3
#    are then conversations, and step 4 trains on the text that was scored.
lnat eval --model hf --model_args pretrained="$student",dtype=float32 \
    --tasks local_naturalness --limit "$prompts" \
    --log_samples --output_path "$out/scores"

# 2. Rank the teachers.
lnat rank "$out/scores" --output_path "$out/ranking"

# 3. Choose the rows: of each prompt's correct responses the best one.
lnat select "$out/scores" --strategy best --require_correct --output_path "$out/chosen"

# 4. Train on them. For real: no --max_steps, and no --use_cpu where there is a GPU.
trl sft --config "$out/chosen/sft.yaml" --output_dir "$out/model" \
    --max_steps 2 --use_cpu --report_to none
