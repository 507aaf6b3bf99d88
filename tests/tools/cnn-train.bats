# cnn-train: models from labelled pictures. A tiny network on the reference device keeps it quick.

load common

setup() {
    common_setup
    echo 'conv:3x3x4 relu maxpool:4 dropout:0.25 dense:16 relu' >tiny.net
}

# 240 made-up pictures of ten classes, and 60 of the first eight to validate on.
make_rows() {
    make_cifar made.bin 300
    cifar-read made.bin | class-filter --keep 0-7 >all
    cifar-read made.bin | class-filter --keep 0-7 --per-class 20 >rows
    class-filter --keep 0-7 --per-class 5 all >val
}

train() {
    cnn-train --quiet --device reference --arch @tiny.net --epochs 2 --batch 32 "$@"
}

classes_of() {
    tensor-info "$1" | grep -oE 'airplane|automobile|bird|cat|deer|dog|frog|horse|ship|truck' | sort -u
}

# parameters FILE: a digest a tensor, NAME DIGEST.
parameters() {
    need_python msgpack msgpack_numpy
    "$PYTHON" - "$1" <<'PYTHON'
import hashlib, sys, msgpack, msgpack_numpy
for record in msgpack.Unpacker(open(sys.argv[1], "rb"), object_hook=msgpack_numpy.decode, strict_map_key=False):
    for name, value in record.items():
        if hasattr(value, "tobytes"):
            print(name, hashlib.sha256(value.tobytes()).hexdigest())
PYTHON
}

# interrupted SIGNAL COMMAND...: two epochs after it began (its log has two lines), the signal comes. It
# ends by that signal, after one line on standard error.
interrupted() {
    need_python signal
    rm -f log
    mkfifo log
    local status=0
    "$PYTHON" - "$@" <<'PYTHON' 2>stderr.log || status=$?
import signal, subprocess, sys
# A background job would have them ignored, and then so would the program.
def defaults():
    for number in signal.SIGINT, signal.SIGTERM: signal.signal(number, signal.SIG_DFL)
program = subprocess.Popen(sys.argv[2:], preexec_fn=defaults)
with open("log") as log:
    for line in range(2): log.readline()
    program.send_signal(getattr(signal, "SIG" + sys.argv[1]))
    log.read()
sys.exit(-program.wait())
PYTHON
    said_once "$(kill -l "$1")" "$status" "stopped in epoch" "$2"
}

@test "real pictures are learned: loss falls, accuracy beats chance, the log says so" {
    need_cifar10
    cifar-read "$CIFAR10"/data_batch_1.bin | class-filter --keep 0-7 >rows
    cifar-read "$CIFAR10"/test_batch.bin | class-filter --keep 0-7 --per-class 20 >val
    echo 'conv:5x5x8 relu maxpool:4 dense:32 relu' >small.net
    cnn-train --arch @small.net --val val --epochs 6 --log log rows >model 2>said
    [ "$(wc -l <log)" -eq 6 ]
    jq -se '.[0].epoch == 1 and .[5].epoch == 6 and .[5].loss < .[0].loss and .[5].accuracy > 0.3
            and .[5].val_accuracy > 0.2 and (.[5].val_loss | type) == "number"
            and .[5].seconds > 0 and .[5].images_per_second > 0 and (.[0] | keys | length) == 9' log
    [ "$(grep -cE '^cnn-train: epoch [1-6]/6: loss [0-9.]+, accuracy [0-9.]+, val_loss [0-9.]+, val_accuracy' said)" -eq 6 ]
}

@test "validation on a file is the accuracy that the pipeline gives" {
    make_rows
    train --val val --log log rows >model
    embed --device reference --model model val | classify --device reference --model model |
        score --format json >report
    jq -e --slurpfile log <(tail -1 log) '(.all - $log[0].val_accuracy | fabs) < 1e-6
            and (.loss - $log[0].val_loss | fabs) < 1e-4' report
}

@test "the model's classes are those of its rows, in the stream's order" {
    make_rows
    train --epochs 1 rows >model
    [ "$(classes_of model | wc -l)" -eq 8 ]
    cifar-read made.bin | class-filter --keep ship,cat,9 | train --epochs 1 >three
    [ "$(classes_of three | tr '\n' ' ')" = "cat ship truck " ]
}

