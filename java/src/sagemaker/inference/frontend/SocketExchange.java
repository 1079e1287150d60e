package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.QueryStringDecoder;
import io.netty.handler.codec.http.websocketx.CloseWebSocketFrame;
import io.netty.handler.codec.http.websocketx.ContinuationWebSocketFrame;
import io.netty.handler.codec.http.websocketx.PingWebSocketFrame;
import io.netty.handler.codec.http.websocketx.PongWebSocketFrame;
import io.netty.handler.codec.http.websocketx.TextWebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketFrame;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * A WebSocket: a request that is upgraded when a worker takes it, then messages both ways.
 *
 * <p>The client and the worker each have a bounded number of bytes on their way to the other: who
 * does not read stops who writes.
 */
final class SocketExchange extends Invocation {
    /** The status of a failure of the server (RFC 6455, 7.4.1). */
    static final int FAILED = 1011;

    /** The status of an end for which nothing failed. */
    static final int GOING_AWAY = 1001;

    private static final int NORMAL = 1000;
    private static final int BAD_TEXT = 1007;
    private static final int TOO_BIG = 1009;

    // Bytes that a worker may have got and its program not taken; a message counts with so much
    // more. The worker knows the same numbers.
    private static final int WINDOW = 1 << 18;
    private static final int OVERHEAD = 64;
    // In place of the first byte of a frame: the program has taken so many bytes.
    private static final int TAKEN = 3;
    // A worker that has a place takes a WebSocket within milliseconds.
    private static final int OPEN_SECONDS = 5;
    // How long a client may take to answer that its WebSocket is closed.
    private static final int CLOSE_SECONDS = 5;

    private final ChannelHandlerContext client;
    private final SocketRoutes sockets;
    private final SocketRoutes.Route route;
    private final SocketPlace place;
    private final Settings settings;
    private final SocketFrames frames;
    private final Utf8Check utf8 = new Utf8Check();
    private ScheduledFuture<?> timer;
    private String query;
    // The end has been sent to the client, or is about to be.
    private boolean isClosing;
    // The worker says and hears nothing more.
    private boolean isOver;
    private boolean isText;
    // The fragments of a message, until its end.
    private ByteBuf message;
    private int messageType;
    private int untaken;
    // Of what the worker says: what a chunk begins with, 0 before, and what is collected.
    private int kind;
    private int chunk;
    private ByteBuf collected;
    private SocketWatch watch;

    SocketExchange(
            Router router,
            FullHttpRequest request,
            Clients clients,
            SocketRoutes sockets,
            String path,
            ChannelHandlerContext client) {
        super(router, request, clients.responses());
        this.client = client;
        this.sockets = sockets;
        settings = clients.settings();
        route = sockets.routes.get(path);
        place = new SocketPlace(sockets);
        frames = new SocketFrames(client);
    }

    /** Returns what a client is told where there is no WebSocket. */
    static String notFound(String path, Set<String> paths) {
        String there =
                paths.isEmpty()
                        ? "this program has none"
                        : "this program has " + String.join(", ", paths);
        return "There is no WebSocket at " + path + "; " + there;
    }

    /** Has a worker take it, or refuses it. */
    void open(WorkerConnections workers, QueryStringDecoder target) {
        String problem = SocketHandshake.problem(request.headers());
        if (problem != null) {
            HttpHeaders version =
                    new DefaultHttpHeaders()
                            .set(HttpHeaderNames.SEC_WEBSOCKET_VERSION, SocketHandshake.VERSION);
            refuse(ErrorCode.BAD_REQUEST, problem, version);
        } else if (!place.take()) {
            refuse(ErrorCode.SERVICE_UNAVAILABLE, noPlace());
        } else {
            query = target.rawQuery();
            timer = client.executor().schedule(this::giveUp, OPEN_SECONDS, TimeUnit.SECONDS);
            submit(workers, Map.of());
        }
    }

    @Override
    void writeTarget(ByteBuf message) {
        WorkerProtocol.writeUpgrade(message, route.path, query);
    }

    private String noPlace() {
        return "All " + sockets.places + " place(s) for WebSockets are taken";
    }

