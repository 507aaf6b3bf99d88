#!/usr/bin/env bats
# npy-read and npy-write: numpy's arrays to records and back, and what is wrong refused.
load common

setup() {
    common_setup
    [ -x "$BIN/npy-read" ] || skip "npy-read is not built"
    need_python numpy
    "$PYTHON" - <<'PYTHON'
import numpy as np
r = np.random.default_rng(0)
x, y = r.normal(size=(300, 7)), r.integers(0, 3, 300)
words = np.array(['cat', 'Äpfel', '猫'])
np.savez('plain.npz', features=x, labels=y)
np.savez_compressed('words.npz', X=x.astype('>f4'), y=words[y], path=np.array([f'd/ü{i}.jpg' for i in range(300)]),
                    extra=r.normal(size=(300, 2, 3)))
np.savez('named.npz', x=x.astype('f4'), y=y.astype('u1'), classes=np.array(['a', 'b', 'c', 'd']))
np.save('x.npy', np.asfortranarray(x.astype('f2')))
np.save('y.npy', y.astype('>i8').reshape(-1, 1))
np.save('pictures.npy', r.integers(0, 256, (300, 5, 6), dtype=np.uint8))
np.save('bytes.npy', np.array([b'x', b'yy'])[y % 2])
PYTHON
}

# The fields of the records that come, as npz for numpy; the test's Python has them as `records`.
check() {
    npy-write -o records.npz && "$PYTHON" -c "
import numpy as np
records = np.load('records.npz')
plain, words, named = (np.load(n + '.npz') for n in ('plain', 'words', 'named'))
$1"
}

@test "archives: arrays become fields by their names, numbers float32" {
    npy-read plain.npz | check '
assert records["embedding"].dtype == "f4" and (records["embedding"] == plain["features"].astype("f4")).all()
assert (records["label"] == plain["labels"]).all() and list(records["classes"]) == ["0", "1", "2"]'
    npy-read words.npz | check '
assert (records["embedding"] == words["X"]).all() and (records["path"] == words["path"]).all()
assert (records["extra"] == words["extra"]).all() and records["extra"].dtype == "f8"
assert list(records["classes"]) == sorted(records["classes"]) == ["cat", "Äpfel", "猫"]
assert (records["classes"][records["label"]] == words["y"]).all()'
    npy-read named.npz | check 'assert list(records["classes"]) == ["a", "b", "c", "d"] and (records["label"] == named["y"]).all()'
}

@test "files: what arrays look like, or what FIELD= says" {
    npy-read x.npy y.npy | check '
assert (records["embedding"] == np.load("x.npy").astype("f4")).all() and (records["label"] == plain["labels"]).all()'
    npy-read pictures.npy bytes.npy | check '
assert (records["image"][..., 0] == np.load("pictures.npy")).all() and list(records["classes"]) == ["x", "yy"]
assert (records["label"] == plain["labels"] % 2).all()'
    npy-read embedding=words.npz:extra label=y.npy && false
    npy-read other=y.npy embedding=words.npz:X label=y.npy | check '
assert (records["embedding"] == words["X"]).all() and records["other"].dtype == "i8" and (records["other"][:, 0] == plain["labels"]).all()'
    gzip -k x.npy
    cmp <(npy-read x.npy.gz) <(npy-read - <x.npy)
    npy-read --names <(printf 'p\nq\nr\n') x.npy y.npy | check 'assert list(records["classes"]) == ["p", "q", "r"]'
}

@test "half and whole numbers come as numpy has them" {
    "$PYTHON" -c '
import numpy as np
halves = np.arange(65536, dtype=np.uint16).view("f2")
np.save("h.npy", halves[np.isfinite(halves)].reshape(-1, 4))
np.save("i.npy", np.array([[-128, 127], [0, 1]], "i1"))
np.save("b.npy", np.array([[True, False], [False, True]]))
np.save("u.npy", np.array([[2**64 - 1, 0], [1, 2**53 + 1]], ">u8"))'
    for name in h i b u; do
        npy-read embedding=$name.npy | check "assert (records['embedding'] == np.load('$name.npy').astype('f4')).all(), records['embedding']"
    done
}

@test "what embeddings from elsewhere are for" {
    npy-read plain.npz | imprint --quiet -o m.model
    npy-read plain.npz | classify --quiet --model m.model | npy-write | "$PYTHON" -c '
import io, sys, numpy as np
records = np.load(io.BytesIO(sys.stdin.buffer.read()))
assert records["score"].shape == (300, 3) and records["prediction"].shape == (300,)'
}

@test "--field writes one array; streams of other classes join" {
    npy-read plain.npz | npy-write --field embedding | "$PYTHON" -c '
import io, sys, numpy as np
x = np.load(io.BytesIO(sys.stdin.buffer.read()))
assert x.shape == (300, 7) and (x == np.load("plain.npz")["features"].astype("f4")).all()'
    cat <(npy-read embedding=words.npz:X label=words.npz:y) <(npy-read embedding=plain.npz:features label=bytes.npy) | check '
assert records["embedding"].shape == (600, 7) and list(records["classes"]) == ["cat", "Äpfel", "猫", "x", "yy"]
assert (records["label"][300:] == 3 + plain["labels"] % 2).all()'
    npy-read plain.npz >records
    cmp <(npy-write records) <(npy-write records)
}

