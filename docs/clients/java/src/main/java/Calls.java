import static sluice.upload.v1.UploadServiceOuterClass.*;

import io.grpc.Channel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import sluice.upload.v1.UploadOuterClass.UploadState;
import sluice.upload.v1.UploadServiceGrpc;
import sluice.upload.v1.UploadServiceGrpc.UploadServiceBlockingStub;

/** Calls of the upload service, repeated until there is an answer. */
class Calls {
  private static final int ATTEMPTS = 10;
  private static final long PATIENCE_MS = 600_000;
  private static final int TIMEOUT_S = 60;
  /** Every call may come twice, so whatever can pass is tried again. */
  private static final Set<Status.Code> PASSING = EnumSet.of(Status.Code.UNAVAILABLE,
      Status.Code.RESOURCE_EXHAUSTED, Status.Code.ABORTED, Status.Code.DEADLINE_EXCEEDED);
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private final UploadServiceBlockingStub service;

  Calls(Channel channel) {
    service = UploadServiceGrpc.newBlockingStub(channel);
  }

  String initiate(InitiateUploadRequest request) throws InterruptedException {
    return call(UploadServiceBlockingStub::initiateUpload, request).getUploadId();
  }

  void send(UploadChunkRequest request) throws InterruptedException {
    call(UploadServiceBlockingStub::uploadChunk, request);
  }

  /** Which chunks the server doesn't have, from all pages. */
  List<Integer> missing(String id) throws InterruptedException {
    var numbers = new ArrayList<Integer>();
    var request = GetUploadStatusRequest.newBuilder().setUploadId(id);
    do {
      var page = call(UploadServiceBlockingStub::getUploadStatus, request.build());
      for (var range : page.getMissingRangesList()) {
        for (int number = range.getFirst(); number <= range.getLast(); number++) {
          numbers.add(number);
        }
      }
      request.setPageToken(page.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return numbers;
  }

  /** Waits for the end: each call up to 10 s. */
  void complete(String id) throws InterruptedException {
    var request = CompleteUploadRequest.newBuilder().setUploadId(id).build();
    UploadState state;
    do {
      state = call(UploadServiceBlockingStub::completeUpload, request).getState();
    } while (state != UploadState.UPLOAD_STATE_COMPLETED);
  }

  /**
   * Calls until there is an answer. Waits as long as the server asks, and a random while. A server
   * that asks to come back later may be full for minutes: that is no failed attempt.
   */
  private <Q, A> A call(BiFunction<UploadServiceBlockingStub, Q, A> method, Q request)
      throws InterruptedException {
    int failed = 0;
    long begunMs = System.currentTimeMillis();
    for (int tries = 1; ; tries++) {
      try {
        var once = service.withWaitForReady().withDeadlineAfter(TIMEOUT_S, TimeUnit.SECONDS);
        return method.apply(once, request);
      } catch (StatusRuntimeException error) {
        var told = error.getTrailers() == null ? null : error.getTrailers().get(PUSHBACK);
        long askedMs = told == null ? 0 : Long.parseLong(told);
        var code = error.getStatus().getCode();
        failed = askedMs > 0 ? 0 : failed + 1;
        boolean isOver =
            failed == ATTEMPTS || System.currentTimeMillis() - begunMs > PATIENCE_MS;
        if (!PASSING.contains(code) || askedMs < 0 || isOver) {
          throw error;
        }
        System.out.println(code + ", asked to wait " + askedMs + " ms");
        long mostMs = Math.min(10_000, 100L << Math.min(tries, 7));
        Thread.sleep(askedMs + ThreadLocalRandom.current().nextLong(mostMs));
      }
    }
  }
}
