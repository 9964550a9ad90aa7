"""Uploads by stock grpcio, with stubs that stock grpcio-tools made of the contract.

Usage: uploads.py ADDRESS FOLDER SEED. What must be stored goes to FOLDER, a file an upload id.
"""

import hashlib
import pathlib
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sluice.upload.v1 import upload_pb2, upload_service_pb2 as pb, upload_service_pb2_grpc

ADDRESS, FOLDER, SEED = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
RANDOM = random.Random(SEED)


def table(polynomial):
    def entry(value):
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        return value

    return [entry(byte) for byte in range(256)]


CRC32C, CRC64NVME = table(0x82F63B78), table(0x9A6C9329AC4BC9B5)


def crc(data, entries, bits):
    value = (1 << bits) - 1
    for byte in data:
        value = entries[(value ^ byte) & 0xFF] ^ (value >> 8)
    return (value ^ ((1 << bits) - 1)).to_bytes(bits // 8, "big")


def crc32c(data):
    return crc(data, CRC32C, 32)


def crc64nvme(data):
    return crc(data, CRC64NVME, 64)


assert crc32c(b"123456789").hex() == "e3069283"
assert crc64nvme(b"123456789").hex() == "ae8b14860a799888"


def sha256(data):
    return hashlib.sha256(data).digest()


def connect():
    # Each its own connection, as separate programs would have.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(ADDRESS, options=options)
    return upload_service_pb2_grpc.UploadServiceStub(channel)


STUBS = [connect(), connect()]


def any_stub():
    return RANDOM.choice(STUBS)


def refused(call, request):
    """The status code and the ErrorInfo of a call that must be refused."""
    try:
        answer = call(request, timeout=30)
    except grpc.RpcError as error:
        details = rpc_status.from_call(error).details
        info = error_details_pb2.ErrorInfo()
        assert details[0].Unpack(info) and info.domain == "sluice", details
        return error.code(), info
    raise AssertionError(f"not refused: {answer}")


def initiate(**fields):
    return any_stub().InitiateUpload(pb.InitiateUploadRequest(**fields), timeout=30)


def chunk(upload_id, number, data, **fields):
    # Some with one checksum, some with others, some with none.
    sums = {"crc32c": crc32c, "crc64nvme": crc64nvme, "sha256": sha256}
    chosen = {name: sums[name](data) for name in RANDOM.sample(sorted(sums), RANDOM.randrange(3))}
    fields = {**chosen, **fields}
    return pb.UploadChunkRequest(upload_id=upload_id, chunk_number=number, data=data, **fields)


def send(request):
    return any_stub().UploadChunk(request, timeout=60)


def stored(upload_id, data, info):
    assert info.size_bytes == len(data), info
    assert info.sha256 == sha256(data), info
    assert not info.crc64nvme or len(data) > 400_000 or info.crc64nvme == crc64nvme(data), info
    (FOLDER / upload_id).write_bytes(data)


def complete(upload_id, **fields):
    request = pb.CompleteUploadRequest(upload_id=upload_id, **fields)
    while True:
        answer = any_stub().CompleteUpload(request, timeout=60)
        if answer.state != upload_pb2.UPLOAD_STATE_COMPLETING:
            assert answer.state == upload_pb2.UPLOAD_STATE_COMPLETED, answer
            return answer.object


def shuffled_in_parallel_last_first():
    """Chunks of odd sizes, the last one first, the others in any order on two connections."""
    sizes = [RANDOM.randrange(1, 30_000) for _ in range(12)]
    data = RANDOM.randbytes(sum(sizes))
    upload_id = initiate(filename="shuffled").upload_id
    requests, offset = [], 0
    for number, size in enumerate(sizes):
        requests.append(chunk(upload_id, number, data[offset : offset + size]))
        offset += size
    requests[-1].is_last = True
    answer = send(requests.pop())
    assert (answer.chunk_number, answer.received_count) == (11, 1), answer
    RANDOM.shuffle(requests)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, requests))
    assert sum(answer.duplicate for answer in answers) == 0
    again = send(requests[0])
    assert again.duplicate and again.chunk_bytes == len(requests[0].data), again
    stored(upload_id, data, complete(upload_id))


def repeats_and_conflicts():
    """The same bytes twice are a duplicate; others are a conflict until they are forced."""
    upload_id = initiate(filename="repeats").upload_id
    first, second = RANDOM.randbytes(777), RANDOM.randbytes(778)
    assert not send(chunk(upload_id, 1, first)).duplicate
    assert send(chunk(upload_id, 1, first)).duplicate
    code, info = refused(any_stub().UploadChunk, chunk(upload_id, 1, second))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CHUNK_CONFLICT"), info
    assert not send(chunk(upload_id, 1, second, force=True)).duplicate
    head = RANDOM.randbytes(3)
    send(chunk(upload_id, 0, head))
    stored(upload_id, head + second, complete(upload_id, total_chunks=2))