@test "both heads, and pictures of another size" {
    make_rows
    train --head softmax rows >model
    tensor-info model | grep -q softmax
    need_fashion
    idx-read "$FASHION"/t10k-images-idx3-ubyte.gz "$FASHION"/t10k-labels-idx1-ubyte.gz |
        class-filter --per-class 10 --keep 0-9 | train --epochs 1 >grey
    tensor-info grey | grep -qE '28 ?x ?28 ?x ?1|28, 28, 1'
}

@test "same seed, same bytes; another seed, others" {
    make_rows
    train --augment flip,shift:2,cutout:4 rows >one
    train --augment flip,shift:2,cutout:4 rows >two
    train --augment flip,shift:2,cutout:4 --seed 2 rows >other
    cmp one two
    ! cmp -s one other
}

@test "the CPU gives the same bytes each time, too" {
    make_rows
    train --device cpu rows >one
    train --device cpu rows >two
    cmp one two
}

@test "every optimizer and schedule trains, each otherwise" {
    make_rows
    local options=("--optimizer adam" "--optimizer adamw --weight-decay 0.1"
        "--optimizer sgd --rate 0.01" "--optimizer sgd --rate 0.01 --momentum 0.5" "--schedule one-cycle"
        "--schedule one-cycle --warm-up 0.5" "--label-smoothing 0.1" "--beta1 0.5" "--beta2 0.9"
        "--epsilon 0.1" "--decay 0.1" "--batch 20" "--balance" "--scale 3" "--augment flip")
    local i
    for i in "${!options[@]}"; do
        # shellcheck disable=SC2086
        train ${options[i]} rows >"model.$i"
    done
    [ "$(sha256sum model.* | cut -d' ' -f1 | sort -u | wc -l)" -eq "${#options[@]}" ]
}

@test "the last rows, or some at random, validate" {
    make_rows
    train --val-rows 40 --log log rows >model
    jq -e '.val_accuracy * 40 | (. - round | fabs) < 1e-3' log
    train --val-rows random:40 rows >one
    train --val-rows random:40 rows >two
    cmp one two
    ! cmp -s one model
    train rows --log log >whole
    jq -e '.val_loss == null and .val_accuracy == null' log
}

@test "stopped and resumed, the model is the uninterrupted run's, byte for byte" {
    make_rows
    local options=(--epochs 30 --schedule one-cycle --augment flip,shift:2 --balance --val-rows 40)
    train "${options[@]}" rows >whole
    for signal in INT TERM; do
        echo old >out
        rm -f state
        interrupted $signal cnn-train --quiet --device reference --arch @tiny.net --batch 32 "${options[@]}" \
            --checkpoint state --log log -o out rows
        [ "$(cat out)" = old ]
        grep -q 'stopped in epoch .*no model written; --resume state goes on' stderr.log
        train "${options[@]}" --resume state --log rest rows >resumed
        cmp whole resumed
        # It went on from the middle.
        jq -se '.[0].epoch > 1 and .[-1].epoch == 30' rest
        rm rest
    done
}

# KILLS=N tries N moments, of all that training takes.
@test "killed at any moment, by any signal, and resumed: the same bytes" {
    make_rows
    local options=(--epochs 20 --schedule one-cycle --augment flip --statistics --features 8)
    local signals=(TERM KILL HUP INT) i job moment
    local begun=${EPOCHREALTIME/[.,]/} took
    train "${options[@]}" rows -o whole
    took=$((${EPOCHREALTIME/[.,]/} - begun))
    RANDOM=15
    for ((i = 0; i < ${KILLS:-8}; i++)); do
        rm -f state
        echo old >out
        env --default-signal=INT,QUIT cnn-train --quiet --device reference --arch @tiny.net --batch 32 "${options[@]}" \
            --checkpoint state -o out rows 2>/dev/null &
        job=$!
        moment=$((took * (RANDOM % 1000) / 1000))
        sleep "$(printf '%d.%06d' $((moment / 1000000)) $((moment % 1000000)))"
        kill -"${signals[i % 4]}" "$job" 2>/dev/null || true
        wait "$job" || true
        # What stands there is the old file or the whole new one.
        cmp -s out whole || [ "$(cat out)" = old ]
        if [ -e state ]; then
            train "${options[@]}" --checkpoint state --resume state rows -o resumed
        else
            train "${options[@]}" rows -o resumed
        fi
        cmp whole resumed
        ! compgen -G ".out.*" || [ "${signals[i % 4]}" = KILL ]
        rm -f .[!.]*
    done
}

