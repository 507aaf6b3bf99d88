# pnm-sheet: a stream's first pictures on one sheet.

load common

setup() {
    common_setup
}

@test "a sheet holds the pictures' pixels in their order" {
    make_cifar made.bin 20
    cifar-read made.bin | pnm-sheet --rows 2 --columns 3 --gap 1 --zoom 2 >sheet
    need_python numpy
    "$PYTHON" - <<'PYTHON'
import numpy as np
records = np.fromfile("made.bin", "u1").reshape(-1, 3073)[:6, 1:].reshape(6, 3, 32, 32).transpose(0, 2, 3, 1)
data = open("sheet", "rb").read()
head = b"P6\n196 131\n255\n"
assert data.startswith(head), data[:20]
sheet = np.frombuffer(data[len(head):], "u1").reshape(131, 196, 3)
for i in range(6):
    top, left = 1 + i // 3 * 65, 1 + i % 3 * 65
    assert (sheet[top:top + 64, left:left + 64] == records[i].repeat(2, 0).repeat(2, 1)).all()
    sheet = sheet.copy()
    sheet[top:top + 64, left:left + 64] = 255
assert (sheet == 255).all()
PYTHON
}

@test "grey pictures make a PGM; places without one stay white" {
    need_fashion
    idx-read "$FASHION"/t10k-images-idx3-ubyte.gz "$FASHION"/t10k-labels-idx1-ubyte.gz |
        class-filter --keep 0 --per-class 3 | pnm-sheet --gap 0 >sheet
    [ "$(head -c 2 sheet)" = P5 ]
    [ "$(head -2 sheet | tail -1)" = "280 84" ]
    [ "$(tail -c 28 sheet | od -An -v -tu1 | tr -s ' \n' '\n' | sort -u | tr -d '\n')" = 255 ]
}

@test "it reads no further than it needs, and its writer ends quietly" {
    make_cifar made.bin 5000
    cifar-read made.bin made.bin made.bin 2>said | pnm-sheet >sheet
    [ ! -s said ]
    [ "$(head -2 sheet | tail -1)" = "342 104" ]
}

@test "wrong input leaves no sheet" {
    make_cifar made.bin 20
    cifar-read made.bin >rows
    class-filter --drop 0-9 rows >none
    fails 1 "no pictures" pnm-sheet -o out none
    fails 1 "empty" pnm-sheet -o out /dev/null
    fails 1 "made.bin" pnm-sheet -o out made.bin
    fails 1 "no-such" pnm-sheet -o out no-such
    head -c 3000 rows >cut
    fails 1 "cut" pnm-sheet -o out cut
    fails 1 "1 GiB" pnm-sheet --rows 1000 --columns 1000 --zoom 100 -o out rows
    [ -w /dev/full ] && fails 1 "No space" pnm-sheet -o /dev/full rows
    leaves_nothing out
    local options
    for options in "--rows 0" "--columns x" "--zoom 0" "--gap -1"; do
        # shellcheck disable=SC2086
        fails 2 "" pnm-sheet $options -o out rows
    done
}
