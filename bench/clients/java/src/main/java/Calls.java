import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Channel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import sluice.upload.v1.UploadServiceGrpc;
import sluice.upload.v1.UploadServiceGrpc.UploadServiceBlockingStub;

/** Calls of the upload service, repeated until there is an answer. */
class Calls {
  private static final int ATTEMPTS = 20;
  private static final int TIMEOUT_S = 60;
  /** Every call may come twice, so whatever can pass is tried again. */
  private static final Set<Status.Code> PASSING = EnumSet.of(Status.Code.UNAVAILABLE,
      Status.Code.RESOURCE_EXHAUSTED, Status.Code.ABORTED, Status.Code.DEADLINE_EXCEEDED);
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private final UploadServiceBlockingStub service;
  private final Tally tally;

  Calls(Channel channel, Tally tally) {
    service = UploadServiceGrpc.newBlockingStub(channel);
    this.tally = tally;
  }

  /** Calls until there is an answer. Waits as long as the server asks, and a random while. */
  <Q, A> A call(BiFunction<UploadServiceBlockingStub, Q, A> method, Q request)
      throws InterruptedException {
    for (int attempt = 1; ; attempt++) {
      try {
        var once = service.withWaitForReady().withDeadlineAfter(TIMEOUT_S, TimeUnit.SECONDS);
        return method.apply(once, request);
      } catch (StatusRuntimeException error) {
        var told = error.getTrailers() == null ? null : error.getTrailers().get(PUSHBACK);
        long askedMs = told == null ? 0 : Long.parseLong(told);
        if (!PASSING.contains(error.getStatus().getCode()) || askedMs < 0 || attempt == ATTEMPTS) {
          throw error;
        }
        tally.refused(reason(error));
        long mostMs = Math.min(1_000, 10L << attempt);
        Thread.sleep(askedMs + ThreadLocalRandom.current().nextLong(mostMs));
      }
    }
  }

  /** The word in ErrorInfo, else the code. */
  private static String reason(StatusRuntimeException error) {
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      } catch (InvalidProtocolBufferException ignored) {
        // The code says enough.
      }
    }
    return error.getStatus().getCode().toString();
  }
}