@test "with a constant rate a finished run can be made longer" {
    make_rows
    train --epochs 3 rows >whole
    train --epochs 1 --checkpoint state rows >one
    train --epochs 3 --resume state rows >resumed
    cmp whole resumed
    train --epochs 1 --resume state rows >again
    cmp one again
    train --epochs 2 --checkpoint state rows >two
    fails 1 "state: the run has 2 epochs behind it, more than --epochs 1" \
        cnn-train --device reference --arch @tiny.net --batch 32 --epochs 1 --resume state -o out rows
}

# best_of LOG: the epoch of the highest val_accuracy, of equal ones the lowest val_loss.
best_of() {
    jq -s 'min_by([-.val_accuracy, .val_loss, .epoch]).epoch' "$1"
}

@test "the best epoch by the validation rows is kept, and training stops where none is better" {
    make_rows
    # A rate at which epochs go up and down.
    local options=(--rate 0.03 --seed 1 --val val)
    train "${options[@]}" --epochs 12 --log log rows >last
    local best
    best=$(best_of log)
    [ "$best" -lt 12 ]
    train "${options[@]}" --epochs 12 --keep best rows >kept
    train "${options[@]}" --epochs "$best" --keep best rows >short
    cmp kept short
    train "${options[@]}" --epochs "$best" --keep last rows >short
    diff <(parameters kept) <(parameters short)
    train "${options[@]}" --epochs 12 --keep last rows >same
    cmp last same

    # The first epoch after which 2 in a row were not better.
    local ends=2
    while [ "$ends" -lt $(($(head -n "$ends" log | best_of /dev/stdin) + 2)) ]; do ends=$((ends + 1)); done
    [ "$ends" -lt 12 ]
    cnn-train --device reference --arch @tiny.net --batch 32 "${options[@]}" --epochs 12 --keep best --patience 2 \
        --log patient --checkpoint state -o early rows 2>stderr.log
    [ "$(wc -l <patient)" -eq "$ends" ]
    grep -q "stopped after epoch $ends: 2 in a row were not better than epoch $((ends - 2))" stderr.log
    grep -q "the model is epoch $((ends - 2))'s: val_loss [0-9.]*, val_accuracy [0-9.]*" stderr.log
    train "${options[@]}" --epochs "$ends" --keep best rows >short
    cmp early short
    # What ended so goes on with more patience, and without it is as it was.
    train "${options[@]}" --epochs 12 --keep best --patience 2 --resume state rows >again
    cmp early again
    train "${options[@]}" --epochs 12 --keep best --resume state rows >whole
    cmp kept whole
    fails 1 "had settings that this one lacks" \
        cnn-train --device reference --arch @tiny.net --batch 32 "${options[@]}" --epochs 12 --resume state -o out rows
}

@test "the log has each epoch's learning rate and when it ended" {
    make_rows
    local begun
    begun=$(date +%s)
    train --schedule one-cycle --rate 0.01 --epochs 4 --log log rows >model
    jq -se --argjson begun "$begun" --argjson now "$(date +%s)" \
        '.[0].rate < 0.0101 and .[1].rate > .[2].rate and .[3].rate < 0.001 and
        all(.[]; .time | fromdateiso8601 | . >= $begun and . <= $now)' log
}

@test "a checkpoint works as a model" {
    make_rows
    train --checkpoint state rows >model
    embed --device reference --model state val >from-state
    embed --device reference --model model val >from-model
    cmp from-state from-model
    tensor-info state | grep -qx 'checkpoint: of training, after epoch 2'
    ! tensor-info model | grep -q checkpoint
}

