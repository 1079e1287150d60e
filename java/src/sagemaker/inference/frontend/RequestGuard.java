package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.concurrent.FastThreadLocal;
import java.util.concurrent.TimeUnit;

/**
 * Refuses requests that Netty's decoder reads otherwise than RFC 9112 does.
 *
 * <p>Where a proxy and this server disagree about the end of a request, a client can hide a second
 * one in it. The guard reads the bytes of each request before the decoder does, and passes them on
 * as they are. At the first byte that is wrong, it passes nothing more on and has the request
 * refused, in its turn, as one that cannot be read.
 *
 * <p>It also knows which part of a request a client is sending.
 */
final class RequestGuard extends ChannelInboundHandlerAdapter {
    /** What a client is sending. */
    enum Phase {
        /** Nothing: the next request has not begun. */
        NONE,
        /** The request line and the header fields. */
        HEAD,
        /** The body. */
        BODY,
        /** What is not read any more: it follows something that was refused. */
        REFUSED
    }

    /** The target of a request that cannot be read, as the decoder calls it. */
    static final String UNKNOWN_TARGET = "/bad-request";

    private static final int WINDOW_SIZE = 1024;
    private static final byte CR = '\r';
    private static final byte LF = '\n';

    private static final FastThreadLocal<byte[]> WINDOW =
            new FastThreadLocal<byte[]>() {
                @Override
                protected byte[] initialValue() {
                    return new byte[WINDOW_SIZE];
                }
            };

    private final RequestHead head = new RequestHead();
    private final ChunkedBody chunks = new ChunkedBody();
    private ChannelHandlerContext context;
    private Phase phase = Phase.NONE;
    // Of an empty line before a request, which a client may send (RFC 9112, 2.2).
    private boolean isAfterCr;
    // Bytes that have come of a body, and how many are read at most, even if they are discarded.
    private long received;
    private final long maxBody;
    // Bytes to come of a body of known length.
    private long left;
    // The decoder has got the head of the request: its body is refused in another way.
    private boolean hasPassedHead;
    private long progress;
    // Of the bytes that are being read: where they end, and which of them are in the window.
    private int end;
    private int windowStart;
    private int windowEnd;

    RequestGuard(Settings settings) {
        maxBody = settings.maxRequestSize + LingeringClose.MAX_BYTES;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        this.context = context;
    }

    Phase phase() {
        return phase;
    }

    /** Returns a number that changes when part of a body arrives, or another request begins. */
    long progress() {
        return progress;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        ByteBuf data = (ByteBuf) message;
        if (phase == Phase.REFUSED) {
            data.release();
            return;
        }
        if (ReadMemory.isReserve(data)) {
            data.release();
            refuse(context, new NoMemoryException());
            return;
        }
        int start = data.readerIndex();
        end = data.writerIndex();
        windowStart = start;
        windowEnd = start;
        int position = start;
        // Up to where the decoder may have these bytes, whatever follows: the end of a head, or
        // where the request begins that is being read.
        int passable = start;
        String problem = null;
        while (position < end && problem == null) {
            switch (phase) {
                case NONE:
                    passable = position;
                    hasPassedHead = false;
                    problem = readBeginning(data.getByte(position));
                    if (phase == Phase.NONE) {
                        position++;
                    }
                    break;
                case HEAD:
                    position = readHead(data, position);
                    problem = head.problem();
                    if (problem == null && phase == Phase.BODY) {
                        passable = position;
                        hasPassedHead = true;
                    }
                    break;
                default:
                    int next = head.isChunked() ? readChunks(data, position) : skip(position);
                    received += next - position;
                    position = next;
                    problem = received > maxBody ? "the body does not end" : chunks.problem();
                    break;
            }
        }
        if (problem == null) {
            hasPassedHead = phase == Phase.BODY;
            context.fireChannelRead(data);
            return;
        }
        ByteBuf before = data.readSlice(passable - start);
        if (before.isReadable()) {
            context.fireChannelRead(before);
        } else {
            data.release();
        }
        refuse(context, new BadRequestException(problem));
    }

