"""Made-up embeddings as a record stream, for the tests of imprint and classify.

usage: embeddings.py CLASSES ROWS [DIMENSION [SEED [SPREAD]]]

CLASSES: names, comma separated; ROWS of each, mixed. Each class has a centre of its own, which depends
on its name alone, and its rows lie around it, non-negative as after a ReLU."""
import sys
import zlib

import msgpack
import msgpack_numpy
import numpy

names = sys.argv[1].split(",")
rows = int(sys.argv[2])
dimension = int(sys.argv[3]) if len(sys.argv) > 3 else 16
seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
spread = float(sys.argv[5]) if len(sys.argv) > 5 else 0.6


def write(record):
    sys.stdout.buffer.write(msgpack.packb(record, default=msgpack_numpy.encode))


centres = [numpy.random.RandomState(zlib.crc32(n.encode())).randn(dimension) for n in names]
random = numpy.random.RandomState(seed)
label = random.permutation(numpy.repeat(numpy.arange(len(names)), rows)).astype(numpy.int32)
embedding = numpy.maximum(numpy.array(centres)[label] + spread * random.randn(len(label), dimension), 0)
write({"tensor-stream": 1, "classes": names})
for first in range(0, len(label), 50):
    part = slice(first, first + 50)
    write({"embedding": embedding[part].astype(numpy.float32), "label": label[part]})
write({"end": len(label)})