@test "other options or data than the checkpoint's are refused" {
    make_rows
    train --checkpoint state rows >/dev/null
    resume() { # WHAT-IT-SAYS OPTION...
        fails 1 "$1" cnn-train --quiet --device reference --arch @tiny.net --batch 32 --epochs 3 \
            --resume state -o out "${@:2}"
        leaves_nothing out
    }
    resume "had rate=0.001, this one has rate=0.01" --rate 0.01 rows
    resume "had seed=1, this one has seed=2" --seed 2 rows
    resume "had rows=160, this one has rows=40" val
    cat val val val val >others
    resume "had data=" others
    resume "another network, head or classes" --head softmax rows
    resume "had balance=0" --balance rows
    train rows >model
    fails 1 "not a checkpoint" cnn-train --device reference --arch @tiny.net --resume model -o out rows
    fails 1 "none.such" cnn-train --device reference --arch @tiny.net --resume none.such -o out rows
    leaves_nothing out
}

@test "interrupted without a checkpoint it writes nothing" {
    make_rows
    interrupted TERM cnn-train --quiet --device reference --arch @tiny.net --epochs 1000000 --log log -o out rows
    grep -q 'stopped in epoch .*no model written$' stderr.log
    leaves_nothing out
}

@test "further training keeps classes in place and adds new ones as novel" {
    make_rows
    train rows >eight
    cifar-read made.bin >ten-rows
    cnn-train --quiet --device reference --init eight --epochs 1 ten-rows >ten
    [ "$(classes_of ten | wc -l)" -eq 10 ]
    tensor-info ten | grep -E 'ship|truck' | grep -q novel
    ! parameters ten | grep -qxF "$(parameters eight | grep '0.conv/weight')"
}

@test "a frozen backbone stays as it is: only the head changes" {
    make_rows
    echo 'conv:3x3x4 batchnorm relu maxpool:4 dropout:0.25 dense:16 relu' >tiny.net
    train rows >base
    cnn-train --quiet --device reference --init base --freeze backbone --epochs 1 rows >tuned
    parameters base | grep -v '^head/' >before
    parameters tuned | grep -v '^head/' >after
    [ -s before ]
    cmp before after
    ! cmp -s <(parameters base | grep '^head/weight') <(parameters tuned | grep '^head/weight')
    cmp <(embed --device reference --model base val) <(embed --device reference --model tuned val)
}

@test "layers frozen up to one of them: those behind it learn" {
    make_rows
    echo 'conv:3x3x4 batchnorm relu maxpool:4 dropout:0.25 dense:16 relu' >tiny.net
    train rows >base
    for device in reference cpu; do
        cnn-train --quiet --device $device --init base --freeze 5 --epochs 1 rows >tuned
        cmp <(parameters base | grep '^[01]\.') <(parameters tuned | grep '^[01]\.')
        ! cmp -s <(parameters base | grep '^5\.') <(parameters tuned | grep '^5\.')
        ! cmp -s <(parameters base | grep '^head/weight') <(parameters tuned | grep '^head/weight')
    done
    fails 1 "layers 0 to 6" cnn-train --init base --freeze 7 --epochs 1 -o none rows
    fails 2 "--freeze" cnn-train --freeze 5 --epochs 1 -o none rows
    leaves_nothing none
}

@test "streams concatenate: classes go by name" {
    make_rows
    class-filter --keep 0-3 all >a
    class-filter --keep 4-7 all >b
    cat a b | train >cat
    train a b >files
    cmp cat files
    [ "$(classes_of cat | wc -l)" -eq 8 ]
}

@test "rows of classes that are not trained are an error that names them" {
    make_rows
    cifar-read made.bin >ten-rows
    fails 1 "ship, truck" cnn-train --device reference --arch @tiny.net --val ten-rows -o out rows
    class-filter --keep 8 ten-rows >ship
    cat rows ship >mixed
    fails 1 "ship" cnn-train --device reference --arch @tiny.net --val-rows 30 -o out mixed
    leaves_nothing out
}

@test "nothing to train on" {
    make_rows
    class-filter --keep 9 rows >none
    fails 1 "no rows to train on" cnn-train -o out none
    fails 1 "empty" cnn-train -o out /dev/null
    fails 1 "leave none" cnn-train --device reference --val-rows 160 -o out rows
    fails 1 "no rows to validate on" cnn-train --device reference --val none -o out rows
    leaves_nothing out
}

@test "broken streams leave no model, and an old one untouched" {
    make_rows
    echo old >out
    head -c 100000 rows >cut
    fails 1 "cut" cnn-train -o out cut
    head -c -8 rows >endless
    fails 1 "endless" cnn-train -o out endless
    fails_with cut 1 "standard input" cnn-train -o out
    fails 1 "made.bin" cnn-train -o out made.bin
    fails 1 "no-such" cnn-train -o out no-such
    (head -c 200000 rows) | { ! cnn-train -o out 2>/dev/null; }
    [ "$(cat out)" = old ]
    leaves_nothing .out
}

