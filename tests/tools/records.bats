#!/usr/bin/env bats
# What every tool does with its input and output, shown on those that read and write records: writers
# that die, full disks, terminals, lengths that lie, files that appear whole or not at all, Python.
load common

setup() {
    common_setup
    make_cifar a.bin 600
    cifar-read a.bin >all
    end=34 # bytes of its end record: a map of "end" with a number of 3 bytes, and of the checksum
}

# ---- writers that die ---------------------------------------------------------------------------------

@test "a stream cut anywhere is refused and leaves no file" {
    size=$(stat -c %s all)
    for bytes in 1 20 150 200 300 1000 700000 800000 $((size - end)) $((size - end + 1)) $((size - 1)); do
        head -c "$bytes" all >cut
        fails 1 "cut: " class-filter --keep 0-9 cut -o out
        fails_with cut 1 "standard input: " class-filter --keep 0-9 -o out
        fails 1 "cut: " tensor-info cut
        leaves_nothing out
    done
}

@test "a file that may not grow is an error with a reason" {
    echo old >out
    (
        ulimit -f 100
        fails 1 "cannot write to out: File too large" cifar-read a.bin a.bin a.bin a.bin -o out
    )
    [ "$(cat out)" = old ]
    mv out kept
    leaves_nothing out
}

@test "what the writer's death leaves is named: within a record, between records" {
    size=$(stat -c %s all)
    head -c 1000 all >cut
    run -1 bash -c 'cat cut | class-filter --keep 0-9 -o out'
    [[ $output == "class-filter: standard input: row 0, byte 1000: field 'image': cut short within a record; the program that wrote it died"* ]]
    fails 1 "are left of the file; it is cut short" class-filter --keep 0-9 cut
    head -c $((size - end)) all >cut
    fails 1 "ends after 600 rows without an end record; the program that wrote it failed or was stopped" \
        class-filter --keep 0-9 cut
    cat cut all >two
    fails 1 "without an end record" class-filter --keep 0-9 two
}

@test "a tool that failed writes no end, so that the next one fails too" {
    printf '\012' | dd of=a.bin bs=1 seek=$((3073 * 500)) conv=notrunc status=none
    run -1 bash -c 'cifar-read a.bin | class-filter --keep 0-9 -o out'
    [ "${#lines[@]}" -eq 2 ]
    [[ $output == *"cifar-read: a.bin: row 500"* ]]
    [[ $output == *"class-filter: standard input: row 256, byte "*": ends after 256 rows without an end"* ]]
    leaves_nothing out
}

@test "no input at all" {
    : >empty
    fails 1 "empty: empty: no records came" class-filter --keep 0 empty -o out
    fails_with empty 1 "standard input: empty: no records came; did the program before in the pipe fail?" \
        class-filter --keep 0 -o out
    fails 1 "nowhere: cannot open: No such file" class-filter --keep 0 nowhere -o out
    fails 1 ".: is a folder" class-filter --keep 0 . -o out
    fails 1 "empty: empty" class-filter --keep 0 all empty -o out
    leaves_nothing out
}

@test "what is no stream" {
    fails 1 "a.bin: byte 1: not a tensor stream" tensor-info a.bin
    echo '{"tensor-stream": 1}' >json
    fails 1 "json: byte 1: not a tensor stream" tensor-info json
    { cat all; echo more; } >more
    fails 1 "not a tensor stream" tensor-info more
    printf '\201\255tensor-stream\002' >two
    fails 1 "of another version; this program reads version 1" tensor-info two
}

# ---- lengths that lie ---------------------------------------------------------------------------------

