"""What a client counts and tells (bench/src/outcome.rs), and when its measured time is."""

import json
import threading
import time
from collections import Counter

from hdrh.histogram import HdrHistogram

from job import seconds

# What began before the end is waited for so long.
REST_S = 60


def histogram():
    return HdrHistogram(1, 3_600_000_000, 3)


def record(latencies, latency_s):
    latencies.record_value(min(max(1, round(latency_s * 1e6)), 3_600_000_000))


class Tally:
    """Counts. What comes before the measured time or after it is left out, but for uploads,
    duplicates and lost acks, which are told of the whole run."""

    def __init__(self, load):
        self.load = load
        self.lock = threading.Lock()
        self.enough = threading.Event()
        self.began = self.ended = None
        self.total = Counter()
        self.refusals = Counter()
        self.failure = None
        self.notes = []
        self.latencies = {name: histogram() for name in ("ack", "ending_ack", "upload", "complete")}
        self.series, self.second, self.second_ack = [], Counter(), histogram()

    def run(self, lines):
        """Runs each of these functions again and again in a thread of its own, from the warm-up on
        to the end of the measured time."""
        threads = [threading.Thread(target=self._repeat, args=[line], daemon=True) for line in lines]
        for thread in threads:
            thread.start()
        self.enough.wait(seconds(self.load["warm_up"]))
        with self.lock:
            self.began = time.monotonic()
        print("begin", flush=True)
        self.enough.wait(seconds(self.load["duration"]))
        with self.lock:
            self.ended = time.monotonic()
        print("end", flush=True)
        latest = time.monotonic() + REST_S
        for thread in threads:
            thread.join(max(0, latest - time.monotonic()))
            if thread.is_alive():
                self.fail(f"uploads didn't end within {REST_S} s")

    def _repeat(self, line):
        while not self.over():
            try:
                line()
            except Exception as error:  # Whatever it is, the run doesn't count.
                self.fail(f"{type(error).__name__}: {error}")

    def over(self):
        return self.ended is not None or self.failure is not None

    def acked(self, started, size, ending=False, duplicate=False):
        at = time.monotonic()
        with self.lock:
            self.total["duplicates"] += duplicate
            self.count_ack(at, at - started, size, ending)
            if self.total["bytes"] >= (self.load["total_size"] or float("inf")):
                self.enough.set()

    def count_ack(self, at, latency_s, size, ending):
        """Counts an ack that came at that moment, not before those counted already."""
        if self._measures(at):
            self._turn(at)
            self.total.update(bytes=size, chunks=1)
            self.second.update(bytes=size, acks=1)
            record(self.latencies["ending_ack" if ending else "ack"], latency_s)
            if not ending:
                record(self.second_ack, latency_s)

    def refused(self, reason):
        at = time.monotonic()
        with self.lock:
            if self._measures(at):
                self._turn(at)
                self.refusals[reason] += 1
                self.total["retries"] += 1
                self.second["refusals"] += 1

    def verified(self, started, summed=False):
        """An upload became what was sent; `summed`: its checksum was told, too."""
        at = time.monotonic()
        with self.lock:
            self.total.update(sizes_verified=1, checksums_verified=int(summed))
            self.count_upload(at, at - started)

    def count_upload(self, at, latency_s):
        """Counts an upload that ended at that moment, and is verified elsewhere."""
        self.total["uploads"] += 1
        if self._measures(at):
            record(self.latencies["upload"], latency_s)

    def completed(self, acked):
        """An upload whose last chunk was acked at that moment is stored."""
        at = time.monotonic()
        with self.lock:
            if self._measures(at):
                record(self.latencies["complete"], at - acked)

    def lost(self):
        """A chunk's answer never came."""
        with self.lock:
            self.total["acks_lost"] += 1

    def fail(self, why):
        """The run doesn't count. The first reason is kept."""
        with self.lock:
            self.failure = self.failure or str(why)
        self.enough.set()

    def tell(self):
        """Prints the outcome."""
        if not self.total["chunks"]:
            self.fail("nothing was acked in the measured time")
        names = ("bytes", "chunks", "uploads", "sizes_verified", "checksums_verified", "acks_lost")
        outcome = {name: self.total[name] for name in (*names, "retries", "duplicates")}
        outcome |= {name: each.encode().decode() for name, each in self.latencies.items()}
        if self.ended:
            self._turn(self.ended)
        outcome |= {
            "failed": self.failure,
            "seconds": self.ended - self.began if self.ended else 0,
            "refusals": self.refusals,
            "series": self.series,
            "notes": self.notes,
        }
        print(json.dumps(outcome), flush=True)

    def _measures(self, at):
        began, ended = self.began, self.ended
        return began is not None and at >= began and (ended is None or at < ended)

    def _turn(self, at):
        """Puts the seconds before the one that `at` lies in into the series."""
        while len(self.series) < int(at - self.began):
            second = {name: self.second[name] for name in ("bytes", "acks", "refusals")}
            second["ack_p99_us"] = round(self.second_ack.get_value_at_percentile(99))
            self.series.append(second)
            self.second, self.second_ack = Counter(), histogram()


def main(measure, without=()):
    """Reads a job, measures, and tells what it came to."""
    from job import Unsupported, read_job

    empty = {"warm_up": "0 ms", "duration": "0 ms", "total_size": None}
    tally = Tally(empty)
    try:
        job = read_job(without)
        tally.load = job["load"]
        measure(job, tally)
    except Unsupported as error:
        tally.fail(error)
    except Exception as error:  # Also what keeps it from beginning is an outcome.
        tally.fail(f"{type(error).__name__}: {error}")
    tally.tell()
