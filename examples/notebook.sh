#!/usr/bin/env bash
# The Keras notebook on weight imprinting, as a pipeline: train keras-cnn on the first eight classes of
# CIFAR-10, imprint the ninth from its 5,000 training pictures, and compare the two models.
#
#     examples/notebook.sh DATA [FOLDER]
#
# DATA has CIFAR-10's binary batches; models and everything else go to FOLDER (build/notebook).
#
#     HEAD=softmax NORM=none examples/notebook.sh DATA    the notebook's own arithmetic
#
# Other settings, by their environment variables: EPOCHS=5 BATCH=64 SEED=1 DEVICE=auto PRECISION=auto.
set -euo pipefail
data=${1:?"usage: examples/notebook.sh DATA [FOLDER]; DATA has data_batch_1.bin to 5 and test_batch.bin"}
data=$(realpath "$data")
work=${2:+$(realpath -m "$2")}
cd "$(dirname "$0")/.."
export PATH=$PWD/${BIN:-bin}:$PATH
work=${work:-build/notebook}
mkdir -p "$work"

head=${HEAD:-cosine}
if [ "$head" = softmax ]; then norm=${NORM:-none}; else norm=${NORM:-l2}; fi
device=(--device "${DEVICE:-auto}" --precision "${PRECISION:-auto}")

say() { printf '\n== %s\n\n' "$*"; }
training() { cifar-read "$data"/data_batch_[1-5].bin; }
testing() { cifar-read "$data"/test_batch.bin; }
# predict MODEL [OPTION]...: pictures to predictions by that model.
predict() { embed "${device[@]}" --model "$1" | classify "${device[@]}" --model "$@"; }
# accuracy MODEL: of the nine classes' test pictures, in one line under the figures' names. Those of a class that the
# model does not know count as wrong in all_rows: so both models are measured on the same rows.
accuracy() { testing | class-filter --keep 0-8 | predict "$1" | score --by rows,base,novel,all_rows; }

say "The data"
echo "training:"
training | tensor-info
echo "testing:"
testing | tensor-info

say "The first 30 training pictures: $work/pictures.ppm"
training | pnm-sheet --rows 3 --columns 10 -o "$work/pictures.ppm"
head -c 15 "$work/pictures.ppm" | head -2

say "Training on the first eight classes, $head head"
training | class-filter --keep 0-7 >"$work/training"
testing | class-filter --keep 0-7 >"$work/validation"
tensor-info "$work/training" "$work/validation" | grep -E '^ *(rows|image)' || true
cnn-train "${device[@]}" --arch keras-cnn --head "$head" --epochs "${EPOCHS:-5}" --batch "${BATCH:-64}" \
    --seed "${SEED:-1}" --val "$work/validation" --log "$work/log.jsonl" -o "$work/base.model" "$work/training" 2>&1
rm "$work/training"

say "Test loss and accuracy on the eight classes"
predict "$work/base.model" <"$work/validation" | score --by rows,loss,all

say "Imprinting class 8 (ship) from its 5,000 training pictures, --norm $norm"
training | class-filter --keep 8 | embed "${device[@]}" --model "$work/base.model" |
    imprint "${device[@]}" --model "$work/base.model" --norm "$norm" -o "$work/nine.model"
tensor-info "$work/nine.model"

for model in nine base; do
    say "The first 20 test pictures of class 8, by $model.model"
    testing | class-filter --keep 8 --per-class 20 >"$work/ships"
    predict "$work/$model.model" <"$work/ships" | tensor-info | grep -E 'score'
    predict "$work/$model.model" --format tsv <"$work/ships"
done
rm "$work/ships"

say "Accuracy on the nine classes' test pictures"
echo "before imprinting:"
accuracy "$work/base.model"
echo "after:"
accuracy "$work/nine.model"
if [ "$head" = softmax ] && [ "$norm" = none ]; then
    echo
    echo "Where all pictures now go to the new class, that is the notebook's own fault: the plain mean of embeddings is"
    echo "far longer than the weights that were trained. HEAD=cosine, the default, is the paper's way."
fi
