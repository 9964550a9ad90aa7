"""What is asked of a client (bench/src/job.rs), and the bytes that it sends."""

import json
import random
import sys

from awscrt.checksums import crc64nvme

# Windows of neighbours lie this far apart, so that chunks that change places give another object.
STRIDE_BYTES = 67


class Unsupported(Exception):
    """The load has something that this client hasn't."""


def read_job(without=()):
    """Reads it from standard input. `without` names what of a load this client hasn't, beside what
    none of the stock clients has."""
    job = json.load(sys.stdin)
    load = job["load"]
    for name in ("mix", "offered", "idle_uploads", *without):
        if load[name]:
            raise Unsupported(f"this client has no {name}")
    if load["route"] == "wrong":
        raise Unsupported("this client sends no chunk to a wrong owner")
    if not isinstance(load["fill"], str):
        raise Unsupported("this client sends no file")
    return job


def seconds(time):
    """Of a time as jobs have it: `500 ms`."""
    return int(time.removesuffix("ms")) / 1000


class Payload:
    """All chunks of one upload: windows into one buffer, summed before the clock runs."""

    def __init__(self, load):
        self.size, self.chunk_size = load["upload_size"], load["chunk_size"]
        self.count = -(-self.size // self.chunk_size)
        self.order = load["order"]
        length = min(self.size, self.chunk_size) + STRIDE_BYTES * self.count
        zero = load["fill"] == "zero"
        # Pieces, since one random number can't have so many bits.
        pieces = [random.Random(1).randbytes(1 << 20) for _ in range((length >> 20) + 1)]
        self.buffer = memoryview(bytes(length) if zero else b"".join(pieces))
        self.sums, self.whole = [], 0
        for number in range(self.count):
            chunk = bytes(self.chunk(number))
            self.sums.append(crc64nvme(chunk).to_bytes(8, "big"))
            self.whole = crc64nvme(chunk, self.whole)

    def chunk(self, number):
        start = STRIDE_BYTES * number
        length = min(self.chunk_size, self.size - number * self.chunk_size)
        return self.buffer[start : start + length]

    def numbers(self, nth):
        """In which order the nth upload sends its chunks."""
        numbers = list(range(self.count))
        if self.order == "shuffled":
            random.Random(nth).shuffle(numbers)
        if self.order == "last-first":
            numbers.insert(0, numbers.pop())
        return numbers
