# --device cuda: what is said where it cannot be had, and what the tools do with it where it can. There is no GPU
# here: where a test needs one it takes the plug-in that is built for the CPU (`make emulated`).

load common

setup() {
    common_setup
    BUILD=${BUILD:-build}
    EMULATED=$(cd "$ROOT" && realpath "$BUILD")/emulated/backend-cuda.so
    echo 'conv:3x3x8 relu maxpool:2 dropout:0.25 dense:16 relu' >tiny.net
    make_cifar made.bin 100
    cifar-read made.bin >rows
}

# The plug-in for the CPU; its "card" is the emulation's.
need_emulated() {
    [[ $BIN != *-sanitize ]] || skip "not under a sanitizer: the emulation's threads change stacks"
    [ -e "$EMULATED" ] || skip "no plug-in for the CPU; it takes a C++ compiler"
    export LOWSHOT_PLUGIN=$EMULATED
}

# refuses PART: every tool with --device says PART in one line, exits 1 and leaves no file.
refuses() {
    fails 1 "$1" cnn-train --device cuda --arch @tiny.net --epochs 1 -o new.model rows
    fails 1 "$1" embed --device cuda --model model -o new.embeddings rows
    fails 1 "$1" classify --device cuda --model model -o new.predictions embeddings
    fails 1 "$1" imprint --device cuda --model model -o new.imprinted embeddings
    leaves_nothing new.model new.embeddings new.predictions new.imprinted
}

make_model() {
    class-filter --quiet --keep 0-7 rows >eight
    cnn-train --quiet --device cpu --epochs 1 --arch @tiny.net eight >model
    class-filter --quiet --keep 8 rows | embed --quiet --device cpu --model model >embeddings
}

@test "the tools link none of CUDA's libraries" {
    for tool in "$BIN"/*; do
        case $tool in *.so | */lowshot) continue ;; esac # lowshot is a script
        run -0 ldd "$tool"
        [[ ! $output =~ lib(cuda|cudnn|cublas|cusolver|cudart|nv) ]] || { echo "$tool: $output"; return 1; }
    done
}

@test "cuda without a plug-in says so, and where it was looked for" {
    make_model
    export LOWSHOT_PLUGIN=$PWD/nowhere/backend-cuda.so
    refuses "there is no plug-in $PWD/nowhere/backend-cuda.so; build it with nvcc, or use --device cpu"
}

@test "cuda with a plug-in that lacks a library names the library" {
    command -v cc >/dev/null || skip "no C compiler"
    make_model
    echo 'int lost(void) { return 1; }' >lost.c
    echo 'int lost(void); int use(void) { return lost(); }' >use.c
    cc -shared -fPIC -o libcudnn-lost.so lost.c
    cc -shared -fPIC -o plugin.so use.c -L. -lcudnn-lost
    rm libcudnn-lost.so
    export LOWSHOT_PLUGIN=$PWD/plugin.so
    refuses "lacks a library of CUDA: libcudnn-lost.so"
}

@test "cuda without a driver or a device names what is missing" {
    [ -e "$BIN/backend-cuda.so" ] || skip "the plug-in was not built: there was no nvcc"
    make_model
    unset LOWSHOT_PLUGIN
    status=0
    CUDA_VISIBLE_DEVICES= cnn-train --device cuda --arch @tiny.net --epochs 1 -o new.model rows 2>stderr.log || status=$?
    cat stderr.log
    [ "$status" -eq 1 ]
    [ "$(wc -l <stderr.log)" -eq 1 ]
    grep -qE '^cnn-train: CUDA: .*(there is no driver|driver is older|there is no device|lacks a library).*--device cpu' stderr.log
    leaves_nothing new.model
}

@test "cuda on a machine with a driver but no device says that" {
    need_emulated
    make_model
    export EMULATED_DEVICES=0
    refuses "there is no device (CUDA_VISIBLE_DEVICES hides some); use --device cpu"
}

@test "a device of a number that is not there is refused with those that are" {
    need_emulated
    make_model
    fails 1 "there is no device cuda:1; there is only cuda:0" embed --device cuda:1 --model model rows
    EMULATED_DEVICES=3 fails 1 "there is no device cuda:3; there are cuda:0 to cuda:2" embed --device cuda:3 --model model rows
    EMULATED_DEVICES=3 embed --quiet --device cuda:2 --model model rows >out
}

@test "a precision or card that does not fit is refused" {
    need_emulated
    make_model
    export EMULATED_CAPABILITY=7.5
    fails 1 "precision bf16 takes compute capability 8.0" embed --device cuda --precision bf16 --model model rows
    embed --progress --device cuda --model model rows 2>said >out
    grep -q 'computes on cuda (cuda:0, emulated, fp32)' said
    EMULATED_CAPABILITY=6.1 refuses "compute capability 6.1; it takes 7.5 or more"
}

@test "auto takes the CPU and says why, once" {
    make_model
    export LOWSHOT_PLUGIN=$PWD/nowhere.so
    embed --progress --model model rows 2>said >out
    [ "$(grep -c 'no GPU: CUDA: there is no plug-in' said)" -eq 1 ]
    grep -q 'computes on cpu' said
    embed --model model rows 2>said >again
    [ ! -s said ]
    cmp out again
}

