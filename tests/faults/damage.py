"""Every kind of file that the tools read, cut off and changed, in every tool that reads it.

    damage.py CASES [CUTS [CHANGES]]

CASES is a file with a line a case: the file that is damaged, and a command that reads it under the name `damaged` and
gives its result in `out` or on standard output. CUTS is how many shorter lengths are tried, spread over all (0: all);
CHANGES how many random changes: bits, bytes, runs left out, put in or twice. Of records every second change is one of
what they say: shapes, types, names, numbers, the order, written anew as Python writes it.

What must hold: no signal, no hang; status 0 with a result, or status 1 with one line on standard error, the tool's,
`out` as it was, no other file and nothing that a reader takes. A cut file is refused, unless its case begins with `?`:
a format whose end is not marked. Prints what was violated; the status is 1 then. KEEP=DIR keeps those files."""
import concurrent.futures
import math
import os
import random
import re
import subprocess
import sys
import tempfile

import msgpack

NOTES = r"[a-z-]+: (note|imprinted|epoch|unknown): "
cases, cuts, changes = sys.argv[1], *(int(word) for word in (sys.argv[2:] + ["40", "40"])[:2])
here = os.getcwd()


def run(data, command):
    """In a folder of its own: status, result, standard error, whether `out` is the old one, other files left."""
    with tempfile.TemporaryDirectory(dir=here) as folder:
        for name in os.listdir(here):
            if not name.startswith("tmp"):
                os.symlink(os.path.join(here, name), os.path.join(folder, name))
        with open(os.path.join(folder, "damaged"), "wb") as f:
            f.write(data)
        with open(os.path.join(folder, "out"), "w") as f:
            f.write("old")
        before = set(os.listdir(folder))
        try:
            ran = subprocess.run(command.split(), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                                 timeout=120)
        except subprocess.TimeoutExpired:
            return "hangs", b"", "", True, []
        with open(os.path.join(folder, "out"), "rb") as f:
            out = f.read()
        left = [name for name in sorted(set(os.listdir(folder)) - before) if os.path.isfile(os.path.join(folder, name))]
        result = out if "-o out" in command else ran.stdout
        return ran.returncode, result, ran.stderr.decode(errors="replace"), out == b"old", left


def is_taken(result):
    return subprocess.run(["tensor-info"], input=result, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def judge(data, command, refused):
    """What is wrong, or None."""
    tool = command.split()[0]
    status, out, said, old, left = run(data, command)
    lines = [line for line in said.splitlines() if not re.match(NOTES, line)]
    if lines and " pictures could not be read" in lines[-1]:  # each has its line before that
        lines = lines[-1:]
    if status not in (0, 1):
        return f"status {status}: {said[-300:]}"
    if status == 0 and refused:
        return "a cut file is taken"
    if status == 0:
        return "status 0 and no result" if old and "-o out" in command else None
    if len(lines) != 1 or not lines[0].startswith(tool + ": ") or len(lines[0]) < len(tool) + 5:
        return f"not one line: {said[-500:]!r}"
    if not old or left:
        return f"files left or replaced: {left or ['out']}"
    if "-o out" not in command and out and is_taken(out):
        return "status 1, but a reader takes what it wrote"
    return None


def changed(data, draw):
    """A few bytes that are others."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at, run = draw.randrange(len(data)), draw.choice((1, 2, 4, 8, 64))
        kind = draw.randrange(6)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at:at + run] = draw.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * run
        elif kind == 2:
            data[at:at + run] = draw.randbytes(run)
        elif kind == 3 and len(data) > run:
            del data[at:at + run]
        elif kind == 4:
            data[at:at] = draw.randbytes(run)
        else:
            data[at:at] = data[at:at + run]
        data = data or bytearray(b"\0")
    return bytes(data)


NUMBERS = (0, 1, -1, 2, 3, 127, 255, 65535, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1,
           0.5, math.nan, math.inf, -math.inf, 1e300)
WORDS = ("", "<f4", "<f8", "<i4", "|u1", "<u2", "|b1", "<U3", "novel", "base", "ridge", "proxies", "mean", "none")
KEYS = (b"nd", "a", "label", "embedding", b"data", "end", "head/bias", "ridge/weight")


def change_value(value, draw):
    """Something else in its place, or within it."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        kind = draw.randrange(8)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[draw.choice(KEYS)] = value.pop(key)
        else:
            value[key] = change_value(value[key], draw)
        return value
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        kind = draw.randrange(5)
        if kind == 0:
            del value[at]
        elif kind == 1:
            value.insert(at, value[at])
        else:
            value[at] = change_value(value[at], draw)
        return value
    if isinstance(value, bytes) and value and draw.random() < 0.8:
        return changed(value, draw)
    if isinstance(value, str) and draw.random() < 0.5:
        return draw.choice(WORDS + (value + "x", value * 40))
    return draw.choice(NUMBERS + (None, True, False, "", b"", [], {}, "a", [1, 2], {"a": 1}))


def restructured(data, draw):
    """Records that say something else, written anew."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=1 << 28)
    unpacker.feed(data)
    records = list(unpacker)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(records))
        kind = draw.randrange(12)
        if kind == 0:
            del records[at]
        elif kind == 1:
            records.insert(at, records[at])
        elif kind == 2:
            draw.shuffle(records)
        else:
            records[at] = change_value(records[at], draw)
        records = records or [{}]
    try:
        return b"".join(msgpack.packb(record) for record in records)
    except (OverflowError, ValueError, TypeError):
        return changed(data, draw)


def damages(data, name):
    """(what was done, the bytes, whether they are cut)."""
    step = max(1, len(data) / cuts) if cuts else 1
    for i in range(int(len(data) / step)):
        yield f"cut at {int(i * step)}", data[:int(i * step)], True
    is_records = data[:20].find(b"tensor-stream") > 0
    for i in range(changes):
        draw = random.Random(f"{name} {i}")
        yield f"change {i}", (restructured if is_records and i % 2 else changed)(data, draw), False


wrong = tried = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for line in filter(None, (line.strip() for line in open(cases))):
        may_end = line.startswith("?")
        name, command = line.lstrip("? ").split(" ", 1)
        data = open(name, "rb").read()
        status, _, said, _, _ = run(data, command)
        if status != 0:
            print(f"{line}: fails by itself: {said}")
            wrong += 1
            continue
        all_of_them = list(damages(data, name))
        found = pool.map(lambda d: judge(d[1], command, d[2] and not may_end), all_of_them)
        for (what, bad, _), fault in zip(all_of_them, found):
            tried += 1
            if fault:
                print(f"{name}: {command}: {what}: {fault}", flush=True)
                wrong += 1
            if fault and "KEEP" in os.environ:
                with open(os.path.join(os.environ["KEEP"], f"{name} {what}"), "wb") as f:
                    f.write(bad)
print(f"{tried} damaged files, {wrong} wrong")
sys.exit(wrong > 0)