# A line that names the file, exit 1, nothing written.
refused() { # TEXT OPERAND...
    local text=$1
    shift
    run -1 --separate-stderr npy-read "$@" -o out
    [[ ${#stderr_lines[@]} -eq 1 && $stderr == "npy-read: "*"$text"* ]] || { echo "$stderr"; return 1; }
    [ ! -e out ]
}

@test "what is wrong is refused" {
    "$PYTHON" - <<'PYTHON'
import numpy as np, zipfile
np.save('object.npy', np.array([{}, 1], dtype=object))
np.save('empty.npy', np.zeros((0, 3)))
np.save('narrow.npy', np.zeros((3, 0)))
np.save('complex.npy', np.zeros((3, 3), complex))
np.save('fields.npy', np.zeros(3, [('a', 'f4')]))
np.save('negative.npy', -(np.arange(300) // 299))
np.save('short.npy', np.arange(4))
np.save('odd.npy', np.full(300, b'\xff'))
np.save('nameless.npy', np.full(300, ''))
np.savez('twice.npz', x=np.zeros((300, 2)), X=np.zeros((300, 2)))
raw = open('x.npy', 'rb').read()
open('cut.npy', 'wb').write(raw[:-3])
open('long.npy', 'wb').write(raw + b'.')
open('head.npy', 'wb').write(raw[:40])
open('text.npy', 'wb').write(b'1,2,3\n')
raw = bytearray(open('plain.npz', 'rb').read())
raw[len(raw) // 2] ^= 1
open('flipped.npz', 'wb').write(raw)
open('cut.npz', 'wb').write(raw[:3000])
whole = open('plain.npz', 'rb').read()
open('between.npz', 'wb').write(whole[:whole.index(b'PK\3\4', 4)])
open('arrays.npz', 'wb').write(whole[:whole.index(b'PK\1\2')])
with zipfile.ZipFile('other.zip', 'w') as z: z.writestr('a.txt', 'text')
PYTHON
    refused "objects of Python" object.npy
    refused "no rows in it" empty.npy
    refused "rows of no elements" narrow.npy
    refused "an array of type <c16" complex.npy
    refused "rows of named fields" fields.npy
    refused "negative.npy: row 299: label -1 is none of" embedding=plain.npz:features label=negative.npy
    refused "plain.npz: features has 300 rows, short.npy has 4; they do not belong together" plain.npz:features short.npy
    refused "row 0 is not UTF-8" plain.npz:features label=odd.npy
    refused "row 0" plain.npz:features label=nameless.npy
    refused "would both be the field embedding" twice.npz
    refused "cut.npy: cut short" cut.npy
    refused "long.npy: too long" long.npy
    refused "head.npy: cut short within its head" head.npy
    refused "not an array of numpy's" text.npy
    refused "flipped.npz" flipped.npz
    refused "cut.npz" cut.npz
    # Behind a whole array: what follows would be missing in silence.
    refused "between.npz: an archive without its directory" between.npz
    refused "arrays.npz: an archive without its directory" arrays.npz
    refused "no arrays (.npy) in it" other.zip
    refused "no array nothing in it" plain.npz:nothing
    refused "say which by embedding=plain.npz:ARRAY" embedding=plain.npz
    refused "cannot open" nowhere.npy
    refused "label 2 is none of 2 classes" --names <(printf 'p\nq\n') x.npy y.npy
    refused "is none of the 2 classes" --names <(printf 'cat\ndog\n') words.npz
    run -1 npy-read - <plain.npz
    [[ $output == *"cannot come through a pipe; name the file"* ]]
    run -2 npy-read
    npy-read plain.npz >records
    run -1 npy-write --field nothing records
    [[ $output == *"the records have no field nothing"* ]]
    run -1 npy-write <(cat records <(npy-read x.npy))
    [[ $output == *"row 300: "* ]]
}

@test "memory does not grow with the rows" {
    need_no_sanitizer
    "$PYTHON" -c '
import numpy as np
np.savez("large.npz", x=np.zeros((400000, 64), "f4"), y=np.arange(400000) % 7)'
    peak_memory npy-read large.npz -o large.records
    [ "$(cat peak)" -lt 40000 ]
    peak_memory npy-write large.records -o again.npz
    [ "$(cat peak)" -lt 120000 ]
}

# safetensors FILE: features (f4), labels (i8), brain (bf16), of 300 rows, made by hand as the format says.
make_tensors() {
    "$PYTHON" - "$1" <<'PYTHON'
import json, struct, sys, numpy as np
z = np.load("plain.npz")
x, y = z["features"].astype("f4"), z["labels"].astype("i8")
parts = {"features": ("F32", x), "labels": ("I64", y), "brain": ("BF16", (x.view("u4") >> 16).astype("u2"))}
head, data = {"__metadata__": {"made": "by hand"}}, b""
for name, (dtype, a) in parts.items():
    head[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
    data += a.tobytes()
text = json.dumps(head).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
np.savez("tensors.npz", embedding=x, label=y.astype("i4"), brain=(x.view("u4") >> 16 << 16).view("f4"))
PYTHON
}

@test "a safetensors file's tensors are an archive's arrays, and are written" {
    make_tensors in.safetensors
    npy-read in.safetensors | npy-write -o all.npz
    npy-read embedding=in.safetensors:brain label=in.safetensors:labels | npy-write -o one.npz
    npy-read in.safetensors | npy-write --safetensors -o out.safetensors
    npy-read out.safetensors | npy-write -o again.npz
    npy-read words.npz | npy-write --safetensors -o words.safetensors 2>said
    grep -q 'path: texts, left out' said
    "$PYTHON" - <<'PYTHON'
import json, struct, numpy as np
want, all, one, again = (np.load(n + ".npz") for n in ("tensors", "all", "one", "again"))
for name in "embedding", "label", "brain":
    assert (all[name] == want[name]).all() and all[name].dtype == want[name].dtype, name
    assert (again[name] == want[name]).all(), name
assert (one["embedding"] == want["brain"]).all()
raw = open("words.safetensors", "rb").read()
length, = struct.unpack("<Q", raw[:8])
head = json.loads(raw[8:8 + length])
assert length % 8 == 0 and json.loads(head.pop("__metadata__")["classes"]) == ["cat", "Äpfel", "猫"], head
assert max(t["data_offsets"][1] for t in head.values()) == len(raw) - 8 - length
at = head["embedding"]["data_offsets"]
got = np.frombuffer(raw[8 + length:][at[0]:at[1]], "<f4").reshape(head["embedding"]["shape"])
assert (got == np.load("words.npz")["X"].astype("f4")).all() and "path" not in head
PYTHON
}

@test "the classes that npy-write puts into a safetensors file are read again" {
    npy-read words.npz | npy-write --quiet --safetensors -o words.safetensors
    npy-read words.npz >want
    npy-read words.safetensors >got
    [ "$(tensor-info got | sed -n '/^classes/,$p')" = "$(tensor-info want | sed -n '/^classes/,$p')" ]
    tensor-info got | grep -q '猫'
    npy-read label=words.safetensors:label embedding=words.safetensors:embedding | tensor-info | grep -q '猫'
    # Names of one's own come first; another program's `classes` are no names; some are no class's.
    printf 'one\ntwo\nthree\n' >names
    npy-read --names names words.safetensors | tensor-info | grep -q ' three '
    changed() { # CLASSES: the file with that text of the same length in place of the list
        "$PYTHON" - "$1" <<'PYTHON'
import json, struct, sys
raw = open("words.safetensors", "rb").read()
length, = struct.unpack("<Q", raw[:8])
head = json.loads(raw[8:8 + length])
head["__metadata__"]["classes"] = sys.argv[1]
text = json.dumps(head).encode()
open("changed.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + length:])
PYTHON
    }
    for other in 3 'cat, dog' '{"a": 1}' '["cat", 1, "dog"]' '[]'; do
        changed "$other"
        npy-read changed.safetensors | tensor-info | grep -Eq ' 0  0  '
    done
    changed '["cat", "cat", "dog"]'
    fails 1 "changed.safetensors: the class cat twice" npy-read changed.safetensors
    changed '["cat", "", "dog"]'
    fails 1 "changed.safetensors: " npy-read changed.safetensors
    changed '["cat"]'
    fails 1 "none of 1 classes" npy-read changed.safetensors
}

@test "a safetensors file that is wrong" {
    make_tensors in.safetensors
    head -c 3000 in.safetensors >cut.safetensors
    fails 1 "cut short" npy-read cut.safetensors
    sed 's/"F32"/"F8_"/' in.safetensors >type.safetensors
    fails 1 "of type F8_" npy-read type.safetensors
    sed 's/\[300, 7\]/[301, 7]/' in.safetensors >shape.safetensors
    fails 1 "its place is not" npy-read shape.safetensors
    sed 's/"labels"/"features"/; ' in.safetensors | head -c 3000 >twice.safetensors
    fails 1 "no JSON object" npy-read twice.safetensors
    fails 1 "no tensor nothing" npy-read in.safetensors:nothing
    fails 2 "exclude each other" npy-write --field embedding --safetensors
}

@test "a fifo is opened once" {
    mkfifo pipe
    cat x.npy >pipe &
    timeout 20 npy-read embedding=pipe | npy-write -o got.npz
    wait $!
    "$PYTHON" -c 'import numpy as np; assert (np.load("got.npz")["embedding"] == np.load("x.npy").astype("f4")).all()'
}
