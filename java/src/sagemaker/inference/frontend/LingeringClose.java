package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
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
 * arrives is discarded: until the client closes, too, or sends nothing for a while, or for too long
 * or too much.
 */
final class LingeringClose extends ChannelInboundHandlerAdapter {
    /** The most that is discarded, in bytes. */
    static final long MAX_BYTES = 1L << 30;

    private static final int QUIET_SECONDS = 2;
    private static final int MAX_QUIET_CHECKS = 30;

    private long left = MAX_BYTES;
    private boolean isQuiet;
    private boolean isWritten;
    private int checks;

    private LingeringClose() {}

    /**
     * Starts to discard what arrives.
     *
     * @param written the last response, as it is written
     */
    static void start(ChannelHandlerContext context, ChannelFuture written) {
        LingeringClose close = new LingeringClose();
        ChannelPipeline pipeline = context.pipeline();
        if (pipeline.get(Clients.GUARD) != null) {
            pipeline.addBefore(Clients.GUARD, "discard", close);
        }
        // A client that sends before it reads must get rid of what it sends.
        context.channel().config().setAutoRead(true);
        written.addListener(done -> close.onWritten(written.channel()));
    }

    private void onWritten(Channel channel) {
        isWritten = true;
        if (isInputShut(channel)) {
            channel.close(); // the client sends nothing any more
            return;
        }
        // TLS ends with a message, which only a complete close sends.
        if (channel instanceof DuplexChannel && channel.pipeline().get(SslHandler.class) == null) {
            ((DuplexChannel) channel).shutdownOutput();
        }
        checkLater(channel);
    }

    private static boolean isInputShut(Channel channel) {
        return channel instanceof DuplexChannel && ((DuplexChannel) channel).isInputShutdown();
    }

    private void checkLater(Channel channel) {
        isQuiet = true;
        channel.eventLoop().schedule(() -> check(channel), QUIET_SECONDS, TimeUnit.SECONDS);
    }

    private void check(Channel channel) {
        checks++;
        if (isQuiet || checks == MAX_QUIET_CHECKS) {
            channel.close();
        } else if (channel.isOpen()) {
            checkLater(channel);
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        isQuiet = false;
        left -= ((ByteBuf) message).readableBytes();
        ReferenceCountUtil.release(message);
        if (left < 0) {
            context.close();
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        boolean isOver = event instanceof ChannelInputShutdownEvent || event == Clients.DRAIN;
        if (isOver && isWritten) {
            context.close();
        }
    }
}
