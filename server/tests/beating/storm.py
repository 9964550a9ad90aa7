"""Sends chunks that are refused, and those of an honest upload on the same connection.

Usage: storm.py ADDRESS UPLOAD REFUSED; prints how many calls ended with which code.
"""

import collections
import sys
import threading

import grpc

CHUNK_BYTES = 16 << 20
HONEST_CHUNK_BYTES = 1 << 20
HONEST_CHUNKS = 16
IN_FLIGHT = 8


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def chunk(upload_id, number, data):
    return text(1, upload_id.encode()) + varint(2 << 3) + varint(number) + text(1000, data)


def honest(call, upload_id, codes):
    for number in range(HONEST_CHUNKS):
        sent = call.future(chunk(upload_id, number, bytes([number]) * HONEST_CHUNK_BYTES))
        codes["honest " + sent.code().name] += 1


def main():
    address, upload_id, refused = sys.argv[1], sys.argv[2], int(sys.argv[3])
    channel = grpc.insecure_channel(address, options=[("grpc.enable_retries", 0)])
    # Without stubs: bytes in, bytes out.
    call = channel.unary_unary("/sluice.upload.v1.UploadService/UploadChunk")
    codes = collections.Counter()
    upload = threading.Thread(target=honest, args=(call, upload_id, codes))
    upload.start()
    message = chunk("nobody's", 0, bytes(CHUNK_BYTES))
    waiting = collections.deque()
    for _ in range(refused):
        waiting.append(call.future(message))
        if len(waiting) == IN_FLIGHT:
            codes["refused " + waiting.popleft().code().name] += 1
    for sent in waiting:
        codes["refused " + sent.code().name] += 1
    upload.join()
    for what, count in sorted(codes.items()):
        print(what, count)


main()
