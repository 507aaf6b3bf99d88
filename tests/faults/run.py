"""Every call of a tool for memory, files, reading and writing fails once, on small inputs.

    run.py SHIM CASE [EACH]

CASE is a file with a line a command, a tool and its words; it gives its result on standard output, or to the
file `out` where the words have -o out. EACH is how many calls of a kind are tried at most, spread over all (0: all).

What must hold, whichever call fails: no signal; one line on standard error, the tool's; a result that is whole and right,
with status 0 (the call did not matter), or status 1 and none: `out` as it was, no other file left, nothing on standard
output that a reader takes. Prints what was violated; the status is 1 then."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Notes, and the name of a picture that could not be read, of which the last line tells how many.
NOTES = r"[a-z-]+: (note|imprinted|epoch|unknown|tree/.*[.](png|jpg|webp|ppm): )"
KINDS = "malloc map open read write close sync rename".split()
shim, cases, each = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 40
here = os.getcwd()


def run(command, kind, at=0):
    """In a folder of its own, with the inputs beside it: status, standard output, standard error, files, calls."""
    with tempfile.TemporaryDirectory(dir=here) as folder:
        for name in os.listdir(here):
            path = os.path.join(here, name)
            if not os.path.basename(path).startswith("tmp"):
                os.symlink(path, os.path.join(folder, name))
        if "-o out" in command:
            with open(os.path.join(folder, "out"), "w") as f:
                f.write("old")
        before = set(os.listdir(folder))
        env = dict(os.environ, LD_PRELOAD=shim, FAULT=kind, FAULT_COUNT=os.path.join(folder, "tmp.count"))
        if at:
            env["FAULT_AT"] = str(at)
        try:
            ran = subprocess.run(command.split(), cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=60)
            status, out, said = ran.returncode, ran.stdout, ran.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired:
            status, out, said = "hangs", b"", ""
        files = {}
        for name in sorted(set(os.listdir(folder)) - before | ({"out"} & before)):
            path = os.path.join(folder, name)
            if name != "tmp.count" and os.path.isfile(path):
                # A log has times in it.
                files[name] = open(path, "rb").read() if name != "log" else b"log"
            elif os.path.isdir(path):
                files[name] = b"folder"
        try:
            calls = int(open(os.path.join(folder, "tmp.count")).read())
        except (OSError, ValueError):
            calls = 0
        return status, out, said, files, calls


def is_taken(result):
    """Whether a reader of streams takes it for a whole one."""
    return subprocess.run(["tensor-info"], input=result, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def judge(command, kind, at, want):
    """What is wrong, or None."""
    tool = os.path.basename(command.split()[0])
    status, out, said, files, _ = run(command, kind, at)
    lines = [line for line in said.splitlines() if not re.match(NOTES, line)]
    wanted_lines = [line for line in want[2].splitlines() if not re.match(NOTES, line)]
    if status == "hangs" or status < 0 or status > 2:
        return f"status {status}: {said[-300:]}"
    whole = out == want[1] and files == want[3]
    if status == 0:
        return None if whole else "status 0, but the result is not the right one"
    if len(lines) != 1 + len(wanted_lines) or not lines[-1].startswith(tool + ": ") or len(lines[-1]) < len(tool) + 5:
        return f"not one line: {said!r}"
    if whole and want[1]:
        return "status 1, but a whole result"
    old = {name: b"old" for name in ("out",) if name in want[3]}
    left = {name for name in files if name not in want[3] or (name == "out" and files[name] != b"old")}
    if left or ("out" in old and files.get("out") != b"old"):
        return f"files left or replaced: {sorted(left)}"
    if out and is_taken(out):
        return "status 1, but a reader takes what it wrote"
    return None


wrong = tried = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for command in filter(None, (line.strip() for line in open(cases))):
        for kind in KINDS:
            want = run(command, kind)
            if want[0] != 0:
                print(f"{command}: fails by itself: {want[2]}")
                wrong += 1
                break
            calls = want[4]
            step = max(1, calls / each) if each else 1
            places = sorted({int(i * step) + 1 for i in range(int(calls / step))})
            for at, found in zip(places, pool.map(lambda at: judge(command, kind, at, want), places)):
                tried += 1
                if found:
                    print(f"{command}: {kind} {at} of {calls}: {found}", flush=True)
                    wrong += 1
print(f"{tried} faults, {wrong} wrong")
sys.exit(wrong > 0)