@test "lengths that claim gigabytes and terabytes, in little memory" {
    need_no_sanitizer
    need_python msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import msgpack
def head(n): return msgpack.Packer().pack_map_header(n)
start = msgpack.packb({"tensor-stream": 1, "classes": ["a"]})
def write(name, shape, data, kind=b"|u1"):
    with open(name, "wb") as out:
        out.write(start + head(1) + msgpack.packb("image") + head(4) + msgpack.packb(b"nd") + msgpack.packb(True))
        out.write(msgpack.packb(b"type") + msgpack.packb(kind.decode()) + msgpack.packb(b"shape") + msgpack.packb(shape))
        out.write(msgpack.packb(b"data") + data)
big = b"\xc6\xff\xff\xff\xff"
write("claims-4g", [2**32 - 1], big)
write("claims-terabytes", [2**40, 2**20], big)
write("overflows", [2**62, 8], b"\xc4\x00", b"<f8")
write("claims-1g", [2**30], b"\xc6\x40\x00\x00\x00" + b"x" * 100)
open("fields", "wb").write(start + b"\xdf\xff\xff\xff\xff")
open("classes", "wb").write(head(2) + msgpack.packb("tensor-stream") + b"\x01" + msgpack.packb("classes") + b"\xdd\xff\xff\xff\xff")
open("header", "wb").write(b"\xdf\xff\xff\xff\xff")
open("value", "wb").write(head(2) + msgpack.packb("tensor-stream") + b"\x01" + msgpack.packb("x") + b"\xdb\xff\xff\xff\xff")
open("deep", "wb").write(head(2) + msgpack.packb("tensor-stream") + b"\x01" + msgpack.packb("x") + b"\x91" * 100000)
PYTHON
    for file in claims-4g claims-terabytes overflows claims-1g fields classes header value deep; do
        (ulimit -v 100000 && fails 1 "$file: " class-filter --keep a "$file" -o out)
        (ulimit -v 100000 && fails_with "$file" 1 "standard input: " class-filter --keep a -o out)
    done
    leaves_nothing out
}

@test "memory does not grow with the rows" {
    need_no_sanitizer
    run -0 bash -c 'ulimit -v 300000; for i in $(seq 200); do cat all; done |
        class-filter --keep 0-7 | class-filter --quiet --drop 3 --per-class 50 --seed 1 | tensor-info'
    [[ ${lines[0]} == "standard input: a stream, 350 rows"* ]]
}

# ---- outputs ------------------------------------------------------------------------------------------

@test "a full disk" {
    for command in "cifar-read a.bin" "class-filter --keep 0 all" "tensor-info all" "class-filter --keep 0 --per-class 2 --seed 1 all"; do
        run -1 bash -c "$command >/dev/full"
        [[ $output == "${command%% *}: cannot write to standard output: No space left on device" ]]
        run -1 $command -o /dev/full
        [[ $output == "${command%% *}: cannot write to /dev/full: No space left on device" ]]
    done
    run -1 bash -c "cifar-read --help >/dev/full"
}

@test "records do not go to a terminal" {
    need_terminal
    for command in "cifar-read a.bin" "class-filter --keep 0 all"; do
        run -1 script -qec "$command" /dev/null
        [[ $output == *"${command%% *}: standard output is a terminal and a stream of "*" is not for reading; send it"* ]]
        [[ $output != *tensor-stream* ]]
        run -1 script -qec "$command -o /dev/tty" /dev/null
        [[ $output == *"/dev/tty is a terminal"* ]]
    done
    run -0 script -qec "tensor-info all" /dev/null
    run -1 script -qec "model-edit --drop a $ROOT/tests/fuzz/seeds-model/network" /dev/null
    [[ $output == *"a model is not for reading"* ]]
    run -1 script -qec "cifar-read a.bin" /dev/null
    [[ $output == *"a stream of pictures is not for reading"* ]]
}

@test "records do not come from a terminal" {
    need_terminal
    run -1 script -qec "class-filter --keep 0 >/dev/null" /dev/null
    [[ $output == *"standard input is a terminal"* ]]
}

@test "a reader that goes away ends the writer quietly" {
    run -0 bash -c 'for i in 1 2 3 4 5 6; do cat all; done | class-filter --keep 0-9 | head -c 100 >/dev/null
        [ "${PIPESTATUS[1]}" -eq 0 ]'
    [ -z "$output" ]
    run -0 bash -c 'cifar-read a.bin a.bin a.bin a.bin | head -c 100 | wc -c; [ "${PIPESTATUS[0]}" -eq 0 ]'
    [ "$output" = 100 ]
}

@test "-o makes the file whole or not at all" {
    cifar-read a.bin -o out
    cmp out all
    leaves_nothing nothing
    echo old >out
    head -c 1000000 all >cut
    fails 1 "cut: " class-filter --keep 0-9 cut -o out
    [ "$(cat out)" = old ]
    [ -z "$(compgen -G '.out.*')" ]
    class-filter --keep 0-9 all -o all
    cifar-read a.bin | cmp - all
}

