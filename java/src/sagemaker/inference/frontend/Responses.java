package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.EmptyHttpHeaders;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.AsciiString;
import java.nio.charset.StandardCharsets;

/** Makes responses. */
final class Responses {
    private static final AsciiString REQUEST_ID = AsciiString.cached("x-request-id");
    // A worker that is busy is free again soon; a server that stops sends another number.
    private static final AsciiString RETRY_SECONDS = AsciiString.cached("1");

    private final HttpHeaders common;

    Responses(Settings settings) {
        common = settings.commonHeaders;
    }

    /**
     * Makes the response that a worker has answered with.
     *
     * @throws RuntimeException of any kind, if the answer is not an HTTP response
     */
    FullHttpResponse answer(WorkerProtocol.Answer answer, String id) {
        return response(status(answer), headers(answer), answer.body, id);
    }

    /**
     * Makes the head of a response whose body a worker sends piece by piece.
     *
     * @param isChunked whether the client knows chunks; the body of others ends with the connection
     * @throws RuntimeException of any kind, if the head is not that of an HTTP response
     */
    HttpResponse stream(WorkerProtocol.Head head, String id, boolean isChunked) {
        HttpHeaders headers = headers(head);
        headers.remove(HttpHeaderNames.CONTENT_LENGTH);
        headers.set(REQUEST_ID, id);
        if (isChunked) {
            headers.set(HttpHeaderNames.TRANSFER_ENCODING, HttpHeaderValues.CHUNKED);
            headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.KEEP_ALIVE);
        } else {
            headers.remove(HttpHeaderNames.TRANSFER_ENCODING);
            headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
        }
        return new DefaultHttpResponse(HttpVersion.HTTP_1_1, status(head), headers);
    }

    private HttpHeaders headers(WorkerProtocol.Head answer) {
        // The worker has checked the names and values.
        HttpHeaders headers = new DefaultHttpHeaders(false);
        headers.set(common);
        if (!answer.contentType.isEmpty()) {
            headers.set(HttpHeaderNames.CONTENT_TYPE, answer.contentType);
        }
        for (int i = 0; i < answer.headers.length; i += 2) {
            headers.set(answer.headers[i], answer.headers[i + 1]);
        }
        return headers;
    }

    private static HttpResponseStatus status(WorkerProtocol.Head answer) {
        return answer.phrase.isEmpty()
                ? HttpResponseStatus.valueOf(answer.status)
                : HttpResponseStatus.valueOf(answer.status, answer.phrase);
    }

    /** Makes a response with the common headers and these; their syntax is checked. */
    FullHttpResponse response(int status, HttpHeaders headers, ByteBuf body, String id) {
        HttpHeaders all = new DefaultHttpHeaders();
        all.set(common);
        // setAll would keep only the last value of a name.
        headers.names().forEach(all::remove);
        all.add(headers);
        return response(HttpResponseStatus.valueOf(status), all, body, id);
    }

    /** Makes a response about an error. */
    FullHttpResponse error(ErrorCode code, String message, String id, ErrorForm form) {
        HttpHeaders headers = new DefaultHttpHeaders();
        headers.set(common);
        headers.set(HttpHeaderNames.CONTENT_TYPE, form.contentType());
        if (code.status == HttpResponseStatus.SERVICE_UNAVAILABLE.code()) {
            headers.set(HttpHeaderNames.RETRY_AFTER, RETRY_SECONDS);
        }
        String text = form.write(code, message, id);
        ByteBuf body = Unpooled.copiedBuffer(text, StandardCharsets.UTF_8);
        return response(HttpResponseStatus.valueOf(code.status), headers, body, id);
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