@test "pictures of two sizes, wrong types, missing fields" {
    make_rows
    need_python msgpack msgpack_numpy
    write() {
        "$PYTHON" - "$@" <<'PYTHON'
import sys, numpy, msgpack, msgpack_numpy
kind = sys.argv[1]
def out(record):
    sys.stdout.buffer.write(msgpack.packb(record, default=msgpack_numpy.encode))
out({"tensor-stream": 1, "classes": ["a", "b"]})
image, label = numpy.zeros((4, 8, 8, 1), "u1"), numpy.array([0, 1, 0, 1], "i4")
if kind == "float": image = image.astype("f4")
if kind == "flat": image = image.reshape(4, 64)
if kind == "empty": image = image[:, :0]
if kind == "label": label[2] = 2
batch = {"image": image, "label": label}
if kind == "unlabelled": del batch["label"]
if kind == "blind": del batch["image"]
out(batch)
if kind == "sizes": out({"image": numpy.zeros((4, 9, 8, 1), "u1"), "label": label})
out({"end": 8 if kind == "sizes" else 4})
PYTHON
    }
    for case in "float:uint8" "flat:image" "empty:image" "label:label" "unlabelled:label" "blind:image" \
        "sizes:rows 5 to 8: pictures of 9 x 8 x 1 after ones of 8 x 8 x 1"; do
        write "${case%%:*}" >bad
        fails 1 "${case#*:}" cnn-train --device reference --arch @tiny.net -o out bad
        leaves_nothing out
    done
    write fine >small
    fails 1 "x 8 x 1 after ones of" cnn-train --device reference --arch @tiny.net --val small -o out rows
    fails 1 "maxpool" cnn-train --device reference --arch keras-cnn -o out small
    leaves_nothing out
}

@test "a model that does not fit is refused" {
    make_rows
    train rows >model
    head -c 3000 model >cut
    fails 1 "cut" cnn-train --device reference --init cut -o out rows
    need_fashion
    idx-read "$FASHION"/t10k-images-idx3-ubyte.gz "$FASHION"/t10k-labels-idx1-ubyte.gz |
        class-filter --per-class 2 --keep 0-9 >grey
    fails 1 "the model takes pictures of 32 x 32 x 3" cnn-train --device reference --init model -o out grey
    leaves_nothing out
}

@test "a loss that runs away is an error, not a model" {
    make_rows
    echo 'dense:16 dense:16' >linear.net
    fails 1 "take a lower --rate" cnn-train --quiet --device reference --arch @linear.net --head softmax \
        --optimizer sgd --rate 1000 --epochs 20 -o out rows
    leaves_nothing out
}

@test "a full disk" {
    make_rows
    [ -w /dev/full ] || skip "no /dev/full"
    fails 1 "No space" cnn-train --quiet --device reference --arch @tiny.net --epochs 1 -o /dev/full rows
    fails 1 "No space" cnn-train --quiet --device reference --arch @tiny.net --epochs 1 --log /dev/full -o out rows
    fails 1 "No space" cnn-train --quiet --device reference --arch @tiny.net --epochs 1 --checkpoint /dev/full \
        -o out rows
    leaves_nothing out
}

@test "a model is not written to a terminal" {
    need_terminal
    make_rows
    command -v script >/dev/null || skip "script is not installed"
    ! script -qec "cnn-train --device reference --arch @tiny.net --epochs 1 rows" /dev/null >said </dev/null
    grep -q terminal said
}

@test "wrong usage exits 2 before anything is read" {
    local wrong=("--head linear" "--optimizer lion" "--schedule linear" "--epochs 0" "--epochs 1.5"
        "--batch 0" "--rate x" "--rate -1" "--augment spin" "--augment shift:x" "--freeze head"
        "--freeze backbone" "--val a --val-rows 5" "--val-rows 0" "--val-rows random:" "--init m --arch keras-cnn"
        "--init m --head cosine" "--keep best" "--patience 3" "--patience 0 --val a" "--weight-decay 0.1" "--label-smoothing 1" "--momentum 1" "--device gpu"
        "--device cuda:x" "--precision fp8" "--threads 0" "--seed -1")
    local options
    for options in "${wrong[@]}"; do
        # shellcheck disable=SC2086
        fails 2 "" cnn-train $options -o out
    done
    ! cnn-train --no-such-option -o out </dev/null 2>/dev/null
    leaves_nothing out
}

