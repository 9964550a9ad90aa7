"""What a stock client sees in a store, as JSON.

Usage: look.py ENDPOINT REGION, and a question a line, as a JSON array: ["sha256"|"head", BUCKET, KEY],
["put", BUCKET, KEY, FILE] or ["keys"|"uploads", BUCKET]. Each answer is a line, too: [true, ANSWER], or
[false, WORDS].
Keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a CA from AWS_CA_BUNDLE.
"""

import hashlib
import json
import sys
import traceback

import boto3
from botocore.config import Config

PIECE_BYTES = 1 << 20


def client(endpoint, region):
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3})
    return boto3.client("s3", endpoint_url=endpoint, region_name=region, config=config)


def sha256(s3, bucket, key):
    digest = hashlib.sha256()
    for piece in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def put(s3, bucket, key, file):
    with open(file, "rb") as body:
        s3.put_object(Bucket=bucket, Key=key, Body=body)


def head(s3, bucket, key):
    told = s3.head_object(Bucket=bucket, Key=key)
    return {
        "length_bytes": told["ContentLength"],
        "etag": told["ETag"].strip('"'),
        "metadata": told["Metadata"],
        "content_type": told.get("ContentType"),
        "storage_class": told.get("StorageClass", "STANDARD"),
        "encryption": told.get("ServerSideEncryption"),
        "version_id": told.get("VersionId"),
    }


def keys(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def uploads(s3, bucket):
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
    entries = [entry for page in pages for entry in page.get("Uploads", [])]
    return [[entry["Key"], entry["UploadId"]] for entry in entries]


LOOKS = {"sha256": sha256, "put": put, "head": head, "keys": keys, "uploads": uploads}


def answer(s3, line):
    try:
        what, *rest = json.loads(line)
        return [True, LOOKS[what](s3, *rest)]
    except Exception:
        return [False, traceback.format_exc()]


if __name__ == "__main__":
    endpoint, region = sys.argv[1:]
    s3 = client(endpoint, region)
    for line in sys.stdin:
        print(json.dumps(answer(s3, line)), flush=True)
