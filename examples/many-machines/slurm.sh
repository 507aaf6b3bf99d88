#!/usr/bin/env bash
#SBATCH --job-name=imprint
#SBATCH --cpus-per-task=2
#SBATCH --output=imprint-%A_%a.log
# The same as parallel.sh on a Slurm cluster: an array job, a task a file, and a job that merges.
#
#     ls pictures/*.records >files
#     export BASE=base.model FILES=files PARTS=parts
#     job=$(sbatch --parsable --array=1-"$(wc -l <files)" examples/many-machines/slurm.sh)
#     sbatch --dependency=afterok:"$job" examples/many-machines/slurm.sh merge merged.model
#
# Task N imprints the N-th of FILES into PARTS/N.model, which appears whole or not at all: a task that failed
# can be run again alone (--array=N). With cards, add --gpus-per-task=1: --device auto takes them.
set -euo pipefail
: "${PARTS:?a folder for the parts}"
# The tools: on the PATH, or those of the checkout that this script was submitted from.
PATH=$PATH:${SLURM_SUBMIT_DIR:-.}/bin
if [ "${1:-}" = merge ]; then
    exec model-merge "$PARTS"/*.model -o "${2:?the file to merge into}"
fi
: "${BASE:?the model to imprint into}" "${FILES:?a file that lists the record files}"
: "${SLURM_ARRAY_TASK_ID:?run me as an array job: sbatch --array=1-N}"
file=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$FILES")
[ -n "$file" ] || { echo "slurm.sh: $FILES has no line $SLURM_ARRAY_TASK_ID" >&2; exit 1; }
mkdir -p "$PARTS"
embed --model "$BASE" "$file" |
    imprint ${IMPRINT:-} --model "$BASE" -o "$PARTS/$SLURM_ARRAY_TASK_ID.model"
