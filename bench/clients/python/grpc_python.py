"""A load by stock grpcio, a thread for each chunk in flight."""

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.rpc import error_details_pb2, status_pb2
from job import Payload
from sluice.upload.v1 import upload_pb2, upload_service_pb2 as pb, upload_service_pb2_grpc
from tally import main

ATTEMPTS, TIMEOUT_S = 20, 60
# Every call may come twice, so whatever can pass is tried again.
PASSING = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED"}
ACK_LEVELS = {"default": 0, "received": 1, "spooled": 2}


class Load:
    """Uploads of one load."""

    def __init__(self, job, tally):
        self.load, self.tally = job["load"], tally
        self.payload = Payload(self.load)
        # Without this, channels to one address share a connection.
        apart = lambda number: [("grpc.use_local_subchannel_pool", 1), ("bench", number)]
        channels = [
            grpc.insecure_channel(job["address"], options=apart(number))
            for number in range(self.load["connections"])
        ]
        self.services = [upload_service_pb2_grpc.UploadServiceStub(each) for each in channels]
        self.begun = itertools.count(1)

    def line(self, line):
        """A function that does one upload after the other."""
        parallel = self.load["parallel"]
        pool = ThreadPoolExecutor(parallel) if parallel > 1 else None
        services = [
            self.services[(line * parallel + place) % len(self.services)]
            for place in range(parallel)
        ]
        return lambda: self.upload(services, pool)

    def upload(self, services, pool):
        started = time.monotonic()
        nth = next(self.begun)
        request = pb.InitiateUploadRequest(
            filename=f"bench-{nth}", ack_level=ACK_LEVELS[self.load["ack"]]
        )
        if self.load["promise"]:
            request.expected_size_bytes = self.payload.size
            request.chunk_size_bytes = self.payload.chunk_size
        upload_id = self.call(services[0].InitiateUpload, request).upload_id
        numbers = iter(self.payload.numbers(nth))  # Several threads may take from it.

        def place(service):
            for number in numbers:
                self.chunk(service, upload_id, number)

        if pool:
            list(pool.map(place, services))
        else:
            place(services[0])
        self.complete(services[0], upload_id, started)

    def chunk(self, service, upload_id, number):
        started = time.monotonic()
        data = bytes(self.payload.chunk(number))
        chunk = dict(upload_id=upload_id, chunk_number=number, data=data)
        if self.load["checksums"]:
            chunk["crc64nvme"] = self.payload.sums[number]
        try:
            ack = self.call(service.UploadChunk, pb.UploadChunkRequest(**chunk))
        except grpc.RpcError:
            self.tally.lost()
            raise
        if (ack.chunk_number, ack.chunk_bytes) != (number, len(data)):
            raise ValueError(f"chunk {number} of {len(data)} bytes was acked as {ack}")
        ending = ack.state >= upload_pb2.UPLOAD_STATE_COMPLETING
        self.tally.acked(started, len(data), ending, ack.duplicate)

    def complete(self, service, upload_id, started):
        request = pb.CompleteUploadRequest(upload_id=upload_id, total_chunks=self.payload.count)
        while True:
            answer = self.call(service.CompleteUpload, request)
            if answer.state == upload_pb2.UPLOAD_STATE_COMPLETED:
                break
        size, told = answer.object.size_bytes, answer.object.crc64nvme
        if size != self.payload.size:
            raise ValueError(f"{self.payload.size} bytes were sent, the object has {size}")
        if told and int.from_bytes(told, "big") != self.payload.whole:
            raise ValueError(f"the object's CRC-64/NVME is {told.hex()}, not that of what was sent")
        self.tally.verified(started, bool(told))

    def call(self, method, request):
        """Calls until there is an answer. Waits as long as the server asks, and a random while."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return method(request, timeout=TIMEOUT_S, wait_for_ready=True)
            except grpc.RpcError as error:
                trailer = dict(error.trailing_metadata() or ())
                asked_ms = int(trailer.get("grpc-retry-pushback-ms", 0))
                if error.code().name not in PASSING or asked_ms < 0 or attempt == ATTEMPTS:
                    raise
                self.tally.refused(reason(error, trailer))
                time.sleep(asked_ms / 1000 + random.uniform(0, min(1, 0.01 * 2**attempt)))


def reason(error, trailer):
    """The word in ErrorInfo, else the code."""
    status = status_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b""))
    info = error_details_pb2.ErrorInfo()
    told = any(detail.Unpack(info) for detail in status.details)
    return info.reason if told else error.code().name


def measure(job, tally):
    tally.notes.append(f"grpcio {grpc.__version__}, one process")
    if job["load"]["route"] == "owner":
        tally.notes.append("chunks go to the shared address, not to owners")
    load = Load(job, tally)
    tally.run([load.line(line) for line in range(job["load"]["uploads"])])


if __name__ == "__main__":
    main(measure)
