"""Uploads a file to Sluice: upload.py HOST:PORT FILE [CHUNK_BYTES]

Whatever is killed, this or the server: run it again, and it sends what is missing.
"""

import hashlib
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import grpc
from sluice.upload.v1 import upload_pb2, upload_service_pb2 as pb, upload_service_pb2_grpc

PARALLEL, ATTEMPTS, TIMEOUT_S = 8, 10, 60
# Every call may come twice, so whatever can pass is tried again.
PASSING = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED"}


def call(method, request):
    """Calls until there is an answer. Waits as long as the server asks, and a random while."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return method(request, timeout=TIMEOUT_S, wait_for_ready=True)
        except grpc.RpcError as error:
            asked_ms = int(dict(error.trailing_metadata()).get("grpc-retry-pushback-ms", 0))
            if error.code().name not in PASSING or asked_ms < 0 or attempt == ATTEMPTS:
                raise
            print(f"{error.code().name}, asked to wait {asked_ms} ms", flush=True)
            time.sleep(asked_ms / 1000 + random.uniform(0, min(10, 0.1 * 2**attempt)))


def missing(service, upload_id):
    """The numbers of the chunks that the server doesn't have, from all pages."""
    numbers, token = [], ""
    while True:
        request = pb.GetUploadStatusRequest(upload_id=upload_id, page_token=token)
        page = call(service.GetUploadStatus, request)
        for each in page.missing_ranges:
            numbers.extend(range(each.first, each.last + 1))
        token = page.next_page_token
        if not token:
            return numbers


def upload(address, path, chunk_bytes=8 << 20):
    """Uploads a file and returns its upload_id. A second run must have the same chunk_bytes."""
    service = upload_service_pb2_grpc.UploadServiceStub(grpc.insecure_channel(address))
    with open(path, "rb") as file:
        facts = os.fstat(file.fileno())
        # The same file in the same chunks is the same upload.
        same = f"{os.path.abspath(path)} {facts.st_size} {facts.st_mtime_ns} {chunk_bytes}"
        request = pb.InitiateUploadRequest(
            filename=os.path.basename(path),
            request_id=hashlib.sha256(same.encode()).hexdigest(),
            expected_size_bytes=facts.st_size,
            chunk_size_bytes=chunk_bytes,
        )
        upload_id = call(service.InitiateUpload, request).upload_id

        def send(number):
            data = os.pread(file.fileno(), chunk_bytes, number * chunk_bytes)
            crc32c = google_crc32c.Checksum(data).digest()
            chunk = dict(upload_id=upload_id, chunk_number=number, crc32c=crc32c, data=data)
            call(service.UploadChunk, pb.UploadChunkRequest(**chunk))

        pool = ThreadPoolExecutor(PARALLEL)
        try:
            while numbers := missing(service, upload_id):
                for count, _ in enumerate(pool.map(send, numbers), 1):
                    print(f"{count} of {len(numbers)} chunks", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    request = pb.CompleteUploadRequest(upload_id=upload_id)
    while call(service.CompleteUpload, request).state != upload_pb2.UPLOAD_STATE_COMPLETED:
        pass  # The call itself waits, up to 10 s.
    return upload_id


if __name__ == "__main__":
    print("stored", upload(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