@test "-o keeps permissions and writes through a link" {
    umask 022
    cifar-read a.bin -o out
    [ "$(stat -c %a out)" = 644 ]
    chmod 600 out
    ln -s out link
    class-filter --keep 0 all -o link
    [ -L link ]
    [ "$(stat -c %a out)" = 600 ]
    tensor-info out | grep -q '0  airplane *60 rows'
    # To a file that is not there yet, too, through two of them.
    mkdir scratch
    ln -s later scratch/first
    ln -s scratch/first second
    cifar-read a.bin -o second
    [ -L second ] && [ -L scratch/first ] && [ -f scratch/later ]
    ln -s round round
    fails 1 "" cifar-read a.bin -o round/x
}

@test "-o where no file can be" {
    fails 1 "no/such/out: cannot make a file there" cifar-read a.bin -o no/such/out
    fails 1 "is a folder; name a file" cifar-read a.bin -o .
    fails 1 "'new/' is no name for a file" cifar-read a.bin -o new/
    fails 1 "'' is no name for a file" cifar-read a.bin -o ''
}

# as_other COMMAND...: runs it as somebody who is not root; skips the test where there is nobody to be.
as_other() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    else
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    fi
}

need_other() {
    OPEN=$(mktemp -d /tmp/lowshot-test-XXXXXX)
    chmod 777 "$OPEN"
    as_other "$BIN/tensor-info" --version >/dev/null 2>&1 || skip "no other user can run the tools here"
    cp part "$OPEN/part"
    chmod 644 "$OPEN/part"
    cd "$OPEN"
}

# As another user, on input that never comes: class-filter -o FILE is refused at once, with PART.
refused() { # PART FILE
    run -1 as_other timeout 10 "$BIN/class-filter" --keep 0 -o "$2" < <(exec sleep 20 3>&-)
    [ "${#lines[@]}" -eq 1 ] && [[ $output == "class-filter: "*"$1"* ]] || { echo "$output"; return 1; }
}

teardown() { [ -z "${OPEN:-}" ] || rm -rf "$OPEN"; }

@test "-o does not replace what is write-protected, another's, or cannot be, and says so at once" {
    class-filter --keep 0-2 --per-class 8 --seed 1 all >part
    need_other
    as_other sh -c 'echo precious >keep; chmod 444 keep'
    refused "keep: is write-protected; --force replaces it all the same" keep
    [ "$(cat keep)" = precious ]
    as_other "$BIN/class-filter" --keep 0-2 --force part -o keep
    cmp <(tensor-info keep | tail -n +2) <(tensor-info part | tail -n +2)
    [ "$(stat -c %a keep)" = 444 ]
    long=$(printf '%0256d' 0)
    refused "File name too long" "$long"
    mkdir closed
    echo old >closed/out
    chmod 666 closed/out
    chmod 555 closed
    refused "closed/out: cannot make a file there: Permission denied" closed/out
    refused "keep/out: cannot make a file there: Not a directory" keep/out
    run -1 as_other timeout 10 "$BIN/cnn-train" --checkpoint closed/out < <(exec sleep 20 3>&-)
    [[ $output == "cnn-train: closed/out: cannot make a file there: Permission denied" ]]
    if [ "$(id -u)" -eq 0 ]; then
        mkdir -m 1777 sticky
        echo theirs >sticky/out
        chmod 666 sticky/out
        refused "another user's, in a folder where only its owner" sticky/out
    fi
    chmod 755 closed
    leaves_nothing nothing
}

@test "-o keeps owners, and tells of hard links" {
    class-filter --keep 0-2 --per-class 8 --seed 1 all >part
    echo old >one
    ln one two
    class-filter --keep 0 part -o one 2>said
    grep -q "one: is replaced under this name; under its 1 other names it stays as it was" said
    [ "$(cat two)" = old ]
    class-filter --keep 0 part -o two 2>said
    [ ! -s said ]
    [ "$(id -u)" -eq 0 ] || skip "owners: only root gives files away"
    chown 65534:65534 two
    chmod 640 two
    class-filter --keep 0 part -o two 2>said
    [ ! -s said ]
    [ "$(stat -c '%u %g %a' two)" = "65534 65534 640" ]
}

