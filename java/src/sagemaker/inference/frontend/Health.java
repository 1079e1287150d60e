package sagemaker.inference.frontend;

import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.nio.charset.StandardCharsets;

/** What a ping is answered: what the supervisor reported last. Immutable. */
final class Health {
    /** Before the first report. */
    static final Health UNKNOWN = new Health(HttpResponseStatus.SERVICE_UNAVAILABLE.code(), "", "");

    private final int status;
    private final HttpHeaders headers = new DefaultHttpHeaders();
    private final byte[] body;

    Health(int status, String contentType, String body) {
        this.status = status;
        this.body = body.getBytes(StandardCharsets.UTF_8);
        if (!contentType.isEmpty()) {
            headers.set(HttpHeaderNames.CONTENT_TYPE, contentType);
        }
    }

    void answer(Exchange ping) {
        ping.release();
        ping.respond(
                ping.responses.response(status, headers, Unpooled.wrappedBuffer(body), ping.id));
    }
}
