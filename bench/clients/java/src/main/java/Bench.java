import static sluice.upload.v1.UploadServiceOuterClass.*;

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import sluice.upload.v1.UploadOuterClass.AckLevel;
import sluice.upload.v1.UploadOuterClass.UploadState;
import sluice.upload.v1.UploadServiceGrpc.UploadServiceBlockingStub;

/**
 * A load by stock grpc-java, a thread for each chunk in flight: reads a job from standard input,
 * says when the measured time begins and ends, and prints what it came to.
 */
public class Bench {
  /** What began before the end is waited for so long. */
  private static final int REST_S = 60;

  private final Job.Load load;
  private final Tally tally;
  private final Payload payload;
  private final List<Calls> connections;
  private final ExecutorService pool = Executors.newCachedThreadPool(Bench::daemon);
  private final AtomicLong begun = new AtomicLong();

  public static void main(String[] args) throws Exception {
    var job = Job.read(new InputStreamReader(System.in));
    var tally = new Tally(job.load.totalSize);
    try {
      var unsupported = job.load.unsupported();
      if (unsupported == null) {
        new Bench(job, tally).measure();
      } else {
        tally.failed(unsupported);
      }
    } catch (Exception error) { // Also what keeps it from beginning is an outcome.
      tally.failed(error.toString());
    }
    System.out.println(tally.tell("grpc-java, Netty, on Java " + Runtime.version(),
        "chunks go to the shared address, not to owners"));
    System.exit(0);
  }

  private Bench(Job job, Tally tally) {
    load = job.load;
    this.tally = tally;
    payload = new Payload(load);
    connections = IntStream.range(0, load.connections)
        .mapToObj(number -> new Calls(connect(job.address), tally)).toList();
  }

  private static ManagedChannel connect(String address) {
    return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
  }

  private static Thread daemon(Runnable work) {
    var thread = new Thread(work);
    thread.setDaemon(true);
    return thread;
  }

  private void measure() throws Exception {
    for (int line = 0; line < load.uploads; line++) {
      int lane = line * load.parallel;
      pool.submit(() -> line(lane));
    }
    tally.await(Job.millis(load.warmUp));
    tally.begin();
    System.out.println("begin");
    tally.await(Job.millis(load.duration));
    tally.end();
    System.out.println("end");
    pool.shutdown();
    if (!pool.awaitTermination(REST_S, TimeUnit.SECONDS)) {
      tally.failed("uploads didn't end within " + REST_S + " s");
    }
  }

  /** One of the uploads at a time: each is followed by the next when it is verified. */
  private void line(int lane) {
    var chunks = Executors.newFixedThreadPool(load.parallel, Bench::daemon);
    while (!tally.isOver()) {
      try {
        upload(lane, chunks);
      } catch (Exception error) { // Whatever it is, the run doesn't count.
        tally.failed(error.toString());
      }
    }
    chunks.shutdown();
  }

  private void upload(int lane, ExecutorService chunks) throws Exception {
    long started = Tally.now();
    long nth = begun.incrementAndGet();
    var request = InitiateUploadRequest.newBuilder().setFilename("bench-" + nth)
        .setAckLevel(switch (load.ack) {
          case "received" -> AckLevel.ACK_LEVEL_RECEIVED;
          case "spooled" -> AckLevel.ACK_LEVEL_SPOOLED;
          default -> AckLevel.ACK_LEVEL_UNSPECIFIED;
        });
    if (load.promise) {
      request.setExpectedSizeBytes(load.uploadSize).setChunkSizeBytes(load.chunkSize);
    }
    var first = connection(lane);
    var id = first.call(UploadServiceBlockingStub::initiateUpload, request.build()).getUploadId();
    var numbers = payload.numbers(nth);
    var next = new AtomicInteger();
    var places = new ArrayList<Future<?>>();
    for (int place = 0; place < load.parallel; place++) {
      var calls = connection(lane + place);
      places.add(chunks.submit(() -> {
        for (int at; (at = next.getAndIncrement()) < numbers.length; ) {
          chunk(calls, id, numbers[at]);
        }
        return null;
      }));
    }
    for (var place : places) {
      place.get();
    }
    complete(first, id, started);
  }

  private Calls connection(int lane) {
    return connections.get(lane % connections.size());
  }

  private void chunk(Calls calls, String id, int number) throws InterruptedException {
    long started = Tally.now();
    var data = payload.chunk(number);
    var request = UploadChunkRequest.newBuilder().setUploadId(id).setChunkNumber(number)
        .setCrc64Nvme(payload.sum(number)).setData(data).build();
    UploadChunkResponse ack;
    try {
      ack = calls.call(UploadServiceBlockingStub::uploadChunk, request);
    } catch (RuntimeException error) {
      tally.lost();
      throw error;
    }
    if (ack.getChunkNumber() != number || ack.getChunkBytes() != data.size()) {
      throw new IllegalStateException(
          "chunk " + number + " of " + data.size() + " bytes was acked as " + ack);
    }
    boolean ending = ack.getStateValue() >= UploadState.UPLOAD_STATE_COMPLETING_VALUE;
    tally.acked(started, data.size(), ending, ack.getDuplicate());
  }

  /** Waits for the end, and compares. */
  private void complete(Calls calls, String id, long started) throws InterruptedException {
    var request = CompleteUploadRequest.newBuilder().setUploadId(id)
        .setTotalChunks(load.chunks()).build();
    CompleteUploadResponse answer;
    do {
      answer = calls.call(UploadServiceBlockingStub::completeUpload, request);
    } while (answer.getState() != UploadState.UPLOAD_STATE_COMPLETED);
    var object = answer.getObject();
    if (object.getSizeBytes() != load.uploadSize) {
      throw new IllegalStateException(
          load.uploadSize + " bytes were sent, the object has " + object.getSizeBytes());
    }
    var sum = object.getCrc64Nvme();
    if (!sum.isEmpty() && ByteBuffer.wrap(sum.toByteArray()).getLong() != payload.whole) {
      throw new IllegalStateException("the object's CRC-64/NVME isn't that of what was sent");
    }
    tally.verified(started, !sum.isEmpty());
  }
}
