package sagemaker_inference;

import com.amazonaws.ml.mms.util.ConfigManager;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.EmptyHttpHeaders;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.AsciiString;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/** Makes responses; with the headers that Multi Model Server gives to all of its own. */
final class Replies {
    private static final AsciiString REQUEST_ID = AsciiString.cached("x-request-id");

    private static final AsciiString PLAIN_TEXT = AsciiString.cached("text/plain; charset=utf-8");

    private final HttpHeaders common = new DefaultHttpHeaders();

    Replies(ConfigManager config) {
        common.set(HttpHeaderNames.PRAGMA, HttpHeaderValues.NO_CACHE);
        common.set(HttpHeaderNames.CACHE_CONTROL, "no-cache; no-store, must-revalidate, private");
        common.set(HttpHeaderNames.EXPIRES, "Thu, 01 Jan 1970 00:00:00 UTC");
        set(HttpHeaderNames.ACCESS_CONTROL_ALLOW_ORIGIN, config.getCorsAllowedOrigin());
        set(HttpHeaderNames.ACCESS_CONTROL_ALLOW_METHODS, config.getCorsAllowedMethods());
        set(HttpHeaderNames.ACCESS_CONTROL_ALLOW_HEADERS, config.getCorsAllowedHeaders());
    }

    private void set(AsciiString name, String value) {
        if (value != null && !value.isEmpty()) {
            common.set(name, value);
        }
    }

    /** Makes a request's id. */
    static String newId() {
        // It has to be told from others, not to be hard to guess.
        ThreadLocalRandom random = ThreadLocalRandom.current();
        return new UUID(random.nextLong(), random.nextLong()).toString();
    }

    FullHttpResponse answer(Wire.Answer answer, String id) {
        // The model process has looked that the names and values are such.
        HttpHeaders headers = new DefaultHttpHeaders(false);
        headers.set(common);
        if (!answer.type.isEmpty()) {
            headers.set(HttpHeaderNames.CONTENT_TYPE, answer.type);
        }
        for (int i = 0; i < answer.headers.length; i += 2) {
            headers.set(answer.headers[i], answer.headers[i + 1]);
        }
        HttpResponseStatus status =
                answer.phrase.isEmpty()
                        ? HttpResponseStatus.valueOf(answer.status)
                        : HttpResponseStatus.valueOf(answer.status, answer.phrase);
        return response(status, headers, answer.body, id);
    }

    FullHttpResponse refusal(int status, String code, String message, String id) {
        String text =
                String.format(
                        "{\"error\": {\"code\": \"%s\", \"message\": \"%s\", \"request_id\": \"%s\"}}",
                        code, message, id);
        return refusal(status, HttpHeaderValues.APPLICATION_JSON, text, id);
    }

    /** The same for who accepts no JSON. */
    FullHttpResponse refusalAsText(int status, String message, String id) {
        return refusal(status, PLAIN_TEXT, message, id);
    }

    private FullHttpResponse refusal(int status, AsciiString type, String text, String id) {
        HttpHeaders headers = new DefaultHttpHeaders();
        headers.set(common);
        headers.set(HttpHeaderNames.CONTENT_TYPE, type);
        ByteBuf body = Unpooled.copiedBuffer(text, StandardCharsets.UTF_8);
        return response(HttpResponseStatus.valueOf(status), headers, body, id);
    }

    private static FullHttpResponse response(
            HttpResponseStatus status, HttpHeaders headers, ByteBuf body, String id) {
        headers.remove(HttpHeaderNames.TRANSFER_ENCODING);
        headers.set(REQUEST_ID, id);
        headers.set(HttpHeaderNames.CONTENT_LENGTH, body.readableBytes());
        headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.KEEP_ALIVE);
        return new DefaultFullHttpResponse(
                HttpVersion.HTTP_1_1, status, body, headers, EmptyHttpHeaders.INSTANCE);
    }
}
