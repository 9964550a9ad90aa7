import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.Random;
import java.util.stream.IntStream;

/** All chunks of one upload: windows into one buffer, summed before the clock runs. */
class Payload {
  /** Windows of neighbours lie this far apart: chunks that change places give another object. */
  private static final int STRIDE_BYTES = 67;
  private static final long[] NVME = table(0x9a6c9329ac4bc9b5L);

  final long whole;
  private final Job.Load load;
  private final ByteString buffer;
  private final ByteString[] sums;

  Payload(Job.Load load) {
    this.load = load;
    var bytes = new byte[Math.toIntExact(Math.min(load.uploadSize, load.chunkSize)
        + (long) STRIDE_BYTES * load.chunks())];
    if (!load.isZero()) {
      new Random(1).nextBytes(bytes);
    }
    buffer = UnsafeByteOperations.unsafeWrap(bytes);
    sums = new ByteString[load.chunks()];
    long sum = 0;
    for (int number = 0; number < sums.length; number++) {
      int start = STRIDE_BYTES * number;
      int end = start + length(number);
      sum = update(sum, bytes, start, end);
      var wire = ByteBuffer.allocate(8).putLong(update(0, bytes, start, end)).array();
      sums[number] = ByteString.copyFrom(wire);
    }
    whole = sum;
  }

  /** Shares its bytes. */
  ByteString chunk(int number) {
    int start = STRIDE_BYTES * number;
    return buffer.substring(start, start + length(number));
  }

  ByteString sum(int number) {
    return load.checksums ? sums[number] : ByteString.EMPTY;
  }

  /** In which order the nth upload sends its chunks. */
  Integer[] numbers(long nth) {
    var numbers = IntStream.range(0, sums.length).boxed().toArray(Integer[]::new);
    switch (load.order) {
      case "shuffled" -> Collections.shuffle(Arrays.asList(numbers), new Random(nth));
      case "last-first" -> Collections.rotate(Arrays.asList(numbers), 1);
      default -> { }
    }
    return numbers;
  }

  private int length(int number) {
    return (int) Math.min(load.chunkSize, load.uploadSize - number * load.chunkSize);
  }

  /** CRC-64/NVME of what was summed and these bytes. */
  private static long update(long sum, byte[] bytes, int start, int end) {
    sum = ~sum;
    for (int at = start; at < end; at++) {
      sum = NVME[(int) (sum ^ bytes[at]) & 0xff] ^ (sum >>> 8);
    }
    return ~sum;
  }

  private static long[] table(long polynomial) {
    var table = new long[256];
    for (int at = 0; at < 256; at++) {
      long sum = at;
      for (int bit = 0; bit < 8; bit++) {
        sum = (sum & 1) == 1 ? (sum >>> 1) ^ polynomial : sum >>> 1;
      }
      table[at] = sum;
    }
    return table;
  }
}
