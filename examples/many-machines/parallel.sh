#!/usr/bin/env bash
# A big set imprinted in parts, side by side, and merged: with GNU parallel, a file a job.
#
#     examples/many-machines/parallel.sh BASE.model MERGED.model FILE...
#
# Each FILE holds labelled pictures as records (cifar-read ... -o FILE). Options for parallel come from
# PARALLEL: PARALLEL="--sshloginfile machines --workdir ." spreads the jobs over machines that share this
# folder and have the tools. Options for imprint come from IMPRINT.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: parallel.sh BASE.model MERGED.model FILE..." >&2; exit 2; }
base=$1 merged=$2
shift 2
tools=$(cd "$(dirname "$0")/../.." && pwd)/bin
export PATH=$tools:$PATH
command -v parallel >/dev/null || { echo "parallel.sh: GNU parallel is missing (Debian: parallel)" >&2; exit 1; }
parts=$(mktemp -d "$merged.parts-XXXXXX")
trap 'rm -rf "$parts"' EXIT

# A job is the pipeline of one machine: pictures, embeddings, sums. --halt: one failure ends them all.
parallel --halt now,fail=1 ${PARALLEL:-} \
    "embed --quiet --model $(printf %q "$base") {} |
         imprint --quiet ${IMPRINT:-} --model $(printf %q "$base") -o $(printf %q "$parts")/{#}.model" ::: "$@"

model-merge "$parts"/*.model -o "$merged"
