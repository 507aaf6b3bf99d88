#!/usr/bin/env bats
# Options in the code, in --help and in the manual page are one list, in every tool. (The code's table makes both
# --help and what getopt_long takes, so that --help stands for it here.)
load common

setup() {
    common_setup
    TOOLS=$(cd "$ROOT"/src && ls ./*.c | sed 's,^\./,,; s,\.c$,,')
    for tool in image-read image-write image-sheet; do # they need libraries that the rest does not
        [ -x "$BIN/$tool" ] || TOOLS=$(grep -vx $tool <<<"$TOOLS")
    done
    [ "$(wc -w <<<"$TOOLS")" -ge 12 ]
}

# "letter name argument" a line, "-" for none; words in small letters, without blanks.
help_options() {
    "$1" --help | sed -nE 's/^  (-(.),|   ) --([^ ]+)( ([^ ]+))?(  .*)?$/\2 \3 \5/p' |
        sed -E 's/^ /- /; s/ $/ -/' | tr '[:upper:]' '[:lower:]' | sort -k 2
}

# The same of the lists of the page that have options as their heads: `.It Fl m , Fl -model Ar model`.
page_options() {
    sed -nE 's/^\.It (Fl .*)$/\1/p' "$ROOT/src/$1.1" | sed -E 's/ *(Ns|[|:]) */\1/g; s/Ns//g; s/(Ar|Cm) //g; s/Fl /-/g' |
        awk -F ' , ' '{
            letter = "-"
            for (i = 1; i <= NF; i++) {
                split($i, word, " ")
                if (word[1] ~ /^-[^-]$/) { letter = substr(word[1], 2); continue }
                print letter, substr(word[1], 3), word[2] == "" ? "-" : word[2]
                letter = "-"
            }
        }' | tr '[:upper:]' '[:lower:]' | sort -k 2
}

@test "every tool's --help and page have the same options with the same arguments" {
    for tool in $TOOLS; do
        help_options "$tool" >help
        page_options "$tool" >page
        # Each has those of all tools at least.
        for name in "o output file" "- force -" "- progress -" "- quiet -" "h help -" "- version -"; do
            grep -qFx -- "$name" help || { echo "$tool --help lacks $name"; return 1; }
        done
        diff help page || { echo "$tool: < --help, > $tool.1"; return 1; }
    done
}

@test "an option takes an argument where --help says so, and else refuses it" {
    for tool in $TOOLS; do
        help_options "$tool" >help
        while read -r letter name argument; do
            if [ "$argument" = - ]; then
                run -2 "$tool" "--$name=x"
                [[ ${lines[0]} == *"'--$name' doesn't allow an argument"* ]]
            else
                run -2 "$tool" "--$name"
                [[ ${lines[0]} == *"'--$name' requires an argument"* ]]
                [ "$letter" = - ] && continue
                run -2 "$tool" "-$letter"
                [[ ${lines[0]} == *"requires an argument -- '$letter'"* ]]
            fi
        done <help
        run -2 "$tool" --no-such-option
        [ "${#lines[@]}" -eq 2 ] && [ "${lines[1]}" = "Try '$tool --help'." ]
    done
}

@test "--help is 80 columns wide at most, on standard output, and -h is --help" {
    for tool in $TOOLS; do
        "$tool" --help >help 2>said
        [ ! -s said ]
        [ "$(head -n 1 help | cut -d ' ' -f 1-2)" = "usage: $tool" ]
        awk -v tool="$tool" 'length > 80 { print tool ": " $0; wide = 1 } END { exit wide }' help
        "$tool" -h | cmp - help
        # Texts begin in one column.
        [ "$(sed -nE 's/^(  ....? --[^ ]+( [^ ]+)?  +)[^ ].*$/\1/p; s/^( {20,})[^ ].*$/\1/p' help |
            awk '{ print length }' | sort -u | wc -l)" -eq 1 ]
        [ "$("$tool" --version)" = "$tool (lowshot) $(sed -n '1s/.*(\(.*\)).*/\1/p' "$ROOT"/src/changelog)" ]
    done
}

@test "a choice names its words, numbers their bounds" {
    fails 2 "--format takes records, tsv or jsonl, not xml" classify --model m --format xml
    fails 2 "--format takes table or json, not js" score --format js
    fails 2 "--epochs: '0' is no whole number from 1 to 1000000" cnn-train --epochs 0
    fails 2 "--seed: '18446744073709551616' is no whole number from 0 to 18446744073709551615" \
        cnn-train --seed 18446744073709551616
    fails 2 "--momentum: 'nan' is no number from 0 to 0.999999" cnn-train --momentum nan
}

# ---- pages ----------------------------------------------------------------------------------------------

@test "lowshot(1) names every tool in its list, and every page leads to it" {
    sed -n '/^\.Ss The tools/,/^\.El/s/^\.It Xr \(.*\) 1$/\1/p' "$ROOT/src/lowshot.1" | sort >listed
    (cd "$ROOT"/src && ls ./*.c) | sed 's,^\./,,; s,\.c$,,' | sort | diff - listed
    for tool in $TOOLS; do grep -q '^\.Xr lowshot 1' "$ROOT/src/$tool.1"; done
    # And every environment variable that the code asks for.
    grep -rhoE 'getenv\("LOWSHOT_[A-Z_]+' "$ROOT"/common "$ROOT"/kernels "$ROOT"/src | grep -oE 'LOWSHOT_[A-Z_]+' |
        sort -u >asked
    [ -s asked ]
    while read -r name; do grep -qx "\.It Ev $name" "$ROOT/src/lowshot.1"; done <asked
}

@test "tensor-stream(5) has every field and header key that tools write" {
    cat "$ROOT"/src/*.c "$ROOT"/common/formats/*.c | tr -d '\n' | grep -oE 'batch_put[a-z_]*\( *[^,]+, *"[a-z-]+"' |
        grep -oE '"[a-z-]+"' | tr -d '"' | sort -u >fields
    grep -qx top-score fields && grep -qx image fields
    while read -r name; do grep -qE "^\.It Li $name , No " "$ROOT/src/tensor-stream.5"; done <fields
    cat "$ROOT"/src/*.c "$ROOT"/common/*/*.c | tr -d '\n' | grep -oE 'stream_header_set_[a-z]+\([^,]+, *"[a-z-]+"' |
        grep -oE '"[a-z-]+"' | tr -d '"' | sort -u >keys
    grep -qx kinds keys && grep -qx embedding-of keys
    while read -r name; do grep -qx "\.It Li $name" "$ROOT/src/tensor-stream.5"; done <keys
}