@test "-o to a mount is refused at once" {
    class-filter --keep 0 all >part
    echo other >source
    echo old >target
    unshare -m true 2>/dev/null || skip "no mounts can be made here"
    run -1 unshare -m sh -c 'mount --bind source target && class-filter --keep 0 part -o target'
    [[ $output == *"target: is a mount of its own, which no other file can replace"* ]]
    [ "$(cat source target)" = "$(printf 'other\nold')" ]
}

@test "every tool opens each input once" {
    class-filter --keep 0-2 --per-class 8 --seed 1 all >part
    echo 'conv:3x3x4 relu maxpool:8 dense:8 relu' >small.net
    cnn-train --quiet --device reference --arch @small.net --epochs 1 part -o model
    class-filter --keep 0-4 --per-class 8 --seed 1 all |
        embed --quiet --device reference --model model -o embedded
    imprint --quiet --no-calibrate --device reference --model model embedded -o imprinted
    class-filter --keep 7 --per-class 8 --seed 1 all | embed --quiet --device reference --model model |
        imprint --quiet --no-calibrate --device reference --model model -o others
    classify --quiet --device reference --model model embedded -o predictions
    score --format json predictions -o json
    once() { timeout 20 "$@" >/dev/null 2>said || { echo "$*: $(cat said)"; return 1; }; }
    once cnn-train --device reference --arch @<(cat small.net) --val <(cat part) --epochs 1 <(cat part)
    once cnn-train --device reference --init <(cat model) --epochs 1 <(cat part) <(cat part)
    once embed --device reference --model <(cat model) <(cat part) <(cat part)
    once imprint --device reference --model <(cat model) <(cat embedded)
    once imprint --device reference --model <(cat model) --base <(cat embedded) <(cat embedded)
    once classify --device reference --model <(cat imprinted) <(cat embedded)
    once score <(cat predictions)
    once score --runs <(cat json) <(cat json)
    once tensor-info <(cat part) <(cat model)
    once model-edit --drop 0 <(cat imprinted)
    once model-merge <(cat imprinted) <(cat others)
    once pnm-sheet <(cat part)
    once class-filter --keep 0 <(cat part) <(cat part)
}

@test "-o and --log to a named descriptor go on where it stands" {
    class-filter --keep 0-2 --per-class 8 --seed 1 all >part
    tensor-info part >info
    ln -s /dev/fd/5 link
    ln -s link links
    mkdir folder
    ln -s ../links folder/deep
    for name in /dev/stdout /dev/fd/1 /proc/self/fd/1 /proc/thread-self/fd/1 /dev/fd/5 links folder/deep ./folder/../links; do
        echo "the user's old lines" >log
        inode=$(stat -c %i log)
        tensor-info part -o "$name" >>log 5>&1
        cmp log <(echo "the user's old lines"; cat info) || { echo "$name"; return 1; }
        { echo begin; tensor-info part -o "$name" 5>&1; echo end; } >log
        cmp log <(echo begin; cat info; echo end) || { echo "$name"; return 1; }
        [ "$(stat -c %i log)" = "$inode" ]
        [ "$(tensor-info part -o "$name" 5>&1 | cksum)" = "$(cksum <info)" ]
    done
    [ -L link ] && [ -L links ] && [ -L folder/deep ]
    # Of another process: added to what it wrote.
    echo old >log
    sleep 60 >>log &
    until [ "$(readlink "/proc/$!/fd/1")" = "$PWD/log" ]; do sleep 0.05; done
    tensor-info part -o "/proc/$!/fd/1"
    kill $!
    cmp log <(echo old; cat info)
    # The log of a training, which is truncated under any other name.
    echo 'dense:8 relu' >small.net
    echo old >log
    cnn-train --device reference --arch @small.net --epochs 2 --log /dev/fd/3 -o model part 3>>log
    [ "$(head -1 log)" = old ] && [ "$(wc -l <log)" -eq 3 ]
    fails 1 "/dev/fd/9: the tool was started without a file descriptor 9" tensor-info part -o /dev/fd/9
    fails 1 "/dev/stdin: is open for reading only" tensor-info part -o /dev/stdin
    leaves_nothing nothing
}

# Whether process JOB has a file open in this folder that is not finished: without a name, or with a temporary one.
writes_file() {
    ls -l "/proc/$1/fd" | grep -qE "$PWD/(#[0-9]+ \(deleted\)|\.out\.)"
}

