"""Whether a store speaks S3, as the stock client does: each check is a function of its own.

Usage: protocol.py ENDPOINT REGION BUCKET [DEVIATION...], with the bucket empty. A deviation is the
name of a check that is known not to hold there; if it does hold, that is told as a failure, too.
Keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, those of somebody who may only read
from READER_KEY_ID and READER_SECRET.
"""

import base64
import datetime
import hashlib
import os
import random
import sys
import traceback

import boto3
import botocore.auth
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, REGION, BUCKET, *DEVIATIONS = sys.argv[1:]
PART_BYTES = 5 << 20
# The check value of CRC64NVME, of b"123456789".
CRC64NVME = base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
CRC32C = base64.b64encode(bytes.fromhex("e3069283")).decode()
RANDOM = random.Random(7)


def client(key=os.environ["AWS_ACCESS_KEY_ID"], secret=os.environ["AWS_SECRET_ACCESS_KEY"], sums=False):
    sums = "when_supported" if sums else "when_required"
    config = Config(
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        request_checksum_calculation=sums,
        response_checksum_validation=sums,
    )
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


S3 = client()


def refused(code, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except ClientError as error:
        assert error.response["Error"]["Code"] in code.split("|"), error
        return error.response
    raise AssertionError(f"not refused with {code}")


def begin(key, **named):
    return S3.create_multipart_upload(Bucket=BUCKET, Key=key, **named)["UploadId"]


def part(key, upload, number, body, **named):
    told = S3.upload_part(
        Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=body, **named
    )
    return {"PartNumber": number, "ETag": told["ETag"]}


def complete(key, upload, parts, **named):
    return S3.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **named
    )