    /** Has the request that is arriving refused, and reads no further. */
    private void refuse(ChannelHandlerContext context, Exception cause) {
        phase = Phase.REFUSED;
        DecoderResult failure = DecoderResult.failure(cause);
        // As the decoder itself says that it cannot read on.
        if (hasPassedHead) {
            LastHttpContent content = new DefaultLastHttpContent();
            content.setDecoderResult(failure);
            passOn(context, content);
        } else {
            FullHttpRequest request =
                    new DefaultFullHttpRequest(
                            HttpVersion.HTTP_1_0, HttpMethod.GET, UNKNOWN_TARGET);
            request.setDecoderResult(failure);
            passOn(context, request);
        }
    }

    /** Ends a body of which no byte has come for some time. */
    void expire(long nanos) {
        hasPassedHead = true;
        refuse(context, new TimeoutException(TimeUnit.NANOSECONDS.toSeconds(nanos)));
    }

    /** Reads no further, and gives back the memory of what has been read of a request. */
    void abandon() {
        if (phase != Phase.REFUSED) {
            phase = Phase.REFUSED;
            context.pipeline().remove(HttpRequestDecoder.class);
            context.pipeline().remove(RequestAggregator.class);
        }
    }

    private static void passOn(ChannelHandlerContext context, Object message) {
        context.pipeline().context(Clients.DECODER).fireChannelRead(message);
    }

    private String readBeginning(byte first) {
        if (first == LF && isAfterCr) {
            isAfterCr = false;
        } else if (isAfterCr || first == LF) {
            return "a line ends without CR LF";
        } else if (first == CR) {
            isAfterCr = true;
        } else {
            phase = Phase.HEAD;
            progress++;
            head.begin();
        }
        return null;
    }

    private int readHead(ByteBuf data, int position) {
        byte[] window = window(data, position);
        int stop = windowStart + head.read(window, position - windowStart, size());
        if (head.isComplete()) {
            progress++;
            received = 0;
            left = head.contentLength();
            if (head.isChunked()) {
                chunks.begin();
            }
            phase = head.isChunked() || left > 0 ? Phase.BODY : Phase.NONE;
        }
        return stop;
    }

    private int readChunks(ByteBuf data, int position) {
        progress++;
        int skipped = chunks.skip(end - position);
        if (skipped > 0) {
            return position + skipped;
        }
        byte[] window = window(data, position);
        int stop = windowStart + chunks.read(window, position - windowStart, size());
        if (chunks.isComplete()) {
            phase = Phase.NONE;
        }
        return stop;
    }

    /** Skips what there is of a body of known length. */
    private int skip(int position) {
        progress++;
        int size = (int) Math.min(left, end - position);
        left -= size;
        if (left == 0) {
            phase = Phase.NONE;
        }
        return position + size;
    }

    /** Returns some of the bytes from a position on; reading an array takes a third of the time. */
    private byte[] window(ByteBuf data, int position) {
        byte[] window = WINDOW.get();
        if (position >= windowEnd) {
            int size = Math.min(window.length, end - position);
            data.getBytes(position, window, 0, size);
            windowStart = position;
            windowEnd = position + size;
        }
        return window;
    }

    private int size() {
        return windowEnd - windowStart;
    }

    /** Why a request is refused; the message is for the client. */
    static final class BadRequestException extends Exception {
        private static final long serialVersionUID = 1;

        BadRequestException(String message) {
            super(message, null, false, false);
        }
    }

    /** Why a request is refused: the rest of its body does not come. */
    static final class TimeoutException extends Exception {
        private static final long serialVersionUID = 1;

        TimeoutException(long seconds) {
            super("No byte of the body came for " + seconds + " s", null, false, false);
        }
    }

    /** Why a request is refused: there is no memory to read it into. */
    static final class NoMemoryException extends Exception {
        private static final long serialVersionUID = 1;

        NoMemoryException() {
            super("No memory is left for the request", null, false, false);
        }
    }
}
