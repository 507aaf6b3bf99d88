#!/usr/bin/env bash
# The main job on real pictures: train on eight classes, imprint the ninth, compare the old model and
# the new one. `make demo` runs it; EPOCHS, SEED and DEVICE change it, and models go to WORK (build/demo).
#
# CIFAR-10 comes from CIFAR10=DIR, else from ../shared/data, else from its home page (checked); where
# all of these fail, Fashion-MNIST from Debian's dataset-fashion-mnist takes its place.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/${BIN:-bin}:$PATH
work=${WORK:-build/demo}
mkdir -p "$work"
common=(--device "${DEVICE:-auto}")

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

fetch_cifar10() {
    local url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz sum=c32a1d4ab5d03f1284b67883e8d87530
    say "Downloading CIFAR-10 (162 MB)"
    curl -fL --connect-timeout 10 --max-time 240 --progress-bar -o "$work/cifar.tar.gz" "$url" || return 1
    echo "$sum  $work/cifar.tar.gz" | md5sum -c --quiet || return 1
    tar -xzf "$work/cifar.tar.gz" -C "$work" && mv "$work/cifar-10-batches-bin" "$work/cifar-10"
}

find_cifar10() {
    if [ -n "${CIFAR10:-}" ]; then
        data=$CIFAR10
    elif [ -x ../shared/data/unpack-cifar10 ]; then
        data=$work/cifar-10
        ../shared/data/unpack-cifar10 "$data"
    elif [ -e "$work/cifar-10/test_batch.bin" ]; then
        data=$work/cifar-10
    else
        fetch_cifar10 && data=$work/cifar-10
    fi
}

if find_cifar10; then
    name="CIFAR-10" novel=ship kept=0-7 nine=0-8
    training() { cifar-read "$data"/data_batch_*.bin; }
    testing() { cifar-read "$data"/test_batch.bin; }
else
    name="Fashion-MNIST (CIFAR-10 is out of reach)" novel=Bag kept=0-7 nine=0-8
    make --no-print-directory fashion-mnist
    data=/usr/share/datasets/fashion-mnist
    [ -d "$data" ] || data=$(dirname "$(dpkg -L dataset-fashion-mnist | grep -m1 train-images)")
    training() { idx-read "$data"/train-images-idx3-ubyte* "$data"/train-labels-idx1-ubyte*; }
    testing() { idx-read "$data"/t10k-images-idx3-ubyte* "$data"/t10k-labels-idx1-ubyte*; }
fi

say "1. Train a network on eight of the ten classes of $name"
training | class-filter --keep "$kept" |
    cnn-train "${common[@]}" --statistics --epochs "${EPOCHS:-4}" --seed "${SEED:-1}" --progress -o "$work/base.model"

say "2. What it knows: eight classes"
testing | class-filter --keep "$kept" | embed "${common[@]}" --model "$work/base.model" |
    classify --model "$work/base.model" | score

say "3. Imprint the ninth, $novel, from its training pictures: no training at all"
training | class-filter --keep "$novel" | embed "${common[@]}" --model "$work/base.model" -o "$work/novel.embeddings"
imprint --model "$work/base.model" -o "$work/nine.model" "$work/novel.embeddings"
imprint --method mean --no-calibrate --model "$work/base.model" -o "$work/mean.model" "$work/novel.embeddings"
tensor-info "$work/nine.model"

say "4. What the new model knows: nine classes"
testing | class-filter --keep "$nine" | embed "${common[@]}" --model "$work/base.model" -o "$work/test.embeddings"
classify --model "$work/nine.model" "$work/test.embeddings" | score

say "5. Old model, the paper's imprinting (mean), and imprint as it comes: all on the same test pictures"
for model in base mean nine; do
    classify --quiet --model "$work/$model.model" "$work/test.embeddings" |
        score --quiet --by rows,base,novel,all_rows,harmonic_mean |
        if [ $model = base ]; then cat; else tail -n 1; fi | sed "s/^/$model\t/; 1s/^base\trows/model\trows/"
done
echo "(all_rows: of all rows, those of a class that the model does not know counting as wrong)"