@test "a tool that is stopped leaves nothing behind" {
    mkfifo pipe
    signals="TERM INT HUP QUIT XCPU"
    # Where the file system has files without a name, not even then.
    ! "$PYTHON" -c 'import os; os.open(".", os.O_TMPFILE | os.O_WRONLY)' || signals+=" KILL"
    for signal in $signals; do
        # A shell's background job ignores SIGINT from its start on; env puts that right.
        env --default-signal=INT,QUIT class-filter --keep 0-9 pipe -o out &
        job=$!
        exec 7>pipe
        head -c 1000000 all >&7
        for i in $(seq 100); do writes_file "$job" && break; sleep 0.05; done
        writes_file "$job"
        kill -"$signal" "$job"
        run ! wait "$job"
        exec 7>&-
        leaves_nothing out
    done
}

@test "closed standard streams: no message lands in a file, the same bytes as with them open" {
    echo 'conv:3x3x4 relu maxpool:8 dense:8 relu' >small.net
    class-filter --keep 0-2 all >three
    train() { cnn-train --device reference --arch @small.net --epochs 2 --seed 1 "$@" three; }
    train -o wanted --log log.wanted
    for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&- 2>&-' '1>&- 2>&-'; do
        rm -f model log out info
        eval "train -o model --log log $closed"
        cmp model wanted
        diff <(jq 'del(.time, .seconds, .images_per_second)' log) <(jq 'del(.time, .seconds, .images_per_second)' log.wanted)
        eval "class-filter --keep 0-2 all -o out $closed"
        cmp out three
        eval "tensor-info three -o info $closed"
        cmp info <(tensor-info three)
        # A failure is one still, and leaves what was there.
        run -1 bash -c "class-filter --keep nothing all -o out $closed"
        cmp out three
    done
    for tool in "$BIN"/*; do
        [[ $tool != *.so && $tool != */lowshot ]] || continue
        "$tool" --version 0<&- 2>&- >said
        grep -q "^${tool##*/} (lowshot)" said
        run -1 bash -c "$tool --version 1>&-"
        [[ $output == "${tool##*/}: cannot write to standard output: "* ]]
    done
    run -1 bash -c 'class-filter --keep 0 0<&-'
    [[ $output == "class-filter: standard input: "*"Bad file descriptor" ]]
    run -1 bash -c 'class-filter --keep 0 all 1>&-'
    [[ $output == "class-filter: cannot write to standard output: Bad file descriptor" ]]
}

# ---- progress -----------------------------------------------------------------------------------------

@test "progress on a terminal or when asked for, and never with --quiet" {
    need_terminal
    run -0 bash -c 'cifar-read a.bin 2>&1 >/dev/null'
    [ -z "$output" ]
    run -0 bash -c 'cifar-read --progress a.bin 2>&1 >/dev/null'
    [[ $output == *"600 of 600 pictures"* ]]
    run -0 script -qec "cifar-read a.bin >/dev/null" /dev/null
    [[ $output == *"600 of 600 pictures"* ]]
    run -0 script -qec "cifar-read --quiet a.bin >/dev/null" /dev/null
    [ -z "$output" ]
}

@test "progress in a file is lines, one every ten seconds" {
    { cifar-read a.bin; sleep 10.2; cifar-read a.bin; cifar-read a.bin; } | class-filter --keep 0-9 --progress -o out 2>said
    [ "$(wc -l <said)" -eq 2 ]
    ! grep -q $'[\r\e]' said
    [ "$(grep -cE '^class-filter: [0-9]+ (rows|of).*, [0-9]+/s' said)" -eq 2 ]
    tail -n 1 said | grep -q '^class-filter: 1800 '
}

@test "the progress line is no wider than the terminal" {
    need_terminal
    for columns in 20 33 80; do
        # cifar-read's line has 45 columns or so.
        run -0 script -qec "stty columns $columns; cifar-read a.bin >/dev/null" /dev/null </dev/null
        text=${output//$'\e[K'/}
        widest=$(tr '\r' '\n' <<<"$text" | awk '{ print length }' | sort -n | tail -n 1)
        [ "$widest" -lt "$columns" ]
        [ "$widest" -gt 15 ]
        [[ $text == *"cifar-read: 600 "* ]]
    done
}

# ---- Python -------------------------------------------------------------------------------------------

@test "a Python filter between two tools" {
    need_python numpy msgpack_numpy
    cifar-read a.bin | "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    if "image" in r:
        r = {"image": 255 - r["image"], "label": r["label"].astype("i8")}
    sys.stdout.buffer.write(msgpack_numpy.packb(r))' >turned
    tensor-info turned | grep -q 'label  int64 \[600\]'
    class-filter --keep ship turned | tensor-info | grep -q '8  ship *60 rows'
}

@test "a tool's bytes are those that Python writes for the same records" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for r in msgpack.Unpacker(open("all", "rb"), object_hook=msgpack_numpy.decode):
    if "end" not in r: sys.stdout.buffer.write(msgpack_numpy.packb(r))' | cmp - <(head -c -$end all)
}

