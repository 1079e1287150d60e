package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.LastHttpContent;

/** The body of a response that goes to a client while a worker makes it. */
final class StreamedBody {
    private final ChannelHandlerContext client;
    private long size;

    /** Begins with the head of the response. */
    StreamedBody(ChannelHandlerContext client, HttpResponse head) {
        this.client = client;
        client.write(head, client.voidPromise());
    }

    /**
     * Passes a part on, which goes out with the next {@link #flush}.
     *
     * @return whether the client reads more at once
     */
    boolean pass(ByteBuf part) {
        size += part.readableBytes();
        client.write(new DefaultHttpContent(part), client.voidPromise());
        return client.channel().isWritable();
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
