package sagemaker_inference;

import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.util.ReferenceCountUtil;
import java.util.ArrayDeque;

/**
 * Lets one request of a client through at a time.
 *
 * <p>A client that sends several without waiting gets the answers in the order of its requests (RFC
 * 9112, 9.3.2), whoever answers them.
 */
final class InTurn extends ChannelDuplexHandler {
    private final ArrayDeque<Object> later = new ArrayDeque<>();
    private boolean isBusy;

    @Override
    public void channelRead(ChannelHandlerContext context, Object request) {
        if (isBusy) {
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
        if (!isBusy) {
            // A second answer: the first has said already that none would come.
            ReferenceCountUtil.release(message);
            promise.trySuccess();
            return;
        }
        isBusy = false;
        context.write(message, promise);
        if (!later.isEmpty()) {
            // Not from here: the one who answers has not finished yet.
            context.executor().execute(() -> next(context));
        }
    }

    private void next(ChannelHandlerContext context) {
        while (!isBusy && !later.isEmpty()) {
            channelRead(context, later.poll());
        }
        context.channel().config().setAutoRead(later.isEmpty());
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        later.forEach(ReferenceCountUtil::release);
        later.clear();
        context.fireChannelInactive();
    }
}
