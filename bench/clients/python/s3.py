"""A load on an S3 store by stock boto3: put_object for small objects, upload_part for large ones,
a part a chunk."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5

import boto3
from botocore.config import Config
from job import Payload, Unsupported
from tally import main

# Above it an object is sent in parts; S3 takes none smaller but the last.
PUT_BYTES_MAX, PART_BYTES_MIN = 16 << 20, 5 << 20


class Load:
    """Objects of one load."""

    def __init__(self, job, tally):
        self.load, self.tally, extra = job["load"], tally, job["extra"]
        self.payload = Payload(self.load)
        self.chunks = [bytes(self.payload.chunk(number)) for number in range(self.payload.count)]
        self.body = b"".join(self.chunks)
        # The ETags that S3 makes of these, before the clock runs.
        self.put_etag = md5(self.body).hexdigest()
        sums = b"".join(md5(chunk).digest() for chunk in self.chunks)
        self.parts_etag = f"{md5(sums).hexdigest()}-{len(self.chunks)}"
        self.bucket = extra.get("bucket", "bench")
        self.client = boto3.client(
            "s3",
            endpoint_url=job["address"],
            region_name="us-east-1",
            aws_access_key_id=extra.get("access_key", ""),
            aws_secret_access_key=extra.get("secret_key", ""),
            config=Config(
                max_pool_connections=self.load["connections"],
                s3={"addressing_style": "path"},
                retries={"max_attempts": 1},
            ),
        )
        self.begun = itertools.count(1)

    def prepare(self):
        """A store that has just begun may need a while until it takes objects. Its bucket is there."""
        for attempt in range(1, 31):
            try:
                self.client.put_object(Bucket=self.bucket, Key="first", Body=b"1")
                return
            except Exception:
                if attempt == 30:
                    raise
                time.sleep(0.5)

    def line(self):
        """A function that does one object after the other."""
        parallel = self.load["parallel"]
        pool = ThreadPoolExecutor(parallel) if parallel > 1 else None
        small = self.payload.size < PUT_BYTES_MAX
        return self.put if small else lambda: self.parts(pool)

    def put(self):
        started = time.monotonic()
        key = f"object-{next(self.begun)}"
        self.send(self.client.put_object, self.body, Bucket=self.bucket, Key=key)
        self.verify(key, started, self.put_etag)

    def parts(self, pool):
        started = time.monotonic()
        nth = next(self.begun)
        of = {"Bucket": self.bucket, "Key": f"object-{nth}"}
        of_upload = of | {"UploadId": self.client.create_multipart_upload(**of)["UploadId"]}

        def part(number):
            place = of_upload | {"PartNumber": number + 1}
            told = self.send(self.client.upload_part, self.chunks[number], **place)
            return {"PartNumber": number + 1, "ETag": told["ETag"]}

        numbers = self.payload.numbers(nth)
        parts = list(pool.map(part, numbers) if pool else map(part, numbers))
        parts.sort(key=lambda part: part["PartNumber"])
        acked = time.monotonic()
        self.client.complete_multipart_upload(**of_upload, MultipartUpload={"Parts": parts})
        self.tally.completed(acked)
        self.verify(of["Key"], started, self.parts_etag)

    def send(self, method, body, **place):
        started = time.monotonic()
        try:
            told = method(Body=body, **place)
        except Exception:
            self.tally.lost()
            raise
        self.tally.acked(started, len(body))
        return told

    def verify(self, key, started, etag):
        """The size as it must be; the ETag where the store makes it as S3 does."""
        told = self.client.head_object(Bucket=self.bucket, Key=key)
        if told["ContentLength"] != self.payload.size:
            raise ValueError(f"{self.payload.size} bytes were sent, the object has {told}")
        summed = told["ETag"].strip('"') == etag
        if not summed and len(told["ETag"].strip('"')) == len(etag):
            raise ValueError(f"the object's ETag is {told['ETag']}, not {etag}")
        self.tally.verified(started, summed)


def measure(job, tally):
    tally.notes.append(f"boto3 {boto3.__version__}, one process")
    size, part = job["load"]["upload_size"], job["load"]["chunk_size"]
    if size >= PUT_BYTES_MAX and part < PART_BYTES_MIN:
        raise Unsupported("S3 takes no part below 5 MiB")
    if size < PUT_BYTES_MAX and part < size:
        tally.notes.append("an object below 16 MiB is one put, whatever its chunks")
    load = Load(job, tally)
    load.prepare()
    tally.run([load.line() for _ in range(job["load"]["uploads"])])


if __name__ == "__main__":
    main(measure)