def wrong_checksums():
    """A chunk whose bytes don't have their sum costs nothing and can be sent again."""
    upload_id = initiate(filename="checksums").upload_id
    data = RANDOM.randbytes(10_001)
    for field, length in (("crc32c", 4), ("crc64nvme", 8), ("sha256", 32)):
        code, info = refused(
            any_stub().UploadChunk, chunk(upload_id, 0, data, **{field: bytes(length)})
        )
        assert (code, info.reason) == (grpc.StatusCode.ABORTED, "CHECKSUM_MISMATCH"), info
    assert not send(chunk(upload_id, 0, data)).duplicate
    stored(upload_id, data, complete(upload_id))


def holes():
    """Completing with holes names them; filling the last one ends the upload."""
    upload_id = initiate(filename="holes").upload_id
    pieces = [RANDOM.randbytes(RANDOM.randrange(1, 2_000)) for _ in range(9)]
    for number in (0, 1, 4, 8):
        send(chunk(upload_id, number, pieces[number]))
    request = pb.CompleteUploadRequest(upload_id=upload_id)
    code, info = refused(any_stub().CompleteUpload, request)
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MISSING_CHUNKS"), info
    missing, token = [], ""
    while True:
        request = pb.GetUploadStatusRequest(upload_id=upload_id, page_size=1, page_token=token)
        page = any_stub().GetUploadStatus(request, timeout=30)
        assert page.upload.total_chunks == 9, page
        assert len(page.received_ranges) + len(page.missing_ranges) <= 2, page
        missing += [(each.first, each.last) for each in page.missing_ranges]
        token = page.next_page_token
        if not token:
            break
    assert missing == [(2, 3), (5, 7)], missing
    for number in (6, 2, 7, 5, 3):
        answer = send(chunk(upload_id, number, pieces[number]))
    assert answer.state == upload_pb2.UPLOAD_STATE_COMPLETED, answer
    stored(upload_id, b"".join(pieces), complete(upload_id))


def repeated_initiates():
    """One request_id is one upload; with other parameters it is refused."""
    first = initiate(filename="again", request_id=f"again-{SEED}", metadata={"k": "v"})
    second = initiate(filename="again", request_id=f"again-{SEED}", metadata={"k": "v"})
    assert (second.upload_id, second.duplicate) == (first.upload_id, True), second
    request = pb.InitiateUploadRequest(filename="other", request_id=f"again-{SEED}")
    code, info = refused(any_stub().InitiateUpload, request)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED"), info
    data = b"x"
    send(chunk(first.upload_id, 0, data, is_last=True))
    third = initiate(filename="again", request_id=f"again-{SEED}", metadata={"k": "v"})
    assert (third.upload_id, third.duplicate) == (first.upload_id, True), third
    stored(first.upload_id, data, complete(first.upload_id))


def whole_in_one_call():
    data = RANDOM.randbytes(20_000)
    answer = initiate(filename="payload", payload=data, sha256=sha256(data))
    assert answer.state == upload_pb2.UPLOAD_STATE_COMPLETED, answer
    stored(answer.upload_id, data, answer.object)


def large_chunks():
    """Far above any window at its start, several at once on each connection."""
    pieces = [RANDOM.randbytes(5_000_011), RANDOM.randbytes(5_000_011), RANDOM.randbytes(1_234)]
    data = b"".join(pieces)
    opened = initiate(
        filename="large",
        expected_size_bytes=len(data),
        chunk_size_bytes=len(pieces[0]),
        sha256=sha256(data),
    )
    requests = [
        pb.UploadChunkRequest(upload_id=opened.upload_id, chunk_number=number, data=piece)
        for number, piece in enumerate(pieces)
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, reversed(requests)))
    stored(opened.upload_id, data, complete(opened.upload_id))


def aborted():
    upload_id = initiate(filename="aborted").upload_id
    send(chunk(upload_id, 0, b"some"))
    request = pb.AbortUploadRequest(upload_id=upload_id, reason="changed my mind")
    for _ in range(2):
        answer = any_stub().AbortUpload(request, timeout=30)
        assert answer.state == upload_pb2.UPLOAD_STATE_ABORTED, answer
    code, info = refused(any_stub().UploadChunk, chunk(upload_id, 1, b"more"))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_ENDED"), info


for scenario in (
    shuffled_in_parallel_last_first,
    repeats_and_conflicts,
    wrong_checksums,
    holes,
    repeated_initiates,
    whole_in_one_call,
    large_chunks,
    aborted,
):
    scenario()
    print("passed:", scenario.__name__)
