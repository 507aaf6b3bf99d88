#!/usr/bin/env bats
# cifar-read: pictures, labels and names as they should be, and what is wrong refused.
load common

setup() { common_setup; }

# Compares the stream on stdin with the records in FILE... : check_records LABEL_BYTES LABEL_PLACE FILE...
check_records() {
    "$PYTHON" -c '
import sys, numpy, msgpack, msgpack_numpy
size, place = int(sys.argv[1]), int(sys.argv[2])
raw = numpy.concatenate([numpy.fromfile(f, dtype=numpy.uint8) for f in sys.argv[3:]]).reshape(-1, size + 3072)
records = list(msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode))
image = numpy.concatenate([r["image"] for r in records[1:-1]])
label = numpy.concatenate([r["label"] for r in records[1:-1]])
assert records[-1]["end"] == len(raw), records[-1]
assert (label == raw[:, place]).all()
assert image.dtype == numpy.uint8
assert (image == raw[:, size:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all()
print(" ".join(records[0]["classes"][:3]))' "$@"
}

# make_cifar100 FILE ROWS
make_cifar100() {
    "$PYTHON" -c '
import sys, numpy
rows = int(sys.argv[2])
r = numpy.random.RandomState(3).randint(0, 256, (rows, 3074)).astype(numpy.uint8)
r[:, 0] = numpy.arange(rows) % 20
r[:, 1] = numpy.arange(rows) % 100
r.tofile(sys.argv[1])' "$@"
}

@test "pictures and labels are those of the file, over several batches" {
    need_python numpy msgpack_numpy
    make_cifar a.bin 700
    make_cifar b.bin 1
    run -0 check_records 1 0 a.bin b.bin < <(cifar-read a.bin b.bin)
    [ "$output" = "airplane automobile bird" ]
}

@test "original CIFAR-10 pictures and their names file" {
    need_cifar10
    need_python numpy msgpack_numpy
    run -0 check_records 1 0 "$CIFAR10"/data_batch_1.bin < <(cifar-read "$CIFAR10"/data_batch_1.bin)
    [ "$output" = "airplane automobile bird" ]
}

@test "standard input, also through a slow pipe" {
    need_python numpy msgpack_numpy
    make_cifar a.bin 300
    run -0 check_records 1 0 a.bin < <(cifar-read - <a.bin)
    run -0 check_records 1 0 a.bin < <({ head -c 1000 a.bin; sleep 0.1; tail -c +1001 a.bin; } | cifar-read -)
}

@test "CIFAR-100, fine and coarse" {
    need_python numpy msgpack_numpy
    make_cifar100 a.bin 300
    run -0 check_records 2 1 a.bin < <(cifar-read --cifar100 a.bin)
    [ "$output" = "apple aquarium_fish baby" ]
    run -0 check_records 2 0 a.bin < <(cifar-read --cifar100 --coarse a.bin)
    [ "$output" = "aquatic_mammals fish flowers" ]
}

@test "names come from the file beside the batch" {
    make_cifar a.bin 10
    printf 'zero\r\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n\n' >batches.meta.txt
    cifar-read a.bin | tensor-info | grep -q '  0  zero  *1 rows'
    printf '\357\273\277zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine' >batches.meta.txt
    cifar-read a.bin | class-filter --keep zero | tensor-info | grep -q '  0  zero  *1 rows'
    printf '%s\n' zero one '' three four five six seven eight nine >batches.meta.txt
    fails 1 "batches.meta.txt: line 3 is blank" cifar-read a.bin
    printf '%s\n' 0 1 2 3 4 5 6 7 8 >batches.meta.txt
    fails 1 "batches.meta.txt: 9 class names; CIFAR-10 has 10; mend the file, or move it away" cifar-read a.bin
    printf '%s\n' 0 1 2 3 4 5 6 7 8 9 ten >batches.meta.txt
    fails 1 "batches.meta.txt: 11 class names; CIFAR-10 has 10" cifar-read a.bin
    printf 'one\none\n' >batches.meta.txt
    fails 1 "twice" cifar-read a.bin
    mkdir other && cp a.bin other/
    printf '%s\n' 0 1 2 3 4 5 6 7 8 9 >batches.meta.txt
    fails 1 "names other classes" cifar-read a.bin other/a.bin
}

@test "pipes are opened once each, whenever their writers come" {
    make_cifar a.bin 1000
    mkfifo first second
    cat a.bin >first &
    (sleep 0.5; cat a.bin >second) &
    timeout 20 cifar-read first second -o got
    wait
    cifar-read a.bin a.bin | cmp - got
    timeout 20 cifar-read a.bin <(cat a.bin) <(cat a.bin) | cmp - <(cifar-read a.bin a.bin a.bin)
}

@test "missing, empty and cut-short files" {
    make_cifar a.bin 10
    : >empty.bin
    fails 1 "no.bin: cannot open: No such file" cifar-read a.bin no.bin -o out
    fails 1 "empty.bin: empty" cifar-read a.bin empty.bin -o out
    fails 1 ".: is a folder; name files" cifar-read . -o out
    head -c 30729 a.bin >cut.bin
    fails 1 "cut.bin: row 9, byte 27657: the record is cut short" cifar-read cut.bin -o out
    fails_with cut.bin 1 "standard input: row 9, byte 27657" cifar-read - -o out
    fails_with /dev/null 1 "standard input: empty" cifar-read - -o out
    leaves_nothing out
}

@test "a CIFAR-10 file taken for CIFAR-100 and the other way round" {
    make_cifar a.bin 10
    make_cifar100 b.bin 10
    fails 1 "no CIFAR-100 batch: 30730 bytes are no multiple of 3074" cifar-read --cifar100 a.bin
    fails 1 "no multiple of 3073" cifar-read b.bin
}

@test "a label out of range names its file, row and byte" {
    make_cifar a.bin 600
    printf '\012' | dd of=a.bin bs=1 seek=$((3073 * 500)) conv=notrunc status=none
    fails 1 "a.bin: row 500, byte 1536500: label 10 is none of CIFAR-10's 10 classes" cifar-read a.bin -o out
    leaves_nothing out
}

@test "an archive is called what it is, with the line that unpacks it" {
    make_cifar data_batch_1.bin 10
    tar -czf cifar.tar.gz data_batch_1.bin
    tar -cf cifar.tar data_batch_1.bin
    for file in cifar.tar.gz cifar.tar; do
        fails 1 "$file: is packed, an archive and no batch; unpack it with tar -xf $file, and name" \
            cifar-read "$file" -o out
    done
    # Also where its size is that of records.
    truncate -s 6146 cifar.tar.gz
    fails 1 "unpack it with tar -xf cifar.tar.gz" cifar-read cifar.tar.gz -o out
    leaves_nothing out
}

@test "wrong usage" {
    fails 2 "no file named" cifar-read
    fails 2 "--coarse needs --cifar100" cifar-read --coarse a.bin
    run -2 cifar-read --nonsense
    [[ $output == *"Try 'cifar-read --help'."* ]]
    run -0 cifar-read --help
    [[ $output == "usage: cifar-read "* ]]
    run -0 cifar-read --version
    [[ $output == "cifar-read (lowshot) "* ]]
}
