"""Uploads a file to Sluice: upload.py [https://]HOST:PORT FILE [CHUNK_BYTES]

Whatever is killed, this or the server: run it again, and it sends what is missing.
"""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
from calls import call, connect, missing
from sluice.upload.v1 import upload_pb2, upload_service_pb2 as pb, upload_service_pb2_grpc

PARALLEL = 8


def upload(address, path, chunk_bytes=8 << 20):
    """Uploads a file and returns its upload_id. A second run must have the same chunk_bytes."""
    service = upload_service_pb2_grpc.UploadServiceStub(connect(address))
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
