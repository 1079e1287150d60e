package sagemaker_inference;

import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.FullHttpResponse;
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
    private final ArrayDeque<Object> later = new ArrayDeque<>();
    private boolean isBusy;
    private boolean isOver;

    @Override
    public void channelRead(ChannelHandlerContext context, Object request) {
        if (isOver) {
            ReferenceCountUtil.release(request);
        } else if (isBusy || !later.isEmpty() || !context.channel().isWritable()) {
            later.add(request);
            context.channel().config().setAutoRead(false);
        } else {
            isBusy = true;
            context.fireChannelRead(request);
        }
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
        isBusy = false;
        isOver = !HttpUtil.isKeepAlive((FullHttpResponse) message);
        context.write(message, promise);
        if (isOver) {
            drop();
        } else if (!later.isEmpty()) {
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
            isBusy = true;
            context.fireChannelRead(later.poll());
        }
        context.channel().config().setAutoRead(later.isEmpty());
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        drop();
        context.fireChannelInactive();
    }

    private void drop() {
        later.forEach(ReferenceCountUtil::release);
        later.clear();
    }
}
