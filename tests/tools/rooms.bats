#!/usr/bin/env bats
# The tree itself: who includes whom, and how it is written. README's reading order says what each folder is.

cd "$BATS_TEST_DIRNAME/../.." || exit

# folder: the folders that its files may include, a file of its own folder always.
floors='
common/base
common/stream       common/base
common/model        common/base common/stream
common/formats      common/base common/stream
kernels             common/base common/model
kernels/plan        common/base common/model kernels
kernels/reference   common/base common/model kernels kernels/plan
kernels/cpu         common/base common/model kernels kernels/plan
kernels/cuda        common/base common/model kernels kernels/plan
src/imprinting      common/base common/stream common/model kernels
src/training        common/base common/stream common/model kernels
src/scoring         common/base common/stream
src/exporting       common/base common/stream common/model common/formats src/imprinting
src                 common/base common/stream common/model common/formats kernels src/imprinting src/training src/scoring src/exporting
'

# FILE INCLUDED, a line an include of a file of ours.
includes() {
    git ls-files src common kernels | grep -E '\.(c|h|cu|cuh)$' | while read -r file; do
        sed -n 's/^#include "\(.*\)"$/\1/p' "$file" | while read -r path; do
            echo "$file $(realpath -m --relative-to=. "$(dirname "$file")/$path")"
        done
    done
}

@test "includes point downwards" {
    git rev-parse >/dev/null 2>&1 || skip "not a git checkout"
    run bash -c "$(declare -f includes); includes" 
    [ "$status" -eq 0 ] && [ "${#lines[@]}" -gt 300 ]
    printf '%s\n' "$floors" >"$BATS_TEST_TMPDIR/floors"
    upwards=$(printf '%s\n' "$output" | awk -v floors="$BATS_TEST_TMPDIR/floors" '
        function folder(path) { sub("/[^/]*$", "", path); return path }
        BEGIN {
            while ((getline line < floors) > 0) {
                n = split(line, word, " ")
                for (i = 1; i <= n; i++) may[word[1], word[i]] = 1
            }
        }
        !((folder($1), folder($2)) in may) { print $1 " includes " $2 }')
    echo "$upwards"
    [ -z "$upwards" ]
}

@test "no include goes round" {
    git rev-parse >/dev/null 2>&1 || skip "not a git checkout"
    includes >"$BATS_TEST_TMPDIR/pairs"
    run tsort "$BATS_TEST_TMPDIR/pairs"
    [ "$status" -eq 0 ]
    [[ "$output" != *"input contains a loop"* ]]
}

@test "sources are formatted by .clang-format, 100 columns wide" {
    git rev-parse >/dev/null 2>&1 || skip "not a git checkout"
    files=$(git ls-files '*.c' '*.h' '*.cu' '*.cuh')
    run awk 'length > 100 { print FILENAME ":" FNR ": " length " columns" }' $files
    echo "$output"
    [ -z "$output" ]
    # Other releases break lines elsewhere.
    clang-format --version 2>/dev/null | grep -q 'version 14\.' || skip "clang-format 14 is not here"
    run clang-format --dry-run -Werror $files
    echo "$output" | head -n 20
    [ "$status" -eq 0 ]
}
