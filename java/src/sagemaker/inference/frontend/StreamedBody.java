package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.LastHttpContent;
import java.nio.charset.StandardCharsets;

/** The body of a response that goes to a client while a worker makes it. */
final class StreamedBody {
    private static final String EVENTS = "text/event-stream";
    // A comment, which readers of events skip.
    private static final ByteBuf HEARTBEAT =
            Unpooled.unreleasableBuffer(
                    Unpooled.copiedBuffer(": \n\n", StandardCharsets.US_ASCII));
    private static final int LF_LF = 0x0a0a;
    private static final int CR_LF_CR_LF = 0x0d0a0d0a;

    private final ChannelHandlerContext client;
    private final boolean hasEvents;
    private long size;
    // When a part was passed on last, and the four bytes that it ended with.
    private long lastAt = System.nanoTime();
    private int ending;

    /** Begins with the head of the response. */
    StreamedBody(ChannelHandlerContext client, HttpResponse head) {
        this.client = client;
        String contentType = head.headers().get(HttpHeaderNames.CONTENT_TYPE, "");
        hasEvents = contentType.startsWith(EVENTS);
        client.write(head, client.voidPromise());
    }

    /**
     * Passes a part on, which goes out with the next {@link #flush}.
     *
     * @return whether the client reads more at once
     */
    boolean pass(ByteBuf part) {
        size += part.readableBytes();
        if (hasEvents) {
            lastAt = System.nanoTime();
            remember(part);
        }
        client.write(new DefaultHttpContent(part), client.voidPromise());
        return client.channel().isWritable();
    }

    private void remember(ByteBuf part) {
        int end = part.writerIndex();
        for (int i = Math.max(part.readerIndex(), end - Integer.BYTES); i < end; i++) {
            ending = ending << Byte.SIZE | part.getUnsignedByte(i);
        }
    }

    /** Sends a comment where a stream of events has been quiet for so long, and not within one. */
    void beat(long now, long interval) {
        boolean isBetween = (ending & 0xffff) == LF_LF || ending == CR_LF_CR_LF;
        boolean isQuiet = now - lastAt >= interval && client.channel().isWritable();
        if (hasEvents && isBetween && isQuiet) {
            lastAt = now;
            size += HEARTBEAT.readableBytes();
            client.writeAndFlush(
                    new DefaultHttpContent(HEARTBEAT.duplicate()), client.voidPromise());
        }
    }

    void flush() {
        client.flush();
    }

    /** Ends it. */
    void complete() {
        client.writeAndFlush(LastHttpContent.EMPTY_LAST_CONTENT)
                .addListener(ChannelFutureListener.CLOSE_ON_FAILURE);
    }

    /** Ends it, and the connection with it, so that the client sees that a part is missing. */
    void breakOff() {
        client.writeAndFlush(HttpPipeliningHandler.BROKEN);
    }

    /** Ends the connection, since the client has gone. */
    void abandon() {
        client.close();
    }

    /** Returns how many bytes were passed on. */
    long size() {
        return size;
    }
}
