import static sluice.upload.v1.UploadServiceOuterClass.*;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.Executors;
import java.util.zip.CRC32C;

/**
 * Uploads a file to Sluice: Upload HOST:PORT FILE [CHUNK_BYTES]
 *
 * <p>Whatever is killed, this or the server: run it again, and it sends what is missing.
 */
public class Upload {
  private static final int PARALLEL = 8;

  public static void main(String[] args) throws Exception {
    int chunkBytes = args.length > 2 ? Integer.parseInt(args[2]) : 8 << 20;
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    System.out.println("stored " + upload(new Calls(channel), Path.of(args[1]), chunkBytes));
    channel.shutdownNow();
  }

  /** Uploads a file and returns its upload id. A second run must have the same chunkBytes. */
  static String upload(Calls calls, Path path, int chunkBytes) throws Exception {
    var pool = Executors.newFixedThreadPool(PARALLEL);
    try (var file = FileChannel.open(path)) {
      // The same file in the same chunks is the same upload.
      var same = path.toAbsolutePath() + " " + file.size() + " "
          + Files.getLastModifiedTime(path) + " " + chunkBytes;
      var id = calls.initiate(InitiateUploadRequest.newBuilder()
          .setFilename(path.getFileName().toString())
          .setRequestId(UUID.nameUUIDFromBytes(same.getBytes()).toString())
          .setExpectedSizeBytes(file.size()).setChunkSizeBytes(chunkBytes).build());
      for (var numbers = calls.missing(id); !numbers.isEmpty(); numbers = calls.missing(id)) {
        var sent = new ExecutorCompletionService<Void>(pool);
        for (int number : numbers) {
          sent.submit(() -> send(calls, id, number, file, chunkBytes));
        }
        for (int count = 1; count <= numbers.size(); count++) {
          sent.take().get();
          System.out.println(count + " of " + numbers.size() + " chunks");
        }
      }
      calls.complete(id);
      return id;
    } finally {
      pool.shutdownNow();
    }
  }

  private static Void send(Calls calls, String id, int number, FileChannel file, int chunkBytes)
      throws Exception {
    long offset = (long) number * chunkBytes;
    var data = ByteBuffer.allocate((int) Math.min(chunkBytes, file.size() - offset));
    while (data.hasRemaining() && file.read(data, offset + data.position()) > 0) {}
    var sum = new CRC32C();
    sum.update(data.flip());
    var crc32c = ByteBuffer.allocate(4).putInt((int) sum.getValue()).array();
    calls.send(UploadChunkRequest.newBuilder().setUploadId(id).setChunkNumber(number)
        .setCrc32C(ByteString.copyFrom(crc32c))
        .setData(UnsafeByteOperations.unsafeWrap(data.rewind())).build());
    return null;
  }
}
