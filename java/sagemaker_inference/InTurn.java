package sagemaker_inference;

import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.util.ReferenceCountUtil;
import java.util.ArrayDeque;

/**
 * Lets one request of a client through at a time.
 *
 * <p>A client that sends several without waiting gets the answers in the order of its requests (RFC
 * 9112, 9.3.2), whether we answer or Multi Model Server does; and none is worked on that comes
 * after an answer which closes the connection, or while answers are not fetched. What never becomes
 * a whole request (a body over the limit) is answered before it gets here, and so may overtake.
 */
final class InTurn extends ChannelDuplexHandler {
    // What is read at a time may hold thousands, each of which takes a hundred times its bytes.
    private static final int MOST_LATER = 100;

    private final ArrayDeque<FullHttpRequest> later = new ArrayDeque<>();
    private boolean isBusy;
    private boolean isLast;
    private boolean isCut;
    private boolean isOver;

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        FullHttpRequest request = (FullHttpRequest) message;
        if (isOver || isCut || later.size() == MOST_LATER) {
            // The client, which sees the connection closed behind the others, has to send it again.
            isCut = true;
            request.release();
        } else if (isBusy || !later.isEmpty() || !context.channel().isWritable()) {
            later.add(request);
            context.channel().config().setAutoRead(false);
        } else {
            pass(context, request);
        }
    }

    private void pass(ChannelHandlerContext context, FullHttpRequest request) {
        isBusy = true;
        isLast = !HttpUtil.isKeepAlive(request);
        context.fireChannelRead(request);
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
        if (!(message instanceof FullHttpResponse)) {
            context.write(message, promise);
            return;
        }
        if (isOver) {
            ReferenceCountUtil.release(message);
            promise.trySuccess();
            return;
        }
        FullHttpResponse response = (FullHttpResponse) message;
        isBusy = false;
        if (isLast || isCut && later.isEmpty()) {
            response.headers().set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
        }
        isOver = !HttpUtil.isKeepAlive(response);
        if (isOver) {
            context.write(response, promise.unvoid().addListener(ChannelFutureListener.CLOSE));
            drop();
            return;
        }
        context.write(response, promise);
        if (!later.isEmpty()) {
            // Not from here: the one who answers has not finished yet.
            context.executor().execute(() -> next(context));
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        next(context);
        context.fireChannelWritabilityChanged();
    }

    private void next(ChannelHandlerContext context) {
        while (!isBusy && !later.isEmpty() && context.channel().isWritable()) {
            pass(context, later.poll());
        }
        context.channel().config().setAutoRead(later.isEmpty());
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        drop();
        context.fireChannelInactive();
    }

    private void drop() {
        later.forEach(FullHttpRequest::release);
        later.clear();
    }
}
