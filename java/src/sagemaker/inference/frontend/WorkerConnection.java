package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A connection to the workers of a deployment: one request, then its answer, then the next. */
final class WorkerConnection extends ChannelInboundHandlerAdapter {
    private static final Logger LOGGER = LoggerFactory.getLogger(WorkerConnection.class);

    // An answer in more buffers would be copied into one.
    private static final int MAX_BUFFERS = 1 << 16;

    private final WorkerConnections connections;
    private ChannelHandlerContext context;
    private Invocation current;
    private long sentAt;
    // What has arrived of the answer, and how many bytes are needed to read further.
    private ByteBuf received;
    private int needed;
    // Of an answer that is a stream, once its head has been read.
    private StreamReader stream;

    WorkerConnection(WorkerConnections connections) {
        this.connections = connections;
    }

    @Override
    public void channelActive(ChannelHandlerContext context) {
        this.context = context;
        connections.onOpen(this);
    }

    boolean isOpen() {
        return context.channel().isActive();
    }

    void close() {
        context.close();
    }

    void send(Invocation invocation) {
        current = invocation;
        sentAt = System.nanoTime();
        try {
            invocation.writeTo(context);
        } catch (OutOfMemoryError error) {
            take().refuse(ErrorCode.OUT_OF_MEMORY, "No memory is left for the request");
            connections.onIdle(this);
        }
    }

    /**
     * Fails a request that was not answered in time, and keeps a stream alive that is quiet.
     *
     * <p>The supervisor replaces a worker that hangs; this is for a supervisor that hangs too.
     */
    void check(long now, Settings settings) {
        // A stream has limits of its own, which its worker keeps.
        if (stream != null && settings.heartbeatNanos > 0) {
            current.beat(now, settings.heartbeatNanos);
        } else if (current != null && stream == null && now - sentAt > settings.timeoutNanos) {
            String message = "No answer within " + settings.timeoutSeconds() + " s";
            take().fail(ErrorCode.PREDICTION_TIMEOUT, message);
            context.close();
        }
    }

    private Invocation take() {
        Invocation taken = current;
        current = null;
        return taken;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        if (stream != null) {
            readStream((ByteBuf) message);
            return;
        }
        collect(context, (ByteBuf) message);
        if (current == null) {
            throw new IllegalStateException("an answer without a request");
        }
        if (received.readableBytes() < needed) {
            return;
        }
        WorkerProtocol.Answer answer;
        try {
            if (WorkerProtocol.isStream(received)) {
                beginStream();
                return;
            }
            answer = WorkerProtocol.Answer.read(received);
        } catch (WorkerProtocol.Incomplete incomplete) {
            needed = incomplete.needed;
            return;
        }
        drop();
        Invocation answered = take();
        // Before the answer, since the client may have sent another request, which would find no
        // idle connection.
        connections.onIdle(this);
        answered.complete(answer);
    }

    private void beginStream() throws WorkerProtocol.Incomplete {
        WorkerProtocol.Head head = WorkerProtocol.Head.read(received);
        ByteBuf rest = received;
        received = null;
        needed = 0;
        stream = new StreamReader(current);
        current.begin(head, this);
        readStream(rest);
    }

    private void readStream(ByteBuf data) {
        try {
            stream.read(data);
        } finally {
            data.release();
        }
        if (stream.isOver()) {
            int status = stream.status();
            boolean isLost = stream.isLost();
            stream = null;
            resume(); // its last part may have paused it
            Invocation ended = take();
            connections.onIdle(this); // before, as above
            if (isLost && !ended.isCancelled) {
                ended.logBroken(status);
            }
            ended.onEnd(status);
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext context) {
        if (stream != null) {
            current.flush();
        }
    }

    /** Reads no more of a stream for now, since its client does not. */
    void pause() {
        context.channel().config().setAutoRead(false);
    }

    /** Reads on. */
    void resume() {
        context.channel().config().setAutoRead(true);
    }

    /** Passes on what a client says, which goes out with the next {@link #flush}. */
    void say(ByteBuf data) {
        context.write(data, context.voidPromise());
    }

    void flush() {
        context.flush();
    }

    /** Tells the worker that the client of its stream has gone; its end is still read. */
    void abandon() {
        context.writeAndFlush(WorkerProtocol.cancellation(), context.voidPromise());
        resume();
    }

    private void collect(ChannelHandlerContext context, ByteBuf data) {
        if (received == null) {
            received = data;
            return;
        }
        if (!(received instanceof CompositeByteBuf)) {
            CompositeByteBuf buffers = context.alloc().compositeBuffer(MAX_BUFFERS);
            received = buffers.addComponent(true, received);
        }
        ((CompositeByteBuf) received).addComponent(true, data);
    }

    private void drop() {
        if (received != null) {
            received.release();
            received = null;
        }
        needed = 0;
        stream = null;
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        drop();
        connections.onClosed(this, take());
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
        // A closed connection reports an IOException for each message that it has not sent.
        if (error instanceof OutOfMemoryError) {
            LOGGER.error(
                    "a worker's answer got lost, out of memory: {}. {}",
                    error.getMessage(), FatalErrors.ADVICE);
        } else if (!(error instanceof IOException)) {
            LOGGER.error("a connection to a worker is closed", error);
        }
        if (current != null && error instanceof OutOfMemoryError) {
            take().lose(ErrorCode.OUT_OF_MEMORY, "No memory is left for the answer");
        }
        context.close();
    }
}