@test "without a card auto says nothing of it on a terminal; with one that cannot be used, it does" {
    need_terminal
    make_model
    export LOWSHOT_PLUGIN=$PWD/nowhere.so
    mkdir -p none card/0000:01:00.0 sound/0000:01:00.1
    echo 0x10de | tee card/0000:01:00.0/vendor >sound/0000:01:00.1/vendor
    echo 0x030200 >card/0000:01:00.0/class
    echo 0x040300 >sound/0000:01:00.1/class
    unshare -rm mount --bind none /sys/bus/pci/devices 2>/dev/null || skip "no mounts of one's own can be made here"
    on_bus() {
        unshare -rm bash -c 'mount --bind "$0" /sys/bus/pci/devices &&
            script -qec "embed --model model rows >out" /dev/null' "$1" </dev/null
    }
    for bus in none sound; do
        run -0 on_bus $bus
        [[ $output == *"computes on cpu"* ]]
        [[ $output != *GPU* ]]
    done
    run -0 on_bus card
    [ "$(grep -c 'no GPU: CUDA: there is no plug-in' <<<"$output")" -eq 1 ]
}

@test "auto: imprint and classify want a GPU only where there is work enough for one" {
    need_python numpy msgpack msgpack_numpy
    make_model
    export LOWSHOT_PLUGIN=$PWD/nowhere.so
    imprint --progress --model model embeddings 2>said >nine
    classify --progress --model nine embeddings 2>>said >out
    [ "$(grep -c 'computes on cpu' said)" -eq 2 ]
    ! grep -q 'GPU' said
    # Twelve thousand rows of six thousand classes.
    names=$(seq -s, -f c%g 6000)
    "$PYTHON" "$ROOT"/tests/tools/embeddings.py "$names" 2 512 >many
    imprint --quiet --method mean --no-calibrate many -o many.model
    classify --progress --threads 1 --model many.model --format tsv many 2>said >out
    [ "$(grep -c 'no GPU: CUDA: there is no plug-in' said)" -eq 1 ]
    [ "$(wc -l <out)" -eq 12001 ]
    classify --quiet --threads 1 --model many.model --format tsv --device cpu many >again
    cmp out again
    if [ -e "$EMULATED" ] && [[ $BIN != *-sanitize ]]; then
        LOWSHOT_PLUGIN=$EMULATED classify --progress --model nine embeddings 2>said >out
        grep -q 'computes on cpu' said
        LOWSHOT_PLUGIN=$EMULATED classify --progress --device cuda --model nine embeddings 2>said >out
        grep -q 'computes on cuda' said
    fi
}

@test "auto takes a GPU that works" {
    need_emulated
    cnn-train --progress --arch @tiny.net --epochs 1 rows >model 2>said
    grep -q 'computes on cuda (cuda:0, emulated, bf16)' said
    ! grep -q 'no GPU' said
}

@test "out of memory says what was asked for, what was free, and what helps" {
    need_emulated
    make_model
    export EMULATED_MEMORY=2000000
    fails 1 "of 1.9 MiB free; take a smaller --batch" \
        cnn-train --device cuda --arch @tiny.net --batch 5000 --epochs 1 -o new.model rows
    grep -q 'wanted for a network and its activations for 5000 rows' stderr.log
    leaves_nothing new.model
}

@test "deterministic training on the device gives the same bytes, in one call or resumed" {
    need_emulated
    train() { cnn-train --quiet --device cuda --deterministic --arch @tiny.net --batch 16 rows "$@"; }
    train --epochs 2 >once
    train --epochs 2 >twice
    cmp once twice
    EMULATED_SEED=99 train --epochs 2 >elsewhere # work done in another order
    cmp once elsewhere
    train --epochs 1 --checkpoint half >/dev/null
    train --epochs 2 --resume half >resumed
    cmp once resumed
}

@test "the device trains, embeds, imprints and classifies as the CPU does" {
    need_emulated
    need_python numpy msgpack msgpack_numpy
    class-filter --quiet --keep 0-7 rows >eight
    for device in cpu cuda; do
        on=(--quiet --device $device --precision fp32)
        cnn-train "${on[@]}" --arch @tiny.net --epochs 2 --batch 16 eight >$device.model
        embed "${on[@]}" --batch 96 --model cpu.model rows >$device.embeddings
        class-filter --quiet --keep 8,9 cpu.embeddings |
            imprint "${on[@]}" --method mean --no-calibrate --model cpu.model >$device.nine
        classify "${on[@]}" --model $device.nine --keep-embedding cpu.embeddings >$device.predictions
    done
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def load(path):
    fields = {}
    for record in msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode, strict_map_key=False):
        for name, value in record.items(): # which rows are kept as a sample their bytes decide
            if isinstance(value, np.ndarray) and not name.startswith("base/exemplars"):
                fields.setdefault(name, []).append(value)
    return fields
for name, key, bound in (("model", None, 2e-3), ("embeddings", "embedding", 1e-4), ("nine", None, 1e-4),
                         ("predictions", "score", 1e-4)):
    a, b = load("cpu." + name), load("cuda." + name)
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    for field in a if key is None else [key]:
        x, y = (np.concatenate([p.ravel() for p in s[field]]).astype(float) for s in (a, b))
        assert np.abs(x - y).max() <= bound * max(np.abs(x).max(), 1e-3), (name, field, np.abs(x - y).max())
PYTHON
}
