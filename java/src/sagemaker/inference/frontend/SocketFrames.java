package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import java.nio.charset.StandardCharsets;

/**
 * Writes the frames of a WebSocket to a client.
 *
 * <p>A message of a worker goes out as it arrives, as one frame: none is too large for memory. What
 * the front end says itself waits for the end of a frame that has begun.
 */
final class SocketFrames {
    /** The bit that ends a message. */
    static final int LAST = 0x80;

    static final int TEXT = 1;
    static final int BINARY = 2;
    static final int CLOSE = LAST | 8;
    private static final int PING = LAST | 9;
    private static final int PONG = LAST | 10;

    private static final int MAX_CONTROL = 125;
    private static final int TWO_BYTES = 126;
    private static final int EIGHT_BYTES = 127;
    private static final int MAX_SHORT = 0xFFFF;
    private static final int MAX_HEAD = 10;
    private static final int MAX_REASON = MAX_CONTROL - Short.BYTES;

    private final ChannelHandlerContext client;
    // Bytes to come of a frame that has begun.
    private int left;
    // To be sent behind it; the last one of each counts.
    private ByteBuf pong;
    private ByteBuf closing;
    private ChannelPromise closed;
    private boolean hasEnded;
    private long size;

    SocketFrames(ChannelHandlerContext client) {
        this.client = client;
    }

    /** Returns how many bytes of messages were sent. */
    long size() {
        return size;
    }

    /** Returns whether a frame has begun and not ended. */
    boolean isInFrame() {
        return left > 0;
    }

    /** Begins a frame. */
    void begin(int first, int length) {
        if (hasEnded) {
            return;
        }
        client.write(head(first, length), client.voidPromise());
        left = length;
    }

    /** Passes a part of the frame on. */
    void pass(ByteBuf data) {
        if (left == 0) {
            data.release();
            return;
        }
        left -= data.readableBytes();
        size += data.readableBytes();
        client.write(data, client.voidPromise());
        if (left == 0) {
            writePending();
        }
    }

    private void writePending() {
        if (closing != null) {
            client.write(head(CLOSE, closing.readableBytes()), client.voidPromise());
            client.write(closing, closed);
            closing = null;
        } else if (pong != null) {
            control(PONG, pong);
            pong = null;
        }
    }

    /** Answers a ping, unless the client reads nothing. */
    void pong(ByteBuf payload) {
        if (hasEnded || !client.channel().isWritable()) {
            return;
        }
        ByteBuf copy = Unpooled.copiedBuffer(payload);
        if (left == 0) {
            control(PONG, copy);
            client.flush();
        } else {
            dropPong();
            pong = copy; // in place of an earlier one (RFC 6455, 5.5.3)
        }
    }

    /** Asks the client whether it is there. */
    void ping() {
        if (!hasEnded && left == 0) {
            control(PING, Unpooled.EMPTY_BUFFER);
            client.flush();
        }
    }

    /**
     * Ends the messages; nothing is written behind that.
     *
     * @param payload the status and the reason, or nothing; released here
     * @return when it is written, behind a frame that has begun
     */
    ChannelPromise close(ByteBuf payload) {
        hasEnded = true;
        dropPong();
        closing = payload;
        closed = client.newPromise();
        if (left == 0) {
            writePending();
            client.flush();
        }
        return closed;
    }

    /** Gives back what waits for the end of a frame that does not come. */
    void release() {
        hasEnded = true;
        left = 0;
        dropPong();
        if (closing != null) {
            closing.release();
            closing = null;
        }
    }

    private void dropPong() {
        if (pong != null) {
            pong.release();
            pong = null;
        }
    }

    private void control(int first, ByteBuf payload) {
        client.write(head(first, payload.readableBytes()), client.voidPromise());
        client.write(payload, client.voidPromise());
    }

    private ByteBuf head(int first, int length) {
        ByteBuf head = client.alloc().directBuffer(MAX_HEAD).writeByte(first);
        if (length <= MAX_CONTROL) {
            return head.writeByte(length);
        }
        if (length <= MAX_SHORT) {
            return head.writeByte(TWO_BYTES).writeShort(length);
        }
        return head.writeByte(EIGHT_BYTES).writeLong(length);
    }

    /** Returns the payload of a close frame, with as much of the reason as there is room for. */
    static ByteBuf closing(int status, String reason) {
        byte[] text = reason.getBytes(StandardCharsets.UTF_8);
        int length = Math.min(text.length, MAX_REASON);
        while (length < text.length && (text[length] & 0xC0) == LAST) {
            length--; // not in the middle of a character
        }
        return Unpooled.buffer(Short.BYTES + length).writeShort(status).writeBytes(text, 0, length);
    }

    /** Returns what a worker gets to read for a frame of its client. */
    static ByteBuf forWorker(ChannelHandlerContext context, int first, ByteBuf data) {
        int length = data.readableBytes();
        ByteBuf head = context.alloc().directBuffer(Integer.BYTES + 2);
        head.writeByte(WorkerProtocol.MESSAGE).writeInt(length + 1).writeByte(first);
        return Unpooled.wrappedBuffer(head, data.retain());
    }
}
