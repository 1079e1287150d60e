package sagemaker.inference.frontend;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/**
 * Counts of the requests to one path and model, on one event loop.
 *
 * <p>Plain numbers without locks: only their event loop touches them.
 */
final class RouteStats {
    /** Upper bounds of the buckets of durations, in milliseconds; the supervisor has the same. */
    private static final long[] BOUNDS = {
        5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000
    };

    private static final double SECOND = TimeUnit.SECONDS.toNanos(1);
    private static final int FEW = 4;

    final String path;
    final String model;
    // Most routes have few statuses: searching them costs less than a map.
    private int[] statuses = new int[FEW];
    private long[] answers = new long[FEW];
    private int statusCount;
    private final long[] durations = new long[BOUNDS.length + 1];
    private long nanos;
    private long requestBytes;
    private long responseBytes;
    private int running;

    /**
     * Starts at 0.
     *
     * @param model the name of the model that answers, or an empty string
     */
    RouteStats(String path, String model) {
        this.path = path;
        this.model = model;
    }

    /** Counts a request that has arrived. */
    void start(int bytes) {
        running++;
        requestBytes += bytes;
    }

    /** Counts the answer to a request that {@link #start} has counted. */
    void finish(int status, long duration, long bytes) {
        running--;
        responseBytes += bytes;
        nanos += duration;
        int bucket = 0;
        while (bucket < BOUNDS.length && duration > TimeUnit.MILLISECONDS.toNanos(BOUNDS[bucket])) {
            bucket++;
        }
        durations[bucket]++;
        // The search first: it may make the array anew.
        int index = indexOf(status);
        answers[index]++;
    }

    private int indexOf(int status) {
        for (int i = 0; i < statusCount; i++) {
            if (statuses[i] == status) {
                return i;
            }
        }
        if (statusCount == statuses.length) {
            statuses = Arrays.copyOf(statuses, statusCount * 2);
            answers = Arrays.copyOf(answers, statusCount * 2);
        }
        statuses[statusCount] = status;
        return statusCount++;
    }

    /** Adds what another event loop has counted, or what was counted for another model. */
    void add(RouteStats other) {
        for (int i = 0; i < other.statusCount; i++) {
            int index = indexOf(other.statuses[i]);
            answers[index] += other.answers[i];
        }
        for (int i = 0; i < durations.length; i++) {
            durations[i] += other.durations[i];
        }
        nanos += other.nanos;
        requestBytes += other.requestBytes;
        responseBytes += other.responseBytes;
        running += other.running;
    }

    boolean isRunning() {
        return running > 0;
    }

    RouteStats copy() {
        RouteStats copy = new RouteStats(path, model);
        copy.add(this);
        return copy;
    }

    JsonObject toJson() {
        JsonObject byStatus = new JsonObject();
        for (int i = 0; i < statusCount; i++) {
            byStatus.addProperty(String.valueOf(statuses[i]), answers[i]);
        }
        JsonArray buckets = new JsonArray();
        for (long count : durations) {
            buckets.add(count);
        }
        JsonObject json = new JsonObject();
        json.addProperty("path", path);
        json.addProperty("model", model);
        json.add("statuses", byStatus);
        json.add("durations", buckets);
        json.addProperty("seconds", nanos / SECOND);
        json.addProperty("request_bytes", requestBytes);
        json.addProperty("response_bytes", responseBytes);
        json.addProperty("running", running);
        return json;
    }
}
