#!/bin/bash
# Runs a study's units as a Slurm array, one unit a task. NOT RUN by us under Slurm.
#
#     lnat study STUDY.yaml --dry_run | grep '/scores$' | bash     # first: the others need them
#     lnat study STUDY.yaml --dry_run > units.txt
#     sbatch --array=1-$(wc -l < units.txt)%8 --gres=gpu:1 --time=4:00:00 examples/study/slurm.sh units.txt
#     lnat study STUDY.yaml                                        # does what is left, prints the result
#
# A unit that failed is not done: repeat the last three lines, and units.txt has what is left.
set -euo pipefail

units=${1:?the file that lnat study --dry_run wrote}
number=${SLURM_ARRAY_TASK_ID:?run me by sbatch --array=1-N}
line=$(sed -n "${number}p" "$units")
if [ -z "$line" ]; then
    echo "$units has no line $number" >&2
    exit 1
fi
echo "$line" >&2
exec bash -c "$line"
