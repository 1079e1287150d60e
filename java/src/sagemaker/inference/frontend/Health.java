package sagemaker.inference.frontend;

import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

/** What a ping is answered: what the supervisor reported last. Immutable. */
final class Health {
    private static final int UNAVAILABLE = HttpResponseStatus.SERVICE_UNAVAILABLE.code();

    /** Before the first report. */
    static final Health UNKNOWN = new Health(UNAVAILABLE, "", "");

    // What a supervisor that is silent has reported says nothing about now.
    private static final String SILENT =
            "{\"status\": \"critical\", \"cause\": \"the supervisor has been silent for %d s\"}\n";

    private final int status;
    private final long reportedAt = System.nanoTime();
    private final long validNanos;
    private final HttpHeaders headers = new DefaultHttpHeaders();
    private final byte[] body;

    /** What counts until the next report. */
    Health(int status, String contentType, String body) {
        this(status, contentType, body, 0);
    }

    /**
     * What counts for some time.
     *
     * @param validSeconds after which a ping is 503; 0 for until the next report
     */
    Health(int status, String contentType, String body, long validSeconds) {
        this.status = status;
        validNanos = TimeUnit.SECONDS.toNanos(validSeconds);
        this.body = body.getBytes(StandardCharsets.UTF_8);
        if (!contentType.isEmpty()) {
            headers.set(HttpHeaderNames.CONTENT_TYPE, contentType);
        }
    }

    void answer(Exchange ping) {
        if (validNanos > 0 && System.nanoTime() - reportedAt > validNanos) {
            String text = String.format(SILENT, TimeUnit.NANOSECONDS.toSeconds(validNanos));
            new Health(UNAVAILABLE, "application/json", text).answer(ping);
            return;
        }
        ping.release();
        ping.respond(
                ping.responses.response(status, headers, Unpooled.wrappedBuffer(body), ping.id));
    }
}
