package sagemaker.inference.frontend;

import com.amazonaws.ml.mms.util.ConfigManager;
import io.netty.channel.AdaptiveRecvByteBufAllocator;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.util.AsciiString;
import java.util.concurrent.TimeUnit;

/** The part of Multi Model Server's configuration that the handlers use. */
final class Settings {
    /** Netty's own limit for a request line, in bytes. */
    static final int MAX_REQUEST_LINE = 4096;

    /** Netty's own limit for the header fields of a request, in bytes. */
    static final int MAX_HEADERS = 8192;

    private static final String PAYLOAD_LIMIT = "payload_limit";

    // Bytes that are read at a time: a body of megabytes in few pieces, a small one into little
    // memory.
    private static final int MIN_READ = 512;
    private static final int FIRST_READ = 2048;
    static final int MAX_READ = 1 << 18;

    /** How many requests may wait for a worker of one deployment. */
    final int queueLimit;

    /** How long a worker, or the supervisor, may take for an answer, in nanoseconds. */
    final long timeoutNanos;

    /** How long a stream of events may be quiet until its client is sent a comment; 0 for ever. */
    final long heartbeatNanos;

    /** The largest body that is read, in bytes. */
    final int maxRequestSize;

    /** The largest body that a worker takes, in bytes; the rest is room for what a form adds. */
    final int payloadLimit;

    /** What clients may take. */
    final ClientLimits clientLimits;

    /** What WebSockets may take. */
    final SocketLimits socketLimits;

    /** Headers of every response, as Multi Model Server gives them to its own. */
    final HttpHeaders commonHeaders = new DefaultHttpHeaders();

    /** Whether browsers may send requests from other origins. */
    final boolean isCorsAllowed;

    Settings(
            int queueLimit,
            int timeoutSeconds,
            long heartbeatSeconds,
            int maxRequestSize,
            int payloadLimit,
            ClientLimits clientLimits,
            SocketLimits socketLimits,
            String[] cors) {
        this.queueLimit = queueLimit;
        this.maxRequestSize = maxRequestSize;
        this.payloadLimit = payloadLimit;
        this.clientLimits = clientLimits;
        this.socketLimits = socketLimits;
        timeoutNanos = TimeUnit.SECONDS.toNanos(timeoutSeconds);
        heartbeatNanos = TimeUnit.SECONDS.toNanos(heartbeatSeconds);
        commonHeaders.set(HttpHeaderNames.PRAGMA, HttpHeaderValues.NO_CACHE);
        commonHeaders.set(
                HttpHeaderNames.CACHE_CONTROL, "no-cache; no-store, must-revalidate, private");
        commonHeaders.set(HttpHeaderNames.EXPIRES, "Thu, 01 Jan 1970 00:00:00 UTC");
        isCorsAllowed = set(HttpHeaderNames.ACCESS_CONTROL_ALLOW_ORIGIN, cors[0]);
        set(HttpHeaderNames.ACCESS_CONTROL_ALLOW_METHODS, cors[1]);
        set(HttpHeaderNames.ACCESS_CONTROL_ALLOW_HEADERS, cors[2]);
        // Without it, the script of a page cannot read custom attributes, sessions and request ids.
        set(HttpHeaderNames.ACCESS_CONTROL_EXPOSE_HEADERS, isCorsAllowed ? "*" : "");
    }

    private boolean set(AsciiString name, String value) {
        boolean isSet = value != null && !value.isEmpty();
        if (isSet) {
            commonHeaders.set(name, value);
        }
        return isSet;
    }

    static Settings from(ConfigManager config) {
        int maxRequestSize = config.getMaxRequestSize();
        String payloadLimit = config.getProperty(PAYLOAD_LIMIT, String.valueOf(maxRequestSize));
        return new Settings(
                config.getJobQueueSize(),
                config.getDefaultResponseTimeoutSeconds(),
                Long.parseLong(config.getProperty("stream_heartbeat", "0")),
                maxRequestSize,
                Integer.parseInt(payloadLimit),
                ClientLimits.from(config),
                SocketLimits.from(config),
                new String[] {
                    config.getCorsAllowedOrigin(),
                    config.getCorsAllowedMethods(),
                    config.getCorsAllowedHeaders()
                });
    }

    long timeoutSeconds() {
        return TimeUnit.NANOSECONDS.toSeconds(timeoutNanos);
    }

    /** Returns how reads are sized, for clients and workers alike. */
    static RecvByteBufAllocator readAllocator() {
        return new AdaptiveRecvByteBufAllocator(MIN_READ, FIRST_READ, MAX_READ);
    }
}
