#!/usr/bin/env bats
# low-shot: the protocol's Makefile runs, goes on after an interruption, and its table has what it names.

setup() {
    load common
    common_setup
    need_fashion
    command -v jq >/dev/null || skip "jq is not installed"
    cp -r "$ROOT/examples/low-shot" .
    few() { echo "idx-read $FASHION/$1-images-idx3-ubyte.gz $FASHION/$1-labels-idx1-ubyte.gz | class-filter --keep 0-9 --per-class $2"; }
    settings=(TOP="$PWD/top" "TRAIN=$(few train 40)" "TEST=$(few t10k 20)" NAME=tiny SHOTS=1 DRAWS=1 METHODS=mean "HOW=--epochs 1"
              TUNE_ROWS=20 TUNE_EPOCHS=1)
    mkdir -p top
    ln -s "$BIN" top/bin
    table=top/build/low-shot/tiny/tiny.md
}

@test "the protocol, interrupted and taken up again" {
    timeout -s INT 3 make -s -C low-shot "${settings[@]}" "$PWD/$table" >/dev/null 2>&1 || true
    make -s -C low-shot "${settings[@]}" "$PWD/$table" >/dev/null 2>&1
    make -q -C low-shot "${settings[@]}" "$PWD/$table"
    tsv=${table%.md}.tsv
    head -1 "$tsv" | grep -qx $'data\tmethod\tcalibrated\ttuned\tshots\tdraw\tnovel\tbase\tall\tharmonic_mean'
    # mean plain and tuned, raw and calibrated; random plain and tuned; auto; joint.
    [ "$(sed 1d "$tsv" | wc -l)" -eq 8 ]
    awk -F'\t' 'NR > 1 && (NF != 10 || $7 !~ /^[0-9.]+$/ || $10 > 1) {exit 1}' "$tsv"
    grep -q '^| mean, calibrated, tuned |' "$table"
}
