package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import java.util.List;
import java.util.Map;

/** A request that a worker answers. */
class Invocation extends Exchange implements StreamReader.Sink {
    // Copying this many bytes costs less than another buffer in the system call that sends them.
    private static final int MAX_COPIED = 16384;
    private static final int HEAD_SIZE = 1024;

    private CharSequence contentType = "";
    // The query's parameters as they are sent; most requests have none.
    private ByteBuf parts = Unpooled.EMPTY_BUFFER;
    private WorkerConnections workers;
    private boolean isYielding;
    boolean isCancelled;
    // Who sends a stream, once it has begun.
    WorkerConnection source;
    private StreamedBody body;
    private final long arrivedAt = System.nanoTime();

    Invocation(Router client, FullHttpRequest request, Responses responses) {
        super(client, request, responses);
    }

    /** Returns how long ago the request arrived, in nanoseconds. */
    long age() {
        return System.nanoTime() - arrivedAt;
    }

    /** Sends the request to a worker, or lets it wait for one. */
    void submit(WorkerConnections workers, Map<String, List<String>> query) {
        this.workers = workers;
        try {
            CharSequence mimeType = HttpUtil.getMimeType(request);
            contentType = mimeType == null ? "" : mimeType;
            if (!query.isEmpty()) {
                parts = Unpooled.buffer();
                query.forEach(this::addParts);
            }
        } catch (OutOfMemoryError error) {
            refuse(ErrorCode.OUT_OF_MEMORY, "No memory is left for the query");
            return;
        }
        workers.submit(this);
    }

    private void addParts(String name, List<String> values) {
        values.forEach(value -> WorkerProtocol.writePart(parts, name, value));
    }

    /**
     * Writes the request to a worker's connection.
     *
     * @throws OutOfMemoryError before anything is written
     */
    void writeTo(ChannelHandlerContext worker) {
        ByteBuf body = request.content();
        int size = body.readableBytes();
        boolean isCopied = size <= MAX_COPIED;
        int room = HEAD_SIZE + parts.readableBytes() + (isCopied ? size : 0);
        ByteBuf message = worker.alloc().directBuffer(room);
        try {
            writeTarget(message);
            WorkerProtocol.writeHead(message, id, request.headers());
            message.writeBytes(parts);
            WorkerProtocol.writeBodyHead(message, contentType, size);
            if (isCopied) {
                message.writeBytes(body).writeBytes(WorkerProtocol.end());
            }
        } catch (Throwable error) {
            message.release();
            throw error;
        }
        if (isCopied) {
            release();
            worker.writeAndFlush(message, worker.voidPromise());
        } else {
            worker.write(message, worker.voidPromise());
            worker.write(body, worker.voidPromise()); // which releases it
            worker.writeAndFlush(WorkerProtocol.end(), worker.voidPromise());
        }
    }

    /** Writes what the request is, which its message begins with. */
    void writeTarget(ByteBuf message) {
        WorkerProtocol.writeTarget(message, Routes.pathOfProgram(request.uri()));
    }

    /** Passes a worker's answer on to the client. */
    void complete(WorkerProtocol.Answer answer) {
        FullHttpResponse response;
        try {
            response = responses.answer(answer, id);
        } catch (RuntimeException error) {
            answer.body.release();
            fail(ErrorCode.UNENCODABLE_PREDICTION, "The worker's answer is not an HTTP response");
            return;
        }
        if (!answer.isOfWorker) {
            logRefusal(response);
        }
        respond(response);
    }

    /** Begins to pass a worker's stream on to the client. */
    void begin(WorkerProtocol.Head head, WorkerConnection worker) {
        source = worker;
        if (isCancelled) {
            source.abandon();
            return;
        }
        HttpResponse response;
        try {
            boolean isChunked = request.protocolVersion().isKeepAliveDefault();
            response = responses.stream(head, id, isChunked);
        } catch (RuntimeException error) {
            fail(ErrorCode.UNENCODABLE_PREDICTION, "The worker's answer is not an HTTP response");
            cancel();
            return;
        }
        body = begin(response);
    }

    /** Passes a part of a stream on, which goes out with the next {@link #flush}. */
    @Override
    public void onData(ByteBuf data) {
        if (isCancelled) {
            data.release();
        } else if (!body.pass(data)) {
            source.pause();
        }
    }

    /** Sends what was passed on. */
    void flush() {
        if (!isCancelled) {
            body.flush();
        }
    }

    /** Shows the client of a stream of events that has been quiet for so long that it goes on. */
    void beat(long now, long interval) {
        if (!isCancelled && body != null) {
            body.beat(now, interval);
        }
    }

    /**
     * Ends a stream.
     *
     * @param status 0 if it is complete; else what is counted of it
     */
    void onEnd(int status) {
        if (isCancelled) {
            return;
        }
        if (status == 0) {
            end(HttpResponseStatus.OK.code());
            body.complete();
        } else {
            end(status);
            body.breakOff();
        }
    }

    /** Fails a request whose worker is lost. */
    void lose(ErrorCode code, String message) {
        if (source == null) {
            fail(code, message);
        } else if (!isCancelled) {
            logBroken(code.status);
            end(code.status);
            body.breakOff();
        }
    }

    @Override
    void resume() {
        if (body != null) {
            source.resume();
        }
    }

    @Override
    long sentBytes() {
        return body == null ? 0 : body.size();
    }

    @Override
    void cancel() {
        isCancelled = true;
        if (source == null) {
            workers.forget(this);
        } else {
            source.abandon();
        }
    }

    @Override
    void giveWay() {
        isYielding = true;
        if (body != null) {
            // It waits for nothing any more, as far as can be known: most have gone.
            body.abandon();
            return;
        }
        if (workers != null) {
            workers.giveWay(this);
        }
    }

    /** Returns whether it waits behind all others, since its client may have gone. */
    boolean isYielding() {
        return isYielding;
    }
}
