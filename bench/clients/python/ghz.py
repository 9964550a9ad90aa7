"""A load by ghz. It sends one message again and again and looks at no answer, so an upload is one
call that opens it and brings all of it (InitiateUpload with a payload), and the server is asked
afterwards what it has."""

import datetime
import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
from job import Payload, Unsupported, seconds
from sluice.upload.v1 import upload_pb2, upload_service_pb2 as pb, upload_service_pb2_grpc
from tally import main

HERE = Path(__file__).parent
GHZ = HERE.parents[1] / "bin/ghz"
CALL = "sluice.upload.v1.UploadService/InitiateUpload"
# So many are looked at: more would take longer than the load.
LISTED_MAX, PAGE = 20_000, 1_000
# ghz takes a moment to begin, and must not end before the measured time does.
MARGIN_S = 0.5
ACK_LEVELS = {"default": 0, "received": 1, "spooled": 2}


def measure(job, tally):
    load = job["load"]
    if load["chunk_size"] < load["upload_size"]:
        raise Unsupported("ghz sends whole uploads: chunk_size must not be below upload_size")
    if load["total_size"]:
        raise Unsupported("this client has no total_size")
    tally.notes.append("each upload is one InitiateUpload with its payload inside")
    payload = Payload(load)
    filename = f"ghz-{secrets.token_hex(8)}"
    request = pb.InitiateUploadRequest(filename=filename, ack_level=ACK_LEVELS[load["ack"]])
    request.payload = bytes(payload.chunk(0))
    with tempfile.NamedTemporaryFile() as message, tempfile.TemporaryFile() as report:
        message.write(request.SerializeToString())
        message.flush()
        command = [
            *(GHZ, "--insecure", "--protoset", HERE / "contract.protoset", "--call", CALL),
            *("--binary-file", message.name, "--connections", load["connections"]),
            *("--concurrency", max(load["uploads"] * load["parallel"], load["connections"])),
            *("--duration", f"{seconds(load['warm_up']) + seconds(load['duration']) + MARGIN_S}s"),
            *("--duration-stop", "wait", "--timeout", "60s", "--format", "json", job["address"]),
        ]
        ghz = subprocess.Popen(list(map(str, command)), stdout=report, stderr=sys.stderr)
        window = sleep_through(load, ghz)
        if ghz.wait() != 0:
            raise RuntimeError(f"ghz ended with {ghz.returncode}")
        report.seek(0)
        told = json.load(report)
    count(tally, told["details"] or [], payload.size, window)
    verify(tally, job["address"], filename, payload)


def sleep_through(load, ghz):
    """Says when the measured time begins and ends; returns both, by the clock on the wall."""
    window = []
    for mark, name in (("begin", "warm_up"), ("end", "duration")):
        time.sleep(seconds(load[name]))
        if ghz.poll() is not None:
            raise RuntimeError(f"ghz ended early, with {ghz.returncode}")
        window.append(time.time())
        print(mark, flush=True)
    return window


def count(tally, details, size, window):
    """Counts what ghz tells of each call: when it ended, and how long it took."""
    tally.began, tally.ended = window
    for each in sorted(details, key=lambda each: each["timestamp"]):
        if each["status"] != "OK":
            tally.fail(f"a call was answered {each['status']}: {each['error']}")
            continue
        at = stamp(each["timestamp"])
        # The ack is that of the whole upload, so it waited for the end.
        tally.count_ack(at, each["latency"] / 1e9, size, ending=True)
        tally.count_upload(at, each["latency"] / 1e9)


def stamp(text):
    """Of RFC 3339 with nanoseconds, which are more than Python reads."""
    whole, fraction, zone = re.fullmatch(r"([^.]*?)(\.\d+)?(Z|[+-]\d\d:\d\d)", text).groups()
    moment = datetime.datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))
    return moment.timestamp() + float(fraction or 0)


def verify(tally, address, filename, payload):
    """Asks the server what it has under this name."""
    service = upload_service_pb2_grpc.UploadServiceStub(grpc.insecure_channel(address))
    request = pb.ListUploadsRequest(filename=filename, page_size=PAGE)
    request.state = upload_pb2.UPLOAD_STATE_COMPLETED
    wanted = min(tally.total["uploads"], LISTED_MAX)
    while tally.total["sizes_verified"] < wanted:
        page = service.ListUploads(request, timeout=60)
        for upload in page.uploads:
            size, told = upload.object.size_bytes, upload.object.crc64nvme
            if size != payload.size or told and int.from_bytes(told, "big") != payload.whole:
                raise ValueError(f"an object isn't what was sent: {upload.object}")
            tally.total.update(sizes_verified=1, checksums_verified=int(bool(told)))
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    found = tally.total["sizes_verified"]
    if found < wanted:
        raise ValueError(f"{tally.total['uploads']} uploads were acked, the server has {found}")
    if wanted < tally.total["uploads"]:
        tally.notes.append(f"{found} of {tally.total['uploads']} uploads were looked at")


if __name__ == "__main__":
    main(measure)
