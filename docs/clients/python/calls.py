"""Calls of the upload service, repeated until there is an answer."""

import random
import time

import grpc
from sluice.upload.v1 import upload_service_pb2 as pb

ATTEMPTS, TIMEOUT_S, PATIENCE_S = 10, 60, 600
# Every call may come twice, so whatever can pass is tried again.
PASSING = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED"}


def connect(address):
    """With TLS to https://HOST:PORT. GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names other roots."""
    host = address.removeprefix("https://")
    if host == address:
        return grpc.insecure_channel(host)
    return grpc.secure_channel(host, grpc.ssl_channel_credentials())


def call(method, request):
    """Calls until there is an answer. Waits as long as the server asks, and a random while.

    A server that asks to come back later may be full for minutes: that is no failed attempt.
    """
    begun, failed, tries = time.monotonic(), 0, 0
    while True:
        try:
            return method(request, timeout=TIMEOUT_S, wait_for_ready=True)
        except grpc.RpcError as error:
            asked_ms = int(dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms", 0))
            tries, failed = tries + 1, 0 if asked_ms > 0 else failed + 1
            is_over = failed == ATTEMPTS or time.monotonic() - begun > PATIENCE_S
            if error.code().name not in PASSING or asked_ms < 0 or is_over:
                raise
            print(f"{error.code().name}, asked to wait {asked_ms} ms", flush=True)
            time.sleep(asked_ms / 1000 + random.uniform(0, min(10, 0.1 * 2 ** min(tries, 7))))


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
