#!/usr/bin/env bats
# many-machines: parts imprinted side by side and merged predict as one pass does.

setup() {
    load common
    common_setup
    need_python numpy msgpack msgpack_numpy
    # A tiny model and pictures of its classes and of a new one, in four files.
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
r = np.random.default_rng(1)
def write(path, rows):
    y = r.integers(0, 3, rows).astype("i4")
    x = (r.integers(0, 120, (rows, 8, 8, 1)) + 60 * (y[:, None, None, None] == np.arange(8)[None, :, None, None] // 3)).astype("u1")
    with open(path, "wb") as f:
        for m in ({"tensor-stream": 1, "classes": ["a", "b", "c"]}, {"image": x, "label": y}, {"end": rows}):
            f.write(msgpack.packb(m, default=msgpack_numpy.encode))
for i in range(4):
    write("pictures-%d" % i, 60)
write("test", 90)
PYTHON
    echo 'conv:3x3x4 relu dense:16 relu' >net
    class-filter --keep a,b pictures-0 | cnn-train --quiet --arch @net --epochs 1 --statistics --features 40 -o base.model
    for i in 0 1 2 3; do class-filter --keep c pictures-$i -o new-$i; done
    cat new-? | embed --quiet --model base.model | imprint --quiet --model base.model -o whole.model
}

same_predictions() {
    embed --quiet --model base.model test >test.emb
    classify --quiet --model whole.model --format tsv test.emb | cut -f1-3 >want
    classify --quiet --model "$1" --format tsv test.emb | cut -f1-3 | diff want -
}

@test "parallel.sh" {
    command -v parallel >/dev/null || skip "GNU parallel is not installed"
    "$ROOT/examples/many-machines/parallel.sh" base.model merged.model new-0 new-1 new-2 new-3
    same_predictions merged.model
    run "$ROOT/examples/many-machines/parallel.sh" base.model none new-0 missing
    [ "$status" -ne 0 ] && [ ! -e none ]
    [ -z "$(ls -d *.parts-* 2>/dev/null)" ]
}

@test "slurm.sh, each task by hand" {
    ls new-? >files
    export BASE=base.model FILES=files PARTS=parts SLURM_SUBMIT_DIR=$ROOT
    for SLURM_ARRAY_TASK_ID in 1 2 3 4; do
        SLURM_ARRAY_TASK_ID=$SLURM_ARRAY_TASK_ID "$ROOT/examples/many-machines/slurm.sh"
    done
    env -u SLURM_ARRAY_TASK_ID "$ROOT/examples/many-machines/slurm.sh" merge merged.model
    same_predictions merged.model
    SLURM_ARRAY_TASK_ID=5 run "$ROOT/examples/many-machines/slurm.sh"
    [ "$status" -eq 1 ] && [ ! -e parts/5.model ]
}

# A cluster of this machine alone, its daemons' files in ./slurm; `slurm_end` ends it.
slurm_begin() {
    local host n port=$((20000 + $$ % 20000))
    host=$(hostname -s)
    mkdir -p slurm/state slurm/spool slurm/munge
    chmod 0700 slurm/munge
    head -c 1024 /dev/urandom >slurm/munge/key && chmod 0400 slurm/munge/key
    munged --force --key-file="$PWD/slurm/munge/key" --socket="$PWD/slurm/munge/socket" --num-threads=1 \
        --pid-file="$PWD/slurm/munge/pid" --log-file="$PWD/slurm/munge/log" --seed-file="$PWD/slurm/munge/seed"
    cat >slurm/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$PWD/slurm/munge/socket
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$PWD/slurm/state
SlurmdSpoolDir=$PWD/slurm/spool
SlurmctldPidFile=$PWD/slurm/slurmctld.pid
SlurmdPidFile=$PWD/slurm/slurmd.pid
SlurmctldLogFile=$PWD/slurm/slurmctld.log
SlurmdLogFile=$PWD/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc)
PartitionName=all Nodes=ALL Default=YES
CONF
    export SLURM_CONF=$PWD/slurm/slurm.conf
    slurmctld && slurmd || return 1
    for ((n = 0; n < 100; n++)); do
        [ "$(sinfo -h -o %T 2>/dev/null)" != idle ] || return 0
        sleep 0.2
    done
    return 1
}

# They write into their folder until they are gone.
slurm_end() {
    local file daemon n
    for file in slurm/slurmd.pid slurm/slurmctld.pid slurm/munge/pid; do
        [ -e $file ] || continue
        daemon=$(cat $file)
        kill "$daemon" || continue
        for ((n = 0; n < 100; n++)); do
            kill -0 "$daemon" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$daemon" 2>/dev/null || true
    done
}

@test "slurm.sh on a cluster, as its head says" {
    for tool in slurmctld slurmd munged sbatch; do
        command -v $tool >/dev/null || skip "needs slurmctld, slurmd, slurm-client and munge"
    done
    [ "$(id -u)" -eq 0 ] || skip "only root begins a cluster"
    [ "$(nproc)" -ge 2 ] || skip "a task takes two processors"
    slurm_begin || skip "no cluster starts on this machine"
    ls new-? >files
    export BASE=base.model FILES=files PARTS=parts
    ln -s "$BIN" bin
    job=$(sbatch --parsable --array=1-"$(wc -l <files)" "$ROOT/examples/many-machines/slurm.sh")
    timeout 100 sbatch --wait --dependency=afterok:"$job" "$ROOT/examples/many-machines/slurm.sh" merge merged.model
    same_predictions merged.model
}

teardown() {
    [ ! -d slurm ] || slurm_end
}