    /** Stops waiting for a worker. */
    private void waitNoMore() {
        stopTimer();
        place.leave();
    }

    @Override
    void refuse(ErrorCode code, String message, HttpHeaders more) {
        waitNoMore();
        super.refuse(code, message, more);
    }

    private void giveUp() {
        if (source == null && !isCancelled) {
            cancel();
            fail(ErrorCode.SERVICE_UNAVAILABLE, noPlace());
        }
    }

    @Override
    void complete(WorkerProtocol.Answer answer) {
        waitNoMore();
        if (isCancelled) {
            answer.body.release();
        } else {
            super.complete(answer);
        }
    }

    private void stopTimer() {
        if (timer != null) {
            timer.cancel(false);
        }
    }

    @Override
    void begin(WorkerProtocol.Head head, WorkerConnection worker) {
        stopTimer();
        source = worker;
        if (isCancelled) {
            source.abandon();
            return;
        }
        ChannelPipeline pipeline = client.pipeline();
        RequestGuard guard = pipeline.get(RequestGuard.class);
        boolean hasMore = pipeline.get(HttpPipeliningHandler.class).hasMore();
        if (hasMore || guard.phase() != RequestGuard.Phase.NONE) {
            cancel();
            fail(ErrorCode.BAD_REQUEST, "Messages came before the WebSocket was open");
            return;
        }
        pipeline.replace(Clients.GUARD, Clients.GUARD, new SocketDecoder(route.maxMessage));
        for (String http : Clients.HTTP) {
            pipeline.remove(http);
        }
        pipeline.addBefore(Clients.ROUTER, "socket", new SocketHandler(this));
        client.writeAndFlush(SocketHandshake.response(request.headers(), id, head.headers));
        watch = new SocketWatch(settings.socketLimits);
        if (settings.socketLimits.exist()) {
            timer = client.executor().scheduleWithFixedDelay(this::look, 1, 1, TimeUnit.SECONDS);
        }
    }

    private void look() {
        if (isClosing) {
            stopTimer();
        } else {
            watch.look(this, frames);
        }
    }

    // What the client says.

    /** Handles a frame, which the caller releases. */
    void onFrame(WebSocketFrame frame) {
        watch.onFrame();
        if (isClosing) {
            if (frame instanceof CloseWebSocketFrame) {
                client.close();
            }
        } else if (frame instanceof PingWebSocketFrame) {
            frames.pong(frame.content());
        } else if (frame instanceof CloseWebSocketFrame) {
            say(SocketFrames.CLOSE, frame.content());
            close(frame.content().retainedSlice(0, Math.min(2, frame.content().readableBytes())))
                    .addListener(ChannelFutureListener.CLOSE);
        } else if (!(frame instanceof PongWebSocketFrame)) {
            watch.onMessage();
            onPart(frame);
        }
    }

    private void onPart(WebSocketFrame frame) {
        boolean isFirst = !(frame instanceof ContinuationWebSocketFrame);
        boolean isLast = frame.isFinalFragment();
        ByteBuf data = frame.content();
        int type = frame instanceof TextWebSocketFrame ? SocketFrames.TEXT : SocketFrames.BINARY;
        if (isFirst) {
            isText = type == SocketFrames.TEXT;
            messageType = type;
        }
        if (isText && !(utf8.read(data) && (!isLast || utf8.isWhole()))) {
            refuse(BAD_TEXT, "A text is not UTF-8");
        } else if (route.isRaw) {
            say((isLast ? SocketFrames.LAST : 0) | (isFirst ? type : 0), data);
        } else if (isFirst && isLast) {
            say(SocketFrames.LAST | type, data);
        } else {
            collect(data, isLast);
        }
    }

    private void collect(ByteBuf data, boolean isLast) {
        int size = data.readableBytes() + (message == null ? 0 : message.readableBytes());
        if (size > route.maxMessage) {
            refuse(TOO_BIG, "A message has more than " + route.maxMessage + " bytes");
            return;
        }
        if (message == null) {
            message = client.alloc().buffer(data.readableBytes());
        }
        message.writeBytes(data);
        if (isLast) {
            say(SocketFrames.LAST | messageType, message);
            dropMessage();
        }
    }