# ---- checksums ----------------------------------------------------------------------------------------

# flip FILE BIT: turns one bit over, in place.
flip() {
    local byte
    byte=$(od -An -tu1 -j $(($2 / 8)) -N 1 "$1")
    printf "\\$(printf %o $((byte ^ 1 << $2 % 8)))" | dd of="$1" bs=1 seek=$(($2 / 8)) conv=notrunc status=none
}

@test "a flipped bit anywhere in a stream or a model is refused" {
    need_python msgpack_numpy
    class-filter --keep 0-2 --per-class 4 --seed 1 all >stream
    "$PYTHON" "$ROOT/tests/tools/embeddings.py" cat,dog,ship 30 8 1 | imprint --quiet >model
    RANDOM=15
    for file in stream model; do
        bits=$((8 * $(stat -c %s $file)))
        tensor-info $file >/dev/null
        for ((i = 0; i < 200; i++)); do
            bit=$(((RANDOM << 15 | RANDOM) % bits))
            flip $file $bit
            fails 1 "$file: " tensor-info $file || { echo "bit $bit of $file"; return 1; }
            [ $((i % 20)) -gt 0 ] || fails 1 "$file: " class-filter --keep 0 $file -o out
            flip $file $bit
        done
        tensor-info $file | grep -qx 'checksum: right'
    done
    leaves_nothing out
}

@test "Python checks the checksum and writes it, as the page says" {
    need_python msgpack_numpy xxhash
    "$PYTHON" "$ROOT/tests/tools/embeddings.py" cat,dog,ship 30 8 1 | imprint --quiet >model
    # The page's examples, as they stand there.
    sed 's/\\e/\\/g' "$ROOT/src/tensor-stream.5" | awk '/^\.Bd -literal/ {n++; on = 1; next} /^\.Ed/ {on = 0} on {print >("block" n)}'
    writing=$(grep -l '"end": 100})' block*) summing=$(grep -l 'digest.update' block*) checking=$(grep -l 'unpacker.tell' block*)
    sed 's/^write({.*//' "$writing" | cat - "$summing" >write.py
    sed -i '1i import msgpack' write.py
    "$PYTHON" write.py >written
    tensor-info written | grep -qx 'checksum: right'
    cat model all written all >train.records
    { echo 'import msgpack, xxhash'; cat "$checking"; } >check.py
    "$PYTHON" check.py
    flip train.records 80000
    run -1 "$PYTHON" check.py
    [[ $output == *AssertionError* ]]
}

@test "every type that Python may write, old and new kinds of text" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import numpy, msgpack, msgpack_numpy
fields = {t: numpy.arange(3).astype(t) for t in "? u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8".split()}
for name, new in (("new", True), ("old", False)):
    with open(name, "wb") as out:
        for r in ({"tensor-stream": 1, "classes": ["é"]}, fields, {"end": 3}):
            out.write(msgpack_numpy.packb(r, use_bin_type=new))'
    tensor-info new | tail -n +2 >a
    tensor-info old | tail -n +2 >b
    cmp a b
    [ "$(grep -c '\[3\]' a)" -eq 12 ]
    grep -q '  f2  float16 \[3\]' a
    grep -q '  0  é' a
}