# Not by `run`, whose subshell has no such child: it knows the status only of one that has ended.
ends_by_term() {
    local status=0
    wait "$1" || status=$?
    [ "$status" -eq 143 ]
}

@test "a signal ends it while it reads and while it writes, too" {
    make_rows
    mkfifo pictures model
    cnn-train --quiet --device reference --arch @tiny.net --epochs 1 -o out pictures &
    job=$!
    exec 7>pictures
    head -c 1000 rows >&7
    kill -TERM "$job"
    ends_by_term "$job"
    exec 7>&-
    # More of a model than a pipe holds, and nobody who reads it.
    exec 7<>model
    cnn-train --device reference --arch @tiny.net --epochs 1 --features 600 rows >model 2>said &
    job=$!
    for _ in $(seq 200); do grep -q 'epoch 1/1' said && break; sleep 0.05; done
    sleep 1
    kill -TERM "$job"
    ends_by_term "$job"
    exec 7<&-
    leaves_nothing out
}

@test "progress counts the time left of all epochs, and its line makes way for the epoch's" {
    need_terminal
    make_rows
    for _ in $(seq 40); do cat rows; done >more # an epoch is to last some 0.2 s on any machine
    run -0 script -qec "stty columns 80; cnn-train --device reference --arch @tiny.net --epochs 3 -o out more" /dev/null </dev/null
    erase=$'\r\e[K'
    for epoch in 1 2 3; do [[ $output == *"${erase}cnn-train: epoch $epoch/3: loss "* ]]; done
    text=$(sed 's/\x1b\[K//g' <<<"$output" | tr '\r' '\n')
    [ "$(awk '{ print length }' <<<"$text" | sort -n | tail -n 1)" -lt 80 ]
    # Of lines about as far in their epochs, the first epoch's has two epochs more to go.
    left() { grep -E "of epoch $1/3, " <<<"$text" | head -n 1 | sed -E 's/^cnn-train: ([0-9]+) of ([0-9]+) .*, ([0-9]+)\/s, ([0-9]+) s left.*/\1 \2 \3 \4/'; }
    for epoch in 1 2 3; do
        read -r done total rate seconds <<<"$(left $epoch)"
        [ "$total" -eq 6400 ]
        awk -v d="$done" -v t="$total" -v r="$rate" -v s="$seconds" -v later=$((3 - epoch)) \
            'BEGIN { want = (t - d + later * t) / r; exit !(s - want <= 0.6 + 0.01 * want && want - s <= 0.6 + 0.01 * want) }'
    done
}

@test "the pass over base rows after training tells how far it is, and a signal ends it" {
    need_terminal
    make_rows
    for _ in $(seq 40); do cat rows; done >more
    train="cnn-train --device reference --arch @tiny.net --epochs 1 --statistics"
    run -0 script -qec "$train --features 600 -o out more" /dev/null </dev/null
    [[ $output == *" of 6400 pictures embedded"* ]]
    rm out
    $train --features 3000 -o out more 2>said & # seconds of sums
    job=$!
    for _ in $(seq 400); do grep -q 'epoch 1/1' said && break; sleep 0.05; done
    kill -TERM "$job"
    ends_by_term "$job"
    leaves_nothing out
}

