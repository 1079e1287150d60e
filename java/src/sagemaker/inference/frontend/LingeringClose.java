package sagemaker.inference.frontend;

import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.ReferenceCountUtil;
import java.util.concurrent.TimeUnit;

/**
 * Closes a connection whose client may still be sending, without loss of the last response.
 *
 * <p>A socket that is closed with bytes unread resets the connection, and the client may never see
 * what was sent to it (RFC 9112, 9.6). So the connection is first closed in one direction, and what
 * arrives is discarded for a while.
 */
final class LingeringClose extends ChannelInboundHandlerAdapter {
    private static final int SECONDS = 2;

    private LingeringClose() {}

    /**
     * Starts to discard what arrives.
     *
     * @param written the last response, as it is written
     */
    static void start(ChannelHandlerContext context, ChannelFuture written) {
        ChannelPipeline pipeline = context.pipeline();
        if (pipeline.get(Clients.GUARD) != null) {
            pipeline.addBefore(Clients.GUARD, "discard", new LingeringClose());
        }
        written.addListener(done -> closeLater(written.channel()));
    }

    private static void closeLater(Channel channel) {
        if (channel instanceof DuplexChannel && ((DuplexChannel) channel).isInputShutdown()) {
            channel.close(); // the client sends nothing any more
            return;
        }
        // TLS ends with a message, which only a complete close sends.
        if (channel instanceof DuplexChannel && channel.pipeline().get(SslHandler.class) == null) {
            ((DuplexChannel) channel).shutdownOutput();
        }
        channel.config().setAutoRead(true);
        channel.eventLoop().schedule(() -> channel.close(), SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        ReferenceCountUtil.release(message);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event instanceof ChannelInputShutdownEvent) {
            context.close();
        }
    }
}
