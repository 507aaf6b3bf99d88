#!/usr/bin/env bats
# row-filter: rows by label, prediction, probability, path, number and chance.
load common

# Rows 0 to 11: labels 0 to 2 in turn; predictions right but for rows 3, 4 and -1 at 5; the probability of the
# prediction grows from row to row; paths.
setup() {
    common_setup
    need_python numpy msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
rows = 12
label = np.arange(rows, dtype='i4') % 3
prediction = label.copy()
prediction[3], prediction[4], prediction[5] = 1, 2, -1
best = (np.arange(rows) + 5) / 20  # 0.25 to 0.8 among three classes: at least a third
score = np.zeros((rows, 3), 'f4')
p = np.maximum(best, 0.34)
score[np.arange(rows), label] = np.log(p / ((1 - p) / 2))
path = [f'{"train" if i < 6 else "test"}/{i}.png' for i in range(rows)]
with open('records', 'wb') as f:
    f.write(msgpack.packb({'tensor-stream': 1, 'classes': ['cat', 'dog', 'ship']}))
    for part in slice(0, 5), slice(5, 12):
        f.write(msgpack.packb({'label': label[part], 'prediction': prediction[part], 'score': score[part], 'path': path[part],
                               'row': np.arange(rows)[part]}, default=msgpack_numpy.encode))
    f.write(msgpack.packb({'end': rows}))
PYTHON
}

# rows ARGUMENT...: the numbers of the rows that come through.
rows() {
    row-filter --quiet "$@" | "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
rows, end = [], None
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    if "row" in r: rows += r["row"].tolist(); assert [int(p.split("/")[1][:-4]) for p in r["path"]] == r["row"].tolist()
    end = r.get("end")
assert end == len(rows), (end, rows)
print(*rows)'
}

@test "--where looks at labels, predictions, probabilities and texts" {
    [ "$(rows --where wrong records)" = "3 4 5" ]
    [ "$(rows --where right records)" = "0 1 2 6 7 8 9 10 11" ]
    [ "$(rows --where unknown records)" = 5 ]
    [ "$(rows --where known records)" = "0 1 2 3 4 6 7 8 9 10 11" ]
    [ "$(rows --where 'unsure<0.42' records)" = "0 1 2 3" ]
    [ "$(rows --where 'sure>0.72' records)" = "10 11" ]
    [ "$(rows --where class=dog,2 records)" = "1 2 4 5 7 8 10 11" ]
    [ "$(rows --where class!=0-1 records)" = "2 5 8 11" ]
    [ "$(rows --where prediction=dog records)" = "1 3 7 10" ]
    [ "$(rows --where prediction!=dog records)" = "0 2 4 5 6 8 9 11" ]
    [ "$(rows --where 'path=test/*' records)" = "6 7 8 9 10 11" ]
    [ "$(rows --where 'path!=*1?.png' records)" = "0 1 2 3 4 5 6 7 8 9" ]
    [ "$(rows --where wrong --where 'path=train/*' --where class=cat records)" = 3 ]
    [ "$(rows --where wrong --rest records)" = "0 1 2 6 7 8 9 10 11" ]
}

@test "--rows counts over all of the input" {
    [ "$(rows --rows 0-2,7,10- records)" = "0 1 2 7 10 11" ]
    [ "$(rows --rows 0-2,7,10- --rest <records)" = "3 4 5 6 8 9" ]
    [ "$(rows --rows 11-13 records records)" = "11 0 1" ]
    [ "$(rows --rows 1 --where wrong records)" = "" ]
    run row-filter --rows 100 records -o none
    [[ $output == "row-filter: note: none of 12 rows" ]]
}

@test "--random draws the same rows by the same seed, and --rest the others" {
    some=$(rows --random 5 --seed 3 records)
    [ "$(wc -w <<<"$some")" -eq 5 ]
    [ "$some" = "$(rows --random 5 --seed 3 <records)" ]
    [ "$some" = "$(xargs -n1 <<<"$some" | sort -n | xargs)" ]
    [ "$(rows --random 5 --seed 3 --rest records)" = "$(seq 0 11 | grep -vxFf <(xargs -n1 <<<"$some") | xargs)" ]
    [ "$(rows --random 2 --where wrong records | wc -w)" -eq 2 ]
    [ "$(rows --random 2 --where wrong --rest records | wc -w)" -eq 10 ]
    # Each row is drawn about as often as any other.
    for seed in {1..60}; do rows --random 6 --seed $seed records; done | xargs -n1 | sort | uniq -c | awk '$1 < 15 || $1 > 45 {exit 1} END {exit NR != 12}'
    run row-filter --random 20 records -o all
    [ "$output" = "row-filter: note: only 12 rows came where 20 are wanted" ]
}

@test "headers go on, classes that are new with them" {
    "$PYTHON" -c '
import msgpack, msgpack_numpy, numpy as np
with open("other", "wb") as f:
    for r in {"tensor-stream": 1, "classes": ["dog", "owl"]}, {"label": np.array([1, 0])}, {"end": 2}:
        f.write(msgpack.packb(r, default=msgpack_numpy.encode))'
    row-filter --where class=dog other | tensor-info | grep -q '0  dog  *1 rows'
    row-filter --rows 0- records other >both
    tensor-info both | grep -q '1  dog  *5 rows'
    tensor-info both | grep -q '3  owl  *1 rows'
    run -1 row-filter --where class=owl records
    [[ $output == *"owl"* ]]
}

@test "what is wrong is refused" {
    run -2 row-filter records
    [[ $output == *"say which rows"* ]]
    for word in wrongly 'unsure<2' 'unsure<x' 'sure>' =x class=; do run -2 row-filter --where "$word" records; done
    for word in x 3-1 1,,2 -1 1-x; do run -2 row-filter --rows "$word" records; done
    run -2 row-filter --random 3 --rest <records
    [[ $output == *"reads its input twice: name files"* ]]
    run -2 row-filter --seed 3 --rows 1 records
    make_cifar cifar 20
    cifar-read cifar >pictures
    run -1 row-filter --where wrong pictures
    [[ $output == *"no field 'prediction'; classify makes it"* ]]
    run -1 row-filter --where path=x pictures
    [[ $output == *"no field 'path' of texts"* ]]
    run -1 row-filter --where class=nothing records
    head -c 300 records >cut
    run -1 row-filter --rows 0- cut -o out
    [ ! -e out ]
}
