# common.bash: what the tools' tests share. In a bats file: `load common`, then in setup():
# `common_setup`. Tools are on the PATH, from BIN (default: bin/); every test stands in a scratch folder
# of its own, which goes away afterwards.

bats_require_minimum_version 1.5.0

common_setup() {
    ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BIN=${BIN:-$ROOT/bin}
    PATH=$BIN:$PATH
    PYTHON=/usr/bin/python3
    [ -x "$PYTHON" ] || PYTHON=python3
    cd "$BATS_TEST_TMPDIR" || return 1
}

# ---- data: sets a variable, or skips the test by name -----------------------------------------------

# CIFAR10: a folder with data_batch_1..5.bin and test_batch.bin, 1,000 records each: original ones, or where they are
# not at hand made ones that can be learned as well.
need_cifar10() {
    CIFAR10=${CIFAR10_HEAD:-$ROOT/../shared/data/cifar-10-head}
    [ ! -e "$CIFAR10/test_batch.bin" ] || return 0
    CIFAR10=$BATS_FILE_TMPDIR/cifar10
    [ -e "$CIFAR10/test_batch.bin" ] || learnable_cifar "$CIFAR10"
}

# Each class has stripes of its own, half seen through noise.
learnable_cifar() {
    mkdir -p "$1"
    (cd "$1" && "$PYTHON" - <<'PYTHON'
import math, random
random.seed(1)
halves = int.from_bytes(b"\xfe" * 3072, "big")
stripes = [int.from_bytes(bytes(int(128 + 60 * math.sin((1 + c % 5) * (x if c < 5 else y) / 5 + plane + c)) for plane in range(3)
                                for y in range(32) for x in range(32)), "big") & halves for c in range(10)]
for name in ["data_batch_%d" % k for k in range(1, 6)] + ["test_batch"]:
    with open(name + ".bin", "wb") as out:
        for _ in range(1000):
            label = random.randrange(10)
            noise = int.from_bytes(random.randbytes(3072), "big") & halves
            out.write(bytes([label]) + ((stripes[label] >> 1) + (noise >> 1)).to_bytes(3072, "big"))
with open("batches.meta.txt", "w") as out:
    out.write("airplane automobile bird cat deer dog frog horse ship truck\n".replace(" ", "\n"))
PYTHON
    )
}

# FASHION: the folder of Debian's dataset-fashion-mnist, gzipped IDX files.
need_fashion() {
    FASHION=/usr/share/datasets/fashion-mnist
    [ -d "$FASHION" ] || FASHION=$(dirname "$(dpkg -L dataset-fashion-mnist 2>/dev/null | grep -m1 train-images)")
    [ -e "$FASHION"/train-images-idx3-ubyte.gz ] || skip "dataset-fashion-mnist is not installed"
}

need_python() { # MODULE...
    local module
    for module; do
        "$PYTHON" -c "import $module" 2>/dev/null || skip "Python's $module is not installed"
    done
}

# `script` runs a command on a terminal of its own, where there is /dev/pts.
need_terminal() {
    script -qec true /dev/null >/dev/null 2>&1 </dev/null || skip "no terminals can be made here"
}

# Sanitizers reserve terabytes of addresses: a limit on them would stop every program.
need_no_sanitizer() {
    [[ $BIN != *-sanitize ]] || skip "not under a sanitizer: it limits memory"
}

# make_cifar FILE ROWS: ROWS made-up CIFAR-10 records, labels 0-9 in turn, the same on every machine.
make_cifar() {
    need_python numpy
    "$PYTHON" - "$1" "$2" <<'PYTHON'
import sys, numpy
rows = int(sys.argv[2])
records = numpy.random.RandomState(7).randint(0, 256, (rows, 3073)).astype(numpy.uint8)
records[:, 0] = numpy.arange(rows) % 10
records.tofile(sys.argv[1])
PYTHON
}

# peak_memory COMMAND...: runs it and writes its largest resident size, in KiB, to the file `peak`.
peak_memory() {
    need_python resource
    "$PYTHON" -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
open("peak", "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)' "$@"
}

# ---- checks ------------------------------------------------------------------------------------------

# fails STATUS PART COMMAND...: the command ends with that status, says nothing on stdout that counts as
# a whole result, and one line on stderr, "tool: ..." with PART in it.
fails() {
    local want=$1 part=$2 status=0
    shift 2
    "$@" >stdout.log 2>stderr.log </dev/null || status=$?
    said_once "$want" "$status" "$part" "$1"
}

# The same with records on standard input: fails_with FILE STATUS PART COMMAND...
fails_with() {
    local input=$1 want=$2 part=$3 status=0
    shift 3
    "$@" >stdout.log 2>stderr.log <"$input" || status=$?
    said_once "$want" "$status" "$part" "$1"
}

said_once() { # WANTED STATUS PART TOOL, and stderr.log
    if [ "$2" -ne "$1" ]; then
        echo "$4: exit status $2 where $1 was expected; it said:"
        cat stderr.log
        return 1
    fi
    if ! grep -qF -- "$3" stderr.log; then
        echo "$4 did not say '$3' but:"
        cat stderr.log
        return 1
    fi
    if [ "$(wc -l <stderr.log)" -ne 1 ]; then
        echo "$4 said more than one line:"
        cat stderr.log
        return 1
    fi
    if ! grep -q "^${4##*/}: " stderr.log; then
        echo "$4 does not name itself:"
        cat stderr.log
        return 1
    fi
}

# leaves_nothing FILE...: none of them is there, nor a temporary one beside them.
leaves_nothing() {
    local file
    for file; do
        if [ -e "$file" ] || compgen -G "$(dirname "$file")/.$(basename "$file").*" >/dev/null; then
            echo "$file or a part of it is there"
            ls -la "$(dirname "$file")"
            return 1
        fi
    done
}
