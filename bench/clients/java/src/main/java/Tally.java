import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/**
 * Counts. What comes before the measured time or after it is left out, but for uploads, duplicates
 * and lost acks, which are told of the whole run.
 */
class Tally {
  private static final long SECOND_NS = 1_000_000_000;

  /** bench/src/outcome.rs. */
  private static class Outcome {
    String failed;
    double seconds;
    long bytes;
    long chunks;
    long uploads;
    long sizesVerified;
    long checksumsVerified;
    long acksLost;
    Map<String, Long> refusals = new TreeMap<>();
    long retries;
    long duplicates;
    String ack = "";
    String endingAck = "";
    String upload = "";
    List<Second> series = new ArrayList<>();
    List<String> notes = new ArrayList<>();
  }

  private static class Second {
    long bytes;
    long acks;
    long ackP99Us;
    long refusals;
  }

  private final CountDownLatch enough = new CountDownLatch(1);
  private final Outcome counts = new Outcome();
  private final Histogram ack = histogram();
  private final Histogram endingAck = histogram();
  private final Histogram upload = histogram();
  private final Histogram secondAck = histogram();
  private final long mostBytes;
  private Second second = new Second();
  private long began = -1;
  private long ended = -1;

  Tally(Long mostBytes) {
    this.mostBytes = mostBytes == null ? Long.MAX_VALUE : mostBytes;
  }

  synchronized void begin() {
    began = now();
  }

  synchronized void end() {
    ended = now();
    counts.seconds = (ended - began) / (double) SECOND_NS;
  }

  /** Whether no more uploads should begin. */
  synchronized boolean isOver() {
    return ended >= 0 || counts.failed != null;
  }

  /** Waits, unless nothing more need be measured. */
  void await(long millis) throws InterruptedException {
    var unused = enough.await(millis, TimeUnit.MILLISECONDS);
  }

  synchronized void acked(long started, int bytes, boolean ending, boolean duplicate) {
    long at = now();
    counts.duplicates += duplicate ? 1 : 0;
    if (!measures()) {
      return;
    }
    turn(at);
    counts.bytes += bytes;
    counts.chunks++;
    second.bytes += bytes;
    second.acks++;
    record(ending ? endingAck : ack, at - started);
    if (!ending) {
      record(secondAck, at - started);
    }
    if (counts.bytes >= mostBytes) {
      enough.countDown();
    }
  }

  synchronized void refused(String reason) {
    if (measures()) {
      turn(now());
      counts.refusals.merge(reason, 1L, Long::sum);
      counts.retries++;
      second.refusals++;
    }
  }

  /** An upload became what was sent; summed: its checksum was told, too. */
  synchronized void verified(long started, boolean summed) {
    counts.uploads++;
    counts.sizesVerified++;
    counts.checksumsVerified += summed ? 1 : 0;
    if (measures()) {
      record(upload, now() - started);
    }
  }

  /** A chunk's answer never came. */
  synchronized void lost() {
    counts.acksLost++;
  }

  /** The run doesn't count. The first reason is kept. */
  synchronized void failed(String why) {
    counts.failed = counts.failed == null ? why : counts.failed;
    enough.countDown();
  }

  /** The outcome as a line of JSON. */
  synchronized String tell(String... notes) {
    if (counts.chunks == 0) {
      failed("nothing was acked in the measured time");
    }
    if (ended >= 0) {
      turn(ended);
    }
    counts.notes.addAll(Arrays.asList(notes));
    counts.ack = encode(ack);
    counts.endingAck = encode(endingAck);
    counts.upload = encode(upload);
    return Job.GSON.toJson(counts);
  }

  static long now() {
    return System.nanoTime();
  }

  private boolean measures() {
    return began >= 0 && ended < 0;
  }

  /** Puts the seconds before the one that this moment lies in into the series. */
  private void turn(long at) {
    while (counts.series.size() < (at - began) / SECOND_NS) {
      second.ackP99Us = secondAck.getValueAtPercentile(99);
      counts.series.add(second);
      second = new Second();
      secondAck.reset();
    }
  }

  private static Histogram histogram() {
    return new Histogram(1, 3_600_000_000L, 3);
  }

  private static void record(Histogram histogram, long ns) {
    histogram.recordValue(Math.min(Math.max(ns / 1000, 1), 3_600_000_000L));
  }

  private static String encode(Histogram histogram) {
    var bytes = ByteBuffer.allocate(histogram.getNeededByteBufferCapacity());
    int length = histogram.encodeIntoCompressedByteBuffer(bytes);
    return Base64.getEncoder().encodeToString(Arrays.copyOf(bytes.array(), length));
  }
}
