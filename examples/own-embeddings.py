#!/usr/bin/env python3
"""Embeddings from anywhere, as records: here three clouds of points stand for a network's output.

    examples/own-embeddings.py few > few.records        two examples of each class
    examples/own-embeddings.py many > many.records      three hundred to classify
    imprint few.records -o own.model
    classify --model own.model many.records | score
"""
import sys

try:
    import msgpack
    import msgpack_numpy
    import numpy
except ImportError as missing:
    sys.exit(f"{missing}: install python3-msgpack-numpy and run this with /usr/bin/python3, or pip install msgpack-numpy")

CLASSES = ["cat", "dog", "owl"]


def write(record):
    sys.stdout.buffer.write(msgpack.packb(record, default=msgpack_numpy.encode))


def embed(labels, seed):
    """Put a network of your own here: float32, one row a picture."""
    centres = numpy.random.default_rng(0).normal(size=(len(CLASSES), 128))
    noise = numpy.random.default_rng(seed).normal(size=(len(labels), 128))
    return (centres[labels] + noise).astype(numpy.float32)


few = sys.argv[1:] == ["few"]
labels = numpy.repeat([0, 1, 2], 2 if few else 100)
write({"tensor-stream": 1, "classes": CLASSES})
write({"embedding": embed(labels, seed=1 if few else 2), "label": labels})
write({"end": len(labels)})