@test "pictures of channels first are refused where they would pass, and --layout chw puts them right" {
    need_python numpy msgpack_numpy
    class-filter --keep 0-3 all >last
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy, numpy
for r in msgpack.Unpacker(open("last", "rb"), object_hook=msgpack_numpy.decode):
    if "image" in r: r["image"] = numpy.ascontiguousarray(r["image"].transpose(0, 3, 1, 2))
    sys.stdout.buffer.write(msgpack_numpy.packb(r))' >first
    echo 'dense:8 relu' >small.net
    train() { cnn-train --quiet --device reference --arch @small.net --epochs 1 "$@"; }
    train last -o wanted
    for tool in "cnn-train --arch @small.net" pnm-sheet; do
        fails 1 "pictures of 3 x 32 x 32, which would be 32 channels; channels come last: --layout chw" $tool first -o out
    done
    fails 1 "first: rows 1 to" cnn-train --arch @small.net first -o out
    fails 1 "--layout chw" cnn-train --arch @small.net --val first last -o out
    train --layout chw first -o model
    cmp model wanted
    embed --quiet --device reference --model wanted last >embedded
    fails 1 "the model takes 32 x 32 x 3; --layout chw puts the channels last" embed --model wanted first -o out
    embed --quiet --device reference --layout chw --model wanted first | cmp - embedded
    pnm-sheet last >sheet
    pnm-sheet --layout chw first | cmp - sheet
    train --layout hwc first -o odd # pictures 3 high and 32 wide of 32 channels, if one says so
    tensor-info odd | grep -q 'input: 3 x 32 x 32'
    cnn-train --quiet --device reference --init odd --epochs 1 first -o odder
    leaves_nothing out
}

@test "texts that are not UTF-8 are refused where they enter" {
    need_python numpy msgpack msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import msgpack, numpy, msgpack_numpy
def latin(text): return msgpack.packb(text.encode("latin1"), use_bin_type=False) # as str, as it is
def head(pairs): return msgpack.Packer().pack_map_header(pairs)
def pack(o): return msgpack.packb(o, default=msgpack_numpy.encode)
def array(n): return msgpack.Packer().pack_array_header(n)
begin, end = head(2) + pack("tensor-stream") + pack(1), pack({"end": 2})
rows = pack({"label": numpy.array([0, 0]), "x": numpy.zeros(2)})
def write(name, *parts): open(name, "wb").write(b"".join(parts))
write("class", begin, pack("classes"), array(1), latin("Gr\xf6\xdfe"), rows, end)
write("note", head(3), pack("tensor-stream"), pack(1), pack("classes"), pack(["a"]), pack("made-by"), latin("J\xf6rg"), rows, end)
write("deep", head(3), pack("tensor-stream"), pack(1), pack("classes"), pack(["a"]), pack("more"), array(2), pack(1), array(1), latin("J\xf6rg"), rows, end)
write("key", head(3), pack("tensor-stream"), pack(1), pack("classes"), pack(["a"]), latin("\xe9t\xe9"), pack(1), rows, end)
write("field", begin, pack("classes"), pack(["a"]), head(1), latin("\xe9t\xe9"), pack(numpy.zeros(2)), end)
write("column", begin, pack("classes"), pack(["a"]), head(1), pack("path"), array(2), pack("fine"), latin("\xe9t\xe9"), end)
write("right", head(3), pack("tensor-stream"), pack(1), pack("classes"), pack(["Größe", "猫"]), pack("été"), pack(["ö", b"\xf6"]),
      pack({"label": numpy.array([0, 1]), "path": ["日本", "naïve"], "ü": numpy.zeros(2)}), end)
PYTHON
    for kind in "class:class 0 in the header: the class name" "note:key 'made-by': the text" "deep:key 'more': the text" \
        "key:the header's key" "field:the field name" "column:the text"; do
        fails 1 "${kind%%:*}: " tensor-info "${kind%%:*}"
        fails 1 "${kind#*:}" class-filter --keep 0 "${kind%%:*}" -o out
        fails 1 "is not UTF-8; \`iconv -f LATIN1 -t UTF-8\` converts it" tensor-info "${kind%%:*}"
    done
    class-filter --keep 猫 right >kept
    "$PYTHON" -c '
import msgpack, msgpack_numpy
r = list(msgpack.Unpacker(open("kept", "rb"), object_hook=msgpack_numpy.decode))
assert r[0]["classes"][1] == "猫" and r[0]["été"] == ["ö", b"\xf6"] and r[1]["path"] == ["naïve"] and "ü" in r[1], r'
    "$PYTHON" "$ROOT/tests/tools/embeddings.py" cat,dog 30 8 1 | imprint --quiet >model
    fails 1 "the class name 'Gr" model-edit --rename cat="$(printf 'Gr\366\337e')" model -o out
    leaves_nothing out
}

