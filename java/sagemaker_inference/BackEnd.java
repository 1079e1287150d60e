package sagemaker_inference;

import com.amazonaws.ml.mms.util.ConfigManager;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An event loop's connections to the model processes, and the calls that wait for one.
 *
 * <p>Everything here happens on that loop. A connection has one call at a time; which process takes
 * it, the processes decide among themselves.
 */
final class BackEnd {
    private static final Logger LOGGER = LoggerFactory.getLogger(BackEnd.class);

    private static final int LOOK_SECONDS = 1;
    private static final int SEND_BUFFER = 1 << 20;
    // An answer in more pieces than that would be copied into one.
    private static final int MOST_PIECES = 1 << 16;

    private final EventLoop loop;
    private final DomainSocketAddress address;
    private final int queueSize;
    private final long patience;
    private final List<Connection> all = new ArrayList<>();
    // The one that was used last goes first: what it needs is in the processor's caches.
    private final ArrayDeque<Connection> idle = new ArrayDeque<>();
    private final ArrayDeque<Call> waiting = new ArrayDeque<>();
    // How many wait on all loops.
    private final AtomicInteger queued;
    private int refused;

    BackEnd(EventLoop loop, String socket, ConfigManager config, AtomicInteger queued) {
        this.loop = loop;
        this.queued = queued;
        address = new DomainSocketAddress(socket);
        queueSize = config.getJobQueueSize();
        patience = TimeUnit.SECONDS.toNanos(config.getDefaultResponseTimeoutSeconds());
    }

    /** Opens connections, and keeps as many open from then on. */
    void open(int connections) throws InterruptedException {
        for (int i = 0; i < connections; i++) {
            connect().sync();
        }
        loop.scheduleWithFixedDelay(this::look, LOOK_SECONDS, LOOK_SECONDS, TimeUnit.SECONDS);
    }

    private ChannelFuture connect() {
        return new Bootstrap()
                .group(loop)
                .channel(EpollDomainSocketChannel.class)
                .option(ChannelOption.RCVBUF_ALLOCATOR, FrontEnd.reads())
                .option(ChannelOption.SO_SNDBUF, SEND_BUFFER)
                .handler(new Connection())
                .connect(address);
    }

    private void connectAgain() {
        connect()
                .addListener(
                        connected -> {
                            if (!connected.isSuccess()) {
                                loop.schedule(this::connectAgain, LOOK_SECONDS, TimeUnit.SECONDS);
                            }
                        });
    }

    /** Has a call answered. */
    void submit(Call call) {
        Connection connection = idle.pollLast();
        while (connection != null && !connection.isOpen()) {
            connection = idle.pollLast(); // it is about to hear that it is closed
        }
        if (connection != null) {
            connection.send(call);
        } else if (queued.get() < queueSize) {
            queued.incrementAndGet();
            waiting.add(call);
        } else {
            refused++;
            call.refuse(503, "service_unavailable", queueSize + " requests wait already");
        }
    }

    /** Lets a call go whose client has gone. */
    void forget(Call call) {
        if (waiting.remove(call)) {
            queued.decrementAndGet();
            call.release();
        }
    }

    private void look() {
        if (refused > 0) {
            LOGGER.warn("{} requests got 503: {} were waiting already", refused, queueSize);
            refused = 0;
        }
        long now = System.nanoTime();
        for (Connection connection : new ArrayList<>(all)) {
            connection.look(now);
        }
    }

    private final class Connection extends ChannelInboundHandlerAdapter {
        private ChannelHandlerContext context;
        private Call call;
        private long sent;
        // What has arrived of the answer, and how much of it is needed to get further.
        private ByteBuf received;
        private int needed;

        @Override
        public void channelActive(ChannelHandlerContext context) {
            this.context = context;
            all.add(this);
            next();
        }

        boolean isOpen() {
            return context.channel().isActive();
        }

        private void next() {
            if (waiting.isEmpty() || !isOpen()) {
                idle.addLast(this);
            } else {
                queued.decrementAndGet();
                send(waiting.poll());
            }
        }

        void send(Call call) {
            this.call = call;
            sent = System.nanoTime();
            try {
                call.send(context);
            } catch (OutOfMemoryError error) {
                finish().refuse(507, "out_of_memory", "no memory is left for the request");
                next();
            }
        }

        /** The supervisor answers for a process that hangs; this is for a supervisor that does. */
        void look(long now) {
            if (call != null && now - sent > patience) {
                long seconds = TimeUnit.NANOSECONDS.toSeconds(patience);
                finish().fail(504, "prediction_timeout", "no answer within " + seconds + " s");
                context.close();
            }
        }

        private Call finish() {
            Call finished = call;
            call = null;
            return finished;
        }

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            gather(context, (ByteBuf) message);
            if (call == null) {
                throw new IllegalStateException("an answer to nobody");
            }
            if (received.readableBytes() < needed) {
                return;
            }
            Wire.Answer answer;
            try {
                answer = Wire.Answer.read(received);
            } catch (Wire.Incomplete incomplete) {
                needed = incomplete.needed;
                return;
            }
            drop();
            Call answered = finish();
            // First, since the client may have sent another that would find none idle.
            next();
            answered.answer(answer);
        }

        private void gather(ChannelHandlerContext context, ByteBuf data) {
            if (received == null) {
                received = data;
                return;
            }
            if (!(received instanceof CompositeByteBuf)) {
                CompositeByteBuf pieces = context.alloc().compositeBuffer(MOST_PIECES);
                received = pieces.addComponent(true, received);
            }
            ((CompositeByteBuf) received).addComponent(true, data);
        }

        private void drop() {
            if (received != null) {
                received.release();
                received = null;
            }
            needed = 0;
        }

        @Override
        public void channelInactive(ChannelHandlerContext context) {
            drop();
            all.remove(this);
            idle.remove(this);
            if (call != null) {
                finish().fail(500, "process_died", "the model process ended before it had answered");
            }
            loop.schedule(BackEnd.this::connectAgain, LOOK_SECONDS, TimeUnit.SECONDS);
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
            // What a closed connection says of each message that it has not sent.
            if (!(error instanceof IOException)) {
                LOGGER.error("the connection to a model process is given up", error);
            }
            if (call != null && error instanceof OutOfMemoryError) {
                finish().fail(507, "out_of_memory", "no memory is left for the answer");
            }
            context.close();
        }
    }
}