@test "a loop of a shell ends with the tool that ^C ends" {
    need_python signal
    make_rows
    run -0 "$PYTHON" - <<'PYTHON'
import os, signal, subprocess, time
def defaults(): signal.signal(signal.SIGINT, signal.SIG_DFL)
loop = """for i in 1 2; do
    cnn-train --quiet --device reference --arch @tiny.net --epochs 1000000 --log log -o out rows; echo again
done"""
shell = subprocess.Popen(["bash", "-c", loop], preexec_fn=defaults, start_new_session=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
while not (os.path.exists("log") and os.path.getsize("log")): time.sleep(0.05)
os.killpg(shell.pid, signal.SIGINT)
out, said = shell.communicate()
assert shell.returncode == -signal.SIGINT, shell.returncode
assert out == b"" and said.count(b"stopped in epoch") == 1, (out, said)
PYTHON
    leaves_nothing out
}

@test "a reader that goes away is told of: by it the work of hours is lost" {
    make_rows
    run -0 bash -c 'cnn-train --quiet --device reference --arch @tiny.net --epochs 1 --features 600 rows 2>said |
        head -c 100 >/dev/null; [ "${PIPESTATUS[0]}" -eq 141 ]'
    [ "$(cat said)" = "cnn-train: the output's reader went away before it had all of it" ]
    # So is a checkpoint's, after the epoch.
    mkfifo state
    echo 'dense:64 relu' >wide.net
    head -c 100 state >/dev/null &
    run -141 cnn-train --device reference --arch @wide.net --epochs 2 --checkpoint state -o out rows
    [ "${lines[-1]}" = "cnn-train: the output's reader went away before it had all of it" ]
    [[ $output == *"epoch 1/2"* ]] && [[ $output != *"epoch 2/2"* ]]
    leaves_nothing out
}

@test "unknown networks and bad texts are named" {
    make_rows
    fails 1 "no built-in network 'lenet'" cnn-train --arch lenet -o out rows
    fails 1 "none.net" cnn-train --arch @none.net -o out rows
    echo 'conv:3x3x4 rely' >bad.net
    fails 1 "rely" cnn-train --arch @bad.net -o out rows
    echo 'maxpool:64' >bad.net
    fails 1 "maxpool:64" cnn-train --arch @bad.net -o out rows
    leaves_nothing out
}

@test "memory: the set's bytes and at most 500 MB" {
    need_no_sanitizer
    need_cifar10
    echo 'maxpool:16 dense:4 relu' >least.net
    cifar-read "$CIFAR10"/data_batch_*.bin >five
    # 100,000 pictures: 307 MB.
    for _ in $(seq 20); do cat five; done |
        peak_memory cnn-train --quiet --device reference --arch @least.net --epochs 1 --batch 1000 >model
    [ "$(cat peak)" -lt $((100000 * 3072 / 1024 + 500 * 1024)) ]
}

@test "threads are no more than the environment allows, and none waits for one that never comes" {
    make_cifar pictures.bin 200
    cifar-read pictures.bin >pictures
    train() { timeout 60 cnn-train --device cpu --precision fp32 --epochs 1 --seed 1 --progress "$@" pictures -o out; }
    OMP_NUM_THREADS=1 train 2>said
    grep -q 'computes on cpu (1 thread,' said
    OMP_THREAD_LIMIT=1 train --threads 2 2>said
    grep -q 'computes on cpu (1 thread,' said
    cp out limited
    taskset -c "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')" env - PATH="$PATH" timeout 60 cnn-train --device cpu \
        --precision fp32 --epochs 1 --seed 1 --threads 8 --progress pictures -o out 2>said
    grep -q 'computes on cpu (1 thread,' said
    cmp out limited
    OMP_DYNAMIC=true train --threads 2
}

@test "a tool sets how long threads spin, unless the environment does, and keeps its name" {
    make_cifar pictures.bin 100
    mkfifo pipe
    spins() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^GOMP_SPINCOUNT=//p'; }
    for set in "" "OMP_WAIT_POLICY=passive" "GOMP_SPINCOUNT=7"; do
        env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT $set cnn-train --quiet --device cpu --epochs 1 <pipe >out &
        tool=$!
        exec 5>pipe
        sleep 0.5
        [ "$(spins $tool)" = "$(case $set in "") echo 5000 ;; G*) echo 7 ;; esac)" ]
        [ "$(cat /proc/$tool/comm)" = cnn-train ]
        cifar-read --quiet pictures.bin >&5
        exec 5>&-
        wait $tool
    done
}

@test "a program that is given to the loader is that program" {
    need_no_sanitizer
    loader=$(readelf -p .interp "$BIN/imprint" | sed -n 's,.*\(/lib.*\),\1,p')
    for tool in imprint cnn-train embed; do
        env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$loader" "$BIN/$tool" --version >said
        grep -q "^$tool (lowshot)" said
    done
    printf none >none
    ! env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$loader" "$BIN/embed" --model none none 2>said || false
    grep -q '^embed: none: ' said
}