def contents(key):
    return S3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def an_object_comes_back_as_it_was_put():
    body = RANDOM.randbytes(100_000)
    metadata = {"sluice-upload-id": "u 1"}
    told = S3.put_object(
        Bucket=BUCKET, Key="put", Body=body, Metadata=metadata, ContentType="text/x-odd"
    )
    assert told["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', told["ETag"]
    assert contents("put") == body
    ranged = S3.get_object(Bucket=BUCKET, Key="put", Range="bytes=10-19")
    assert ranged["Body"].read() == body[10:20] and "10-19/100000" in ranged["ContentRange"]
    head = S3.head_object(Bucket=BUCKET, Key="put")
    assert head["ContentLength"] == len(body) and head["ContentType"] == "text/x-odd"
    assert head["Metadata"] == metadata, head["Metadata"]
    S3.delete_object(Bucket=BUCKET, Key="put")
    refused("404", S3.head_object, Bucket=BUCKET, Key="put")
    refused("NoSuchKey", S3.get_object, Bucket=BUCKET, Key="put")
    S3.delete_object(Bucket=BUCKET, Key="put")


def the_clients_own_sums_are_taken():
    told = client(sums=True).put_object(Bucket=BUCKET, Key="sums", Body=b"hello")
    assert told.get("ChecksumCRC32"), told
    got = client(sums=True).get_object(Bucket=BUCKET, Key="sums")
    assert got["Body"].read() == b"hello"


def a_wrong_crc32c_is_refused():
    put = {"Bucket": BUCKET, "Key": "sum"}
    S3.put_object(**put, Body=b"123456789", ChecksumCRC32C=CRC32C)
    refused("BadDigest|InvalidDigest", S3.put_object, **put, Body=b"12345678!", ChecksumCRC32C=CRC32C)


def a_wrong_crc64nvme_is_refused():
    put = {"Bucket": BUCKET, "Key": "sum"}
    S3.put_object(**put, Body=b"123456789", ChecksumCRC64NVME=CRC64NVME)
    refused(
        "BadDigest|InvalidDigest", S3.put_object, **put, Body=b"12345678!", ChecksumCRC64NVME=CRC64NVME
    )


def a_wrong_md5_is_refused():
    md5 = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    S3.put_object(Bucket=BUCKET, Key="md5", Body=b"hello", ContentMD5=md5)
    refused("BadDigest", S3.put_object, Bucket=BUCKET, Key="md5", Body=b"hellO", ContentMD5=md5)


def a_body_that_was_not_signed_is_refused():
    def swap(request, **_):
        request.body = b"hellO"

    other = client()
    other.meta.events.register("before-send.s3.PutObject", swap)
    refused("XAmzContentSHA256Mismatch", other.put_object, Bucket=BUCKET, Key="swap", Body=b"hello")


def parts_become_one_object():
    bodies = [RANDOM.randbytes(PART_BYTES), RANDOM.randbytes(PART_BYTES + 1), b"end"]
    upload = begin("parts", Metadata={"m": "v"})
    parts = [part("parts", upload, number, body) for number, body in enumerate(bodies, 1)]
    listed = S3.get_paginator("list_parts").paginate(
        Bucket=BUCKET, Key="parts", UploadId=upload, PaginationConfig={"PageSize": 2}
    )
    listed = [(entry["PartNumber"], entry["Size"], entry["ETag"]) for page in listed for entry in page["Parts"]]
    assert listed == [(n, len(b), parts[n - 1]["ETag"]) for n, b in enumerate(bodies, 1)], listed
    complete("parts", upload, parts)
    assert contents("parts") == b"".join(bodies)
    head = S3.head_object(Bucket=BUCKET, Key="parts")
    assert head["Metadata"] == {"m": "v"}, head
    md5s = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert head["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"', head["ETag"]


def the_end_tells_the_etag_of_the_object():
    upload = begin("end")
    told = complete("end", upload, [part("end", upload, 1, b"end")])
    assert told["ETag"] == S3.head_object(Bucket=BUCKET, Key="end")["ETag"], told["ETag"]


def again(key):
    """An upload whose only part came twice, and how the second was answered."""
    upload = begin(key)
    part(key, upload, 1, b"first, and longer")
    return upload, part(key, upload, 1, b"second")


def a_part_that_comes_again_replaces_the_first():
    upload, second = again("again")
    complete("again", upload, [second])
    assert contents("again") == b"second"


def a_part_that_came_again_is_listed_as_the_second():
    upload, second = again("listed")
    listed = S3.list_parts(Bucket=BUCKET, Key="listed", UploadId=upload)["Parts"]
    S3.abort_multipart_upload(Bucket=BUCKET, Key="listed", UploadId=upload)
    listed = [(entry["Size"], entry["ETag"]) for entry in listed]
    assert listed == [(6, second["ETag"])], listed


def a_whole_crc64nvme_is_held_against_all_parts():
    named = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
    upload = begin("whole", **named)
    parts = [part("whole", upload, 1, b"123456789", ChecksumCRC64NVME=CRC64NVME)]
    wrong = base64.b64encode(bytes(8)).decode()
    sent = {"ChecksumType": "FULL_OBJECT"}
    refused("BadDigest|InvalidRequest", complete, "whole", upload, parts, ChecksumCRC64NVME=wrong, **sent)
    told = complete("whole", upload, parts, ChecksumCRC64NVME=CRC64NVME, **sent)
    assert told["ChecksumCRC64NVME"] == CRC64NVME, told


def the_clients_own_sums_of_parts_are_taken():
    other = client(sums=True)
    upload = other.create_multipart_upload(Bucket=BUCKET, Key="own", ChecksumAlgorithm="CRC32")
    at = {"Bucket": BUCKET, "Key": "own", "UploadId": upload["UploadId"]}
    parts = []
    for number, body in ((1, bytes(PART_BYTES)), (2, b"end")):
        told = other.upload_part(**at, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        named = {"PartNumber": number, "ETag": told["ETag"], "ChecksumCRC32": told["ChecksumCRC32"]}
        parts.append(named)
    told = other.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    assert told["ChecksumCRC32"].endswith("-2"), told


def small_parts_are_refused():
    upload = begin("small")
    parts = [part("small", upload, number, b"small") for number in (1, 2)]
    refused("EntityTooSmall", complete, "small", upload, parts)
    S3.abort_multipart_upload(Bucket=BUCKET, Key="small", UploadId=upload)


def parts_out_of_order_are_refused():
    upload = begin("order")
    parts = [part("order", upload, number, bytes(PART_BYTES)) for number in (1, 2)]
    refused("InvalidPartOrder", complete, "order", upload, parts[::-1])
    S3.abort_multipart_upload(Bucket=BUCKET, Key="order", UploadId=upload)


def parts_of_another_etag_are_refused():
    upload = begin("etag")
    parts = [part("etag", upload, 1, bytes(PART_BYTES))]
    other = [{"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}]
    refused("InvalidPart", complete, "etag", upload, other)
    refused("InvalidPart", complete, "etag", upload, [*parts, {**parts[0], "PartNumber": 2}])
    S3.abort_multipart_upload(Bucket=BUCKET, Key="etag", UploadId=upload)


def an_aborted_upload_is_gone():
    upload = begin("abort")
    part("abort", upload, 1, b"hello")
    at = {"Bucket": BUCKET, "Key": "abort", "UploadId": upload}
    S3.abort_multipart_upload(**at)
    refused("NoSuchUpload", S3.upload_part, **at, PartNumber=1, Body=b"late")


def parts_of_what_is_gone_are_not_listed():
    at = {"Bucket": BUCKET, "Key": "unlisted", "UploadId": begin("unlisted")}
    S3.abort_multipart_upload(**at)
    refused("NoSuchUpload", S3.list_parts, **at)


def the_end_of_what_is_gone_is_refused():
    at = {"Bucket": BUCKET, "Key": "ended", "UploadId": begin("ended")}
    parts = [part("ended", at["UploadId"], 1, b"hello")]
    S3.abort_multipart_upload(**at)
    refused("NoSuchUpload", complete, "ended", at["UploadId"], parts)


def an_abort_of_what_is_gone_is_told():
    at = {"Bucket": BUCKET, "Key": "gone", "UploadId": begin("gone")}
    S3.abort_multipart_upload(**at)
    refused("NoSuchUpload", S3.abort_multipart_upload, **at)


def open_uploads_are_listed_in_pages():
    begun = sorted((key, begin(key)) for key in ("open/a", "open/b", "open/b", "open/c+ü", "other"))
    pages = S3.get_paginator("list_multipart_uploads").paginate(
        Bucket=BUCKET, Prefix="open/", PaginationConfig={"PageSize": 1}
    )
    listed = [(entry["Key"], entry["UploadId"]) for page in pages for entry in page.get("Uploads", [])]
    assert sorted(listed) == begun[:-1], listed
    for key, upload in begun:
        S3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)


def objects_are_listed_in_pages():
    keys = sorted(f"list/{name}" for name in ("a b", "a+b", "ü", "x&<y>", "per%20cent", "~", "=", "z/z"))
    for key in keys:
        S3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    pages = S3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 3}
    )
    listed = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    assert listed == sorted(keys, key=str.encode), listed
    assert all(contents(key) == key.encode() for key in keys)


def what_is_there_is_not_overwritten_on_demand():
    put = {"Bucket": BUCKET, "Key": "once", "IfNoneMatch": "*"}
    S3.put_object(**put, Body=b"first")
    told = refused("PreconditionFailed", S3.put_object, **put, Body=b"second")
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 412
    upload = begin("once")
    parts = [part("once", upload, 1, b"third")]
    refused("PreconditionFailed", complete, "once", upload, parts, IfNoneMatch="*")
    assert contents("once") == b"first"
    S3.abort_multipart_upload(Bucket=BUCKET, Key="once", UploadId=upload)


def strangers_are_refused():
    wrong = client(secret="wrong")
    refused("SignatureDoesNotMatch", wrong.put_object, Bucket=BUCKET, Key="k", Body=b"b")
    refused("InvalidAccessKeyId", client(key="AKIANOBODY").put_object, Bucket=BUCKET, Key="k", Body=b"b")


def a_reader_may_only_read():
    reader = client(os.environ["READER_KEY_ID"], os.environ["READER_SECRET"])
    reader.list_objects_v2(Bucket=BUCKET)
    refused("AccessDenied", reader.put_object, Bucket=BUCKET, Key="k", Body=b"b")
    refused("AccessDenied", reader.create_multipart_upload, Bucket=BUCKET, Key="k")


def a_wrong_clock_is_refused():
    now = botocore.auth.get_current_datetime
    for minutes in (-20, 20):
        late = datetime.timedelta(minutes=minutes)
        botocore.auth.get_current_datetime = lambda *a, **n: now(*a, **n) + late
        try:
            told = refused("RequestTimeTooSkewed", S3.put_object, Bucket=BUCKET, Key="k", Body=b"b")
        finally:
            botocore.auth.get_current_datetime = now
        assert told["ResponseMetadata"]["HTTPHeaders"].get("date")


def a_bucket_that_is_not_there_is_told():
    refused("NoSuchBucket", S3.put_object, Bucket="no-such-bucket", Key="k", Body=b"b")
    refused("NoSuchBucket", S3.create_multipart_upload, Bucket="no-such-bucket", Key="k")
    refused("404", S3.head_bucket, Bucket="no-such-bucket")
    S3.head_bucket(Bucket=BUCKET)


def main():
    checks = {name: check for name, check in globals().items() if name[0].islower()}
    checks = {
        name: check
        for name, check in checks.items()
        if callable(check)
        and getattr(check, "__module__", "") == "__main__"
        and check.__code__.co_argcount == 0
        and name != "main"
    }
    unknown = [name for name in DEVIATIONS if name not in checks]
    failed = [f"{name} is no check" for name in unknown]
    for name, check in checks.items():
        try:
            check()
            error = None
        except Exception as caught:
            error = caught
        if (error is None) == (name in DEVIATIONS):
            failed.append(name)
            if error:
                traceback.print_exception(error)
        print(f"{name}: {error or 'holds'}")
    assert checks
    sys.exit("; ".join(failed) or None)


if __name__ == "__main__":
    main()
