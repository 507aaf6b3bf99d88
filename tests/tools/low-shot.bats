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

@test "the plot's tics are the shots that were measured, its legend from the best down" {
    {
        printf 'data\tmethod\tcalibrated\ttuned\tshots\tdraw\tnovel\tbase\tall\tharmonic_mean\n'
        for draw in 1 2 3; do
            for shots in 3 50 all; do
                printf 'some\tmean\traw\tplain\t%s\t%s\t0.5\t0.5\t0.5\t0.%s\n' $shots $draw $((30 + draw))
                printf 'some\tauto\tcalibrated\tplain\t%s\t%s\t0.5\t0.5\t0.5\t0.%s\n' $shots $draw $((60 + draw))
            done
        done
    } >some.tsv
    "$ROOT"/examples/low-shot/table curves some.tsv >curves
    [ "$(head -n 1 curves)" = '# tics "3" 1, "50" 2, "all" 3' ]
    [ "$(grep '^"' curves | tr '\n' ' ')" = '"auto, calibrated" "mean" ' ]
    grep -qx '2 0.3200 0.0248' curves # Student's t of three draws
    command -v gnuplot || skip "needs gnuplot"
    gnuplot -e "curves='curves'; picture='some.png'; name='some'" "$ROOT"/examples/low-shot/plot.gp 2>said
    [ ! -s said ]
    [ "$(head -c 4 some.png | tail -c 3)" = PNG ]
}