@test "what Python may write and no tool can read" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import numpy, msgpack, msgpack_numpy
a = numpy.arange(3)
cases = {"big": a.astype(">i4"), "complex": a.astype("c8"), "text": a.astype("U3"), "objects": a.astype(object),
    "structure": numpy.zeros(3, [("x", "f4"), ("y", "i2")]), "scalar": numpy.float32(1), "number": 3,
    "list": [1, 2, 3], "whole": numpy.array(3.0), "hollow": numpy.zeros((3, 0)), "bytes": a.astype("S3")}
for name, value in cases.items():
    with open(name, "wb") as out:
        for r in ({"tensor-stream": 1}, {"field": value}, {"end": 3}):
            out.write(msgpack_numpy.packb(r))
with open("rows", "wb") as out:
    for r in ({"tensor-stream": 1}, {"one": numpy.zeros(3), "two": numpy.zeros((2, 3))}, {"end": 3}):
        out.write(msgpack_numpy.packb(r))'
    fails 1 "field 'field': has big-endian numbers ('>i4'); convert it with .astype('<i4')" tensor-info big
    fails 1 "has type '<c8'; only bool, whole numbers and floats can be read" tensor-info complex
    fails 1 "has type '<U3'" tensor-info text
    fails 1 "has type '|S3'" tensor-info bytes
    fails 1 "structured type" tensor-info structure
    fails 1 "is a single number" tensor-info scalar
    fails 1 "is no tensor and no column of texts; encode arrays with msgpack_numpy" tensor-info number
    fails 1 "is an array with something else than texts" tensor-info list
    fails 1 "has no dimensions" tensor-info whole
    fails 1 "has a dimension of 0" tensor-info hollow
    fails 1 "row 0, byte " tensor-info objects
    fails 1 "field 'two' has 2 rows where 'one' has 3" tensor-info rows
}

@test "scores over different classes do not concatenate" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import numpy, msgpack, msgpack_numpy
for name, classes in (("ab", ["a", "b"]), ("ba", ["b", "a"])):
    with open(name, "wb") as out:
        for r in ({"tensor-stream": 1, "classes": classes},
                  {"label": numpy.array([0, 1], "u1"), "prediction": numpy.array([1, 1]), "score": numpy.eye(2, dtype="f4")}, {"end": 2}):
            out.write(msgpack_numpy.packb(r))'
    tensor-info ab ab | grep -q 'score *float32 \[2, 2\]'
    cat ab ab | tensor-info | grep -q 'score *float32 \[4, 2\]'
    cat ab ba >both
    fails 1 "scores over another list of classes than the stream's before it" tensor-info both
}

@test "where the input pauses, what came goes out at once" {
    need_python numpy msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import sys, numpy as np, msgpack_numpy
rng = np.random.default_rng(3)
with open("pictures", "wb") as f:
    for r in ({"tensor-stream": 1, "classes": ["cat", "dog"]},
              {"image": rng.integers(0, 256, (20, 8, 8, 3), dtype="u1"), "label": np.arange(20, dtype="i4") % 2}, {"end": 20}):
        f.write(msgpack_numpy.packb(r))
PYTHON
    echo 'conv:3x3x8:same relu avgpool:8' >net
    cnn-train --quiet --device cpu --arch @net --epochs 1 pictures -o m.model
    "$PYTHON" - <<'PYTHON'
import os, select, subprocess, numpy as np, msgpack_numpy
line = "row-filter --where class=cat | embed --quiet --device cpu -m m.model | classify --quiet --device cpu -m m.model --format tsv"
p = subprocess.Popen(["bash", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def send(record):
    p.stdin.write(msgpack_numpy.packb(record))
    p.stdin.flush()
send({"tensor-stream": 1, "classes": ["cat", "dog"]})
said = b""
for row in range(3):
    send({"image": np.full((1, 8, 8, 3), 50 * row, "u1"), "label": np.zeros(1, "i4")})
    while said.count(b"\n") < row + 2:      # its line, and the heading; the input stays open
        assert select.select([p.stdout], [], [], 60)[0], (row, said)
        part = os.read(p.stdout.fileno(), 65536)
        assert part, said
        said += part
    assert said.splitlines()[-1].startswith(b"%d\t" % row), said
send({"end": 3})
p.stdin.close()
assert p.wait() == 0
PYTHON
}
