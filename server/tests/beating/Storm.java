import com.google.protobuf.ByteString;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import sluice.upload.v1.UploadServiceGrpc;
import sluice.upload.v1.UploadServiceGrpc.UploadServiceBlockingStub;
import sluice.upload.v1.UploadServiceOuterClass.UploadChunkRequest;

/**
 * Sends chunks that are refused, and those of an honest upload on the same connection.
 *
 * <p>Usage: java Storm.java ADDRESS UPLOAD REFUSED; prints how many calls ended with which code.
 */
class Storm {
  private static final int CHUNK_BYTES = 16 << 20;
  private static final int HONEST_CHUNK_BYTES = 1 << 20;
  private static final int HONEST_CHUNKS = 16;
  private static final int IN_FLIGHT = 8;
  private static final int PATIENCE_S = 300;

  private final UploadServiceBlockingStub service;
  private final ConcurrentSkipListMap<String, Integer> codes = new ConcurrentSkipListMap<>();

  private Storm(UploadServiceBlockingStub service) {
    this.service = service;
  }

  private void send(String what, String uploadId, int number, ByteString data) {
    var chunk = UploadChunkRequest.newBuilder().setUploadId(uploadId).setChunkNumber(number);
    var code = "OK";
    try {
      service.uploadChunk(chunk.setData(data).build());
    } catch (StatusRuntimeException refused) {
      code = refused.getStatus().getCode().name();
    }
    codes.merge(what + " " + code, 1, Integer::sum);
  }

  private void honest(String uploadId) {
    for (int number = 0; number < HONEST_CHUNKS; number++) {
      var data = new byte[HONEST_CHUNK_BYTES];
      java.util.Arrays.fill(data, (byte) number);
      send("honest", uploadId, number, ByteString.copyFrom(data));
    }
  }

  public static void main(String[] args) throws InterruptedException {
    var channel =
        ManagedChannelBuilder.forTarget(args[0]).usePlaintext().disableRetry().build();
    var storm = new Storm(UploadServiceGrpc.newBlockingStub(channel));
    var data = ByteString.copyFrom(new byte[CHUNK_BYTES]);
    var senders = Executors.newFixedThreadPool(IN_FLIGHT + 1);
    senders.execute(() -> storm.honest(args[1]));
    for (int count = Integer.parseInt(args[2]); count > 0; count--) {
      senders.execute(() -> storm.send("refused", "nobody's", 0, data));
    }
    senders.shutdown();
    if (!senders.awaitTermination(PATIENCE_S, TimeUnit.SECONDS)) {
      throw new IllegalStateException("the calls don't end: " + storm.codes);
    }
    storm.codes.forEach((what, count) -> System.out.println(what + " " + count));
    channel.shutdownNow();
  }
}
