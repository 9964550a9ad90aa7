import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import java.io.Reader;
import java.util.List;

/** What is asked of a client: bench/src/job.rs. */
class Job {
  static final Gson GSON = new GsonBuilder()
      .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES).serializeNulls().create();

  String address;
  Load load;

  static class Load {
    int connections;
    int uploads;
    long uploadSize;
    long chunkSize;
    List<JsonElement> mix;
    int parallel;
    String order;
    JsonElement fill;
    boolean checksums;
    boolean promise;
    String route;
    String ack;
    int idleUploads;
    String warmUp;
    String duration;
    Long totalSize;
    JsonElement offered;

    int chunks() {
      return (int) ((uploadSize + chunkSize - 1) / chunkSize);
    }

    boolean isZero() {
      return fill.getAsString().equals("zero");
    }

    /** Why this client can't put it on; null if it can. */
    String unsupported() {
      if (!mix.isEmpty()) {
        return "this client has no mix of sizes";
      } else if (offered != null && !offered.isJsonNull()) {
        return "this client has no open loop";
      } else if (idleUploads > 0) {
        return "this client opens no idle uploads";
      } else if (route.equals("wrong")) {
        return "this client sends no chunk to a wrong owner";
      } else if (!fill.isJsonPrimitive()) {
        return "this client sends no file";
      }
      return null;
    }
  }

  static Job read(Reader from) {
    return GSON.fromJson(from, Job.class);
  }

  /** Of a time as jobs have it: `500 ms`. */
  static long millis(String time) {
    return Long.parseLong(time.replace("ms", "").strip());
  }
}