    private void dropMessage() {
        if (message != null) {
            message.release();
            message = null;
        }
    }

    private void say(int first, ByteBuf data) {
        if (isOver) {
            return;
        }
        source.say(SocketFrames.forWorker(client, first, data));
        untaken += 1 + data.readableBytes() + OVERHEAD;
        if (untaken > WINDOW) {
            client.channel().config().setAutoRead(false);
        }
    }

    /** Sends to the worker what was read at once. */
    void onReadComplete() {
        if (!isOver) {
            source.flush();
        }
    }

    /** Ends the WebSocket, since something is wrong with what the client does. */
    void refuse(int status, String reason) {
        if (isClosing) {
            return;
        }
        ByteBuf payload = SocketFrames.closing(status, reason);
        say(SocketFrames.CLOSE, payload);
        onReadComplete();
        // The client may be sending.
        LingeringClose.start(client, close(payload));
    }

    private ChannelPromise close(ByteBuf payload) {
        isClosing = true;
        dropMessage();
        client.channel().config().setAutoRead(true);
        client.executor().schedule(() -> client.close(), CLOSE_SECONDS, TimeUnit.SECONDS);
        return frames.close(payload);
    }

    // What the worker says.

    @Override
    public void onChunk(int size) {
        chunk = size - 1;
        kind = 0;
    }

    @Override
    public void onData(ByteBuf data) {
        if (isCancelled) {
            data.release();
            return;
        }
        if (kind == 0) {
            kind = data.readUnsignedByte() | 0x100;
            begin(kind & 0xFF);
        }
        if (collected == null) {
            frames.pass(data);
            if (!client.channel().isWritable()) {
                source.pause();
            }
            return;
        }
        collected.writeBytes(data);
        data.release();
        if (collected.readableBytes() == chunk) {
            ByteBuf whole = collected;
            collected = null;
            onControl(whole);
        }
    }

    private void begin(int first) {
        if (first == TAKEN || first == SocketFrames.CLOSE) {
            collected = Unpooled.buffer(chunk);
        } else {
            watch.onMessage();
            frames.begin(first, chunk);
        }
    }

    private void onControl(ByteBuf data) {
        if ((kind & 0xFF) == SocketFrames.CLOSE) {
            if (isClosing) {
                data.release();
            } else {
                close(data);
            }
            return;
        }
        untaken -= data.readInt();
        data.release();
        if (untaken <= WINDOW && !isClosing) {
            client.channel().config().setAutoRead(true);
        }
    }

    @Override
    void flush() {
        if (!isCancelled) {
            client.flush();
        }
    }

    @Override
    void onEnd(int status) {
        finish();
        if (isCancelled) {
            return;
        }
        end(WorkerProtocol.SWITCHING);
        if (!isClosing) {
            close(SocketFrames.closing(status == 0 ? NORMAL : FAILED, ""));
        }
    }

    private void finish() {
        isOver = true;
        waitNoMore();
    }

    @Override
    void lose(ErrorCode code, String text) {
        stopTimer();
        if (source == null) {
            place.leave();
            if (!isCancelled) {
                super.lose(code, text);
            }
            return;
        }
        finish();
        if (isCancelled) {
            return;
        }
        logLost(WorkerProtocol.SWITCHING, FAILED);
        end(WorkerProtocol.SWITCHING);
        if (frames.isInFrame()) {
            client.close(); // which is all that can be said behind a part of a message
        } else if (!isClosing) {
            close(SocketFrames.closing(FAILED, code.code + ": " + text + " [" + id + "]"));
        }
    }

    @Override
    void cancel() {
        stopTimer();
        frames.release();
        dropMessage();
        if (isOver) {
            return;
        }
        if (source == null) {
            place.leave();
        }
        super.cancel();
    }

    @Override
    void giveWay() {
        client.close(); // who sends nothing more has gone
    }

    @Override
    void resume() {
        if (source != null && !isOver) {
            source.resume();
        }
    }

    @Override
    long sentBytes() {
        return frames.size();
    }

    @Override
    int goneStatus() {
        return source == null ? super.goneStatus() : WorkerProtocol.SWITCHING;
    }
}
