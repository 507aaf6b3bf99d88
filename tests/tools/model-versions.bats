#!/usr/bin/env bats
# Models of version 1, made by its tools from eight rows a class, load and classify as they did.

load common

setup() {
    common_setup
    for name in version-1-ridge.model version-1-proxies.model test.embeddings; do
        zcat "$ROOT/tests/models/$name.gz" >$name
    done
}

# same_scores A B: the same classes, and scores and probabilities within 1e-4 of theirs.
same_scores() {
    diff <(cut -f1-3 "$1") <(cut -f1-3 "$2")
    paste "$1" "$2" | awk -F'\t' 'function off(a, b) { return a - b > 1e-4 * (1 + a * a) || b - a > 1e-4 * (1 + a * a) }
        NR > 1 && (off($4, $9) || off($5, $10)) { print; bad = 1 } END { exit bad || NR < 20 }'
}

@test "a model of version 1 classifies as it did" {
    for method in ridge proxies; do
        classify --quiet --model version-1-$method.model --format tsv test.embeddings >now
        same_scores "$ROOT/tests/models/version-1-$method.tsv" now
        tensor-info version-1-$method.model | grep -q 'version 1$'
    done
}

@test "it is written as version 3, which classifies the same to the last bit" {
    for method in ridge proxies; do
        model-edit --rename ship=boat version-1-$method.model | model-edit --rename boat=ship -o second.model
        tensor-info --all second.model >said
        grep -q 'version 3$' said
        grep -q 'imprint/exemplars .*float32' said
        for model in version-1-$method second; do
            classify --quiet --model $model.model test.embeddings >$model.scores
        done
        cmp version-1-$method.scores second.scores
    done
}

@test "it is imprinted further and merged like one of version 3" {
    class-filter --keep cat,dog test.embeddings >more
    for method in ridge proxies; do
        old=version-1-$method.model
        model-edit --rename ship=boat $old | model-edit --rename boat=ship -o second.model
        imprint --quiet --model $old --update-base more -o old-more.model
        imprint --quiet --model second.model --update-base more -o second-more.model
        cmp old-more.model second-more.model
        model-merge --quiet --base $old old-more.model second.model -o merged.model
        classify --quiet --model merged.model test.embeddings >/dev/null
    done
}
