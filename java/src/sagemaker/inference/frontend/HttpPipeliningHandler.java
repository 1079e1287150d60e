package sagemaker.inference.frontend;

import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import java.util.ArrayDeque;

/**
 * Passes one request of a client on at a time.
 *
 * <p>A client that sends several requests without waiting gets the responses in the same order (RFC
 * 9112, 9.3.2). No request is passed on after a response that closes the connection, or while the
 * client does not read responses.
 *
 * <p>It also decides when a connection is closed, and omits the bodies of responses to HEAD.
 */
final class HttpPipeliningHandler extends ChannelDuplexHandler {
    /** Written in place of the end of a body that is not complete. */
    static final Object BROKEN = new Object();

    // One read may hold thousands of requests, each of which takes a hundred times its bytes.
    private static final int MAX_QUEUED = 100;

    private final Clients clients;
    private final ArrayDeque<FullHttpRequest> queued = new ArrayDeque<>();
    // About the request that was passed on, until its response.
    private boolean isBusy;
    private boolean isHead;
    private boolean isComplete;
    private boolean isLast;
    // No further requests are taken: the connection is closed behind those that are queued, ...
    private boolean isFull;
    // ... or behind a response that was written.
    private boolean isOver;

    HttpPipeliningHandler(Clients clients) {
        this.clients = clients;
    }

    /** Returns whether the client waits for a response, or for the end of the connection. */
    boolean isWorking() {
        return isBusy || !queued.isEmpty() || isOver;
    }

    /** Returns whether the client has sent anything behind the request that was passed on. */
    boolean hasMore() {
        return isFull || !queued.isEmpty();
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        if (isOver || isFull || queued.size() == MAX_QUEUED) {
            // The client sees the connection closed, and has to send the request again.
            isFull = true;
            ReferenceCountUtil.release(message);
            return;
        }
        FullHttpRequest request = (FullHttpRequest) message;
        if (isBusy || !queued.isEmpty() || !context.channel().isWritable()) {
            queued.add(request);
            context.channel().config().setAutoRead(false);
        } else {
            pass(context, request);
        }
    }

    private void pass(ChannelHandlerContext context, FullHttpRequest request) {
        isBusy = true;
        isHead = request.method().equals(HttpMethod.HEAD);
        isComplete = request.decoderResult().isSuccess();
        isLast = !HttpUtil.isKeepAlive(request);
        context.fireChannelRead(request);
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
        if (!(message instanceof FullHttpResponse)) {
            writePart(context, message, promise);
            return;
        }
        if (isOver) {
            ReferenceCountUtil.release(message);
            promise.trySuccess();
            return;
        }
        FullHttpResponse response = (FullHttpResponse) message;
        // A response without a request is about something that could not be read, and a client that
        // is cut off may be sending.
        boolean isReceived = isReceived();
        isBusy = false;
        if (isClosing()) {
            response.headers().set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
        }
        if (isHead) {
            isHead = false;
            response = withoutBody(response);
        }
        isOver = !HttpUtil.isKeepAlive(response);
        end(context, response, promise, isReceived);
    }

    /** Returns whether all of the client's request was received, and nothing else is coming. */
    private boolean isReceived() {
        return isBusy && isComplete && !isFull;
    }

    private boolean isClosing() {
        return isLast || (isFull || clients.isDraining()) && queued.isEmpty();
    }

    /** Writes a part of a response: its head, some of its body, or its end. */
    private void writePart(
            ChannelHandlerContext context, Object message, ChannelPromise promise) {
        if (message instanceof HttpResponse) {
            HttpResponse head = (HttpResponse) message;
            if (isClosing()) {
                head.headers().set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
            }
            isLast = !HttpUtil.isKeepAlive(head);
            context.write(head, promise);
        } else if (message == BROKEN || message instanceof LastHttpContent) {
            boolean isReceived = isReceived();
            isBusy = false;
            isOver = message == BROKEN || isClosing();
            Object end = message == BROKEN ? Unpooled.EMPTY_BUFFER : message;
            end(context, end, promise, isReceived);
        } else {
            context.write(message, promise);
        }
    }

    /** Writes the end of a response; the next request follows, or the end of the connection. */
    private void end(
            ChannelHandlerContext context,
            Object message,
            ChannelPromise promise,
            boolean isReceived) {
        if (isOver) {
            drop();
            ChannelPromise written = promise.unvoid();
            if (isReceived) {
                written.addListener(ChannelFutureListener.CLOSE);
            } else {
                LingeringClose.start(context, written);
            }
            context.write(message, written);
            return;
        }
        context.write(message, promise);
        if (!queued.isEmpty()) {
            // Not from here, since the caller is not done with the request.
            context.executor().execute(() -> next(context));
        }
    }

    private static FullHttpResponse withoutBody(FullHttpResponse response) {
        FullHttpResponse head = response.replace(Unpooled.EMPTY_BUFFER);
        response.release();
        return head;
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        next(context);
        context.fireChannelWritabilityChanged();
    }

    private void next(ChannelHandlerContext context) {
        while (!isBusy && !queued.isEmpty() && context.channel().isWritable()) {
            pass(context, queued.poll());
        }
        context.channel().config().setAutoRead(queued.isEmpty());
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        boolean isIdle = !isWorking();
        if (event == Clients.NO_MORE) {
            isFull = true;
            if (isIdle) {
                isOver = true;
                LingeringClose.start(context, context.newSucceededFuture());
            }
        } else if (event == Clients.DRAIN || event instanceof ChannelInputShutdownEvent) {
            isFull |= event != Clients.DRAIN;
            if (isIdle) {
                closeWhenRead(context);
            } else {
                context.fireUserEventTriggered(event);
            }
        } else {
            context.fireUserEventTriggered(event);
        }
    }

    /** Closes the connection behind responses that the client is still reading. */
    private void closeWhenRead(ChannelHandlerContext context) {
        context.writeAndFlush(Unpooled.EMPTY_BUFFER)
                .addListener(
                        written -> {
                            // It may have sent a request meanwhile.
                            if (!isWorking()) {
                                context.close();
                            }
                        });
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
        // After a failed read, it is unknown where the next request begins.
        isFull = true;
        context.fireExceptionCaught(error);
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        drop();
        context.fireChannelInactive();
    }

    private void drop() {
        queued.forEach(FullHttpRequest::release);
        queued.clear();
    }
}
