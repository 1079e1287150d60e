package sagemaker.inference.frontend;

import com.google.gson.JsonObject;
import io.netty.handler.codec.http.FullHttpRequest;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Tells the supervisor about requests that are refused before a worker has them, for its access
 * lines.
 *
 * <p>Workers write those of other requests. Its methods may be called on any thread, and never
 * wait: beyond some lines a second, requests are only counted.
 */
final class AccessLog {
    private static final int MAX_PER_SECOND = 500;
    private static final int MAX_PATH = 200;
    private static final double NANOS_PER_SECOND = 1e9;
    // What cannot be read has neither.
    private static final String UNKNOWN = "-";

    private final SupervisorRequests.Control control;
    private final AtomicInteger written = new AtomicInteger();
    private final AtomicInteger lost = new AtomicInteger();
    private volatile long second;

    AccessLog(SupervisorRequests.Control control) {
        this.control = control;
    }

    /**
     * Writes about a request.
     *
     * @param nanos how long it took
     */
    void write(FullHttpRequest request, int status, String id, long nanos) {
        write(request, status, id, nanos, 0);
    }

    /**
     * Writes about a WebSocket.
     *
     * @param close the status that closed it; 0 for other requests
     */
    void write(FullHttpRequest request, int status, String id, long nanos, int close) {
        long now = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime());
        if (now != second) {
            second = now;
            written.set(0);
        }
        if (!control.isWritable() || written.incrementAndGet() > MAX_PER_SECOND) {
            lost.incrementAndGet();
            return;
        }
        boolean isUnknown = request.uri().equals(RequestGuard.UNKNOWN_TARGET);
        JsonObject line = ControlChannel.message("access");
        line.addProperty("method", isUnknown ? UNKNOWN : request.method().name());
        line.addProperty("path", isUnknown ? UNKNOWN : path(request.uri()));
        line.addProperty("status", status);
        line.addProperty("request_id", id);
        line.addProperty("seconds", nanos / NANOS_PER_SECOND);
        line.addProperty("lost", lost.getAndSet(0));
        if (close > 0) {
            line.addProperty("close", close);
        }
        control.send(line);
    }

    private static String path(String uri) {
        int query = uri.indexOf('?');
        int end = query < 0 ? uri.length() : query;
        return uri.substring(0, Math.min(end, MAX_PATH));
    }
}
