package sagemaker.inference.frontend;

import io.netty.handler.codec.http.EmptyHttpHeaders;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpResponse;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A request and its answer to come.
 *
 * <p>It stays on the event loop of its client.
 */
class Exchange {
    // As what a request is counted whose client has disconnected before the response.
    private static final int CLIENT_GONE = 499;

    final String id = newId();
    final FullHttpRequest request;
    final Responses responses;
    private final Router client;

    Exchange(Router client, FullHttpRequest request, Responses responses) {
        this.client = client;
        this.request = request;
        this.responses = responses;
    }

    /** Makes the id of a request. */
    static String newId() {
        // It has to differ from others; it need not be hard to guess.
        ThreadLocalRandom random = ThreadLocalRandom.current();
        return new UUID(random.nextLong(), random.nextLong()).toString();
    }

    /** Sends the response; after that, the exchange is over. */
    final void respond(FullHttpResponse response) {
        client.respond(response);
    }

    /** Responds with an error, without giving the memory of the request back. */
    final void fail(ErrorCode code, String message) {
        respond(error(code, message));
    }

    /** Responds with an error to a request that goes nowhere else. */
    final void refuse(ErrorCode code, String message) {
        refuse(code, message, EmptyHttpHeaders.INSTANCE);
    }

    /** As {@link #refuse(ErrorCode, String)}, with more headers. */
    void refuse(ErrorCode code, String message, HttpHeaders more) {
        release();
        FullHttpResponse response = error(code, message);
        response.headers().setAll(more);
        respond(response);
    }

    /** Leaves an access line if the response is a refusal. */
    final void logRefusal(FullHttpResponse response) {
        int status = response.status().code();
        if (status >= ErrorCode.BAD_REQUEST.status) {
            client.log(this, status);
        }
    }

    private FullHttpResponse error(ErrorCode code, String message) {
        client.log(this, code.status);
        return responses.error(code, message, id, ErrorForm.of(request));
    }

    /** Sends the head of a response; returns its body to come. */
    final StreamedBody begin(HttpResponse head) {
        return client.begin(head);
    }

    /**
     * Called when the body of a response ends; after that, the exchange is over.
     *
     * @param status what is counted of it
     */
    final void end(int status) {
        client.end(status);
    }

    /** Leaves an access line of a response whose body was broken off. */
    final void logBroken(int status) {
        client.log(this, status);
    }

    /** Leaves an access line of a WebSocket whose worker is lost. */
    final void logLost(int status, int close) {
        client.log(this, status, close);
    }

    /** Gives the memory of the request back. */
    final void release() {
        request.release();
    }

    /** Called when the client disconnects before the response. */
    void cancel() {}

    /** Called when the client sends nothing any more, which may mean that it has gone. */
    void giveWay() {}

    /** Called when the client reads on. */
    void resume() {}

    /** Returns how much of a body was sent, of which more is to come. */
    long sentBytes() {
        return 0;
    }

    /** Returns as what it is counted if its client disconnects. */
    int goneStatus() {
        return CLIENT_GONE;
    }
}
