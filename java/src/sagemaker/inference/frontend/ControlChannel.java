package sagemaker.inference.frontend;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.handler.codec.LineBasedFrameDecoder;
import io.netty.util.concurrent.EventExecutor;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The connection to the supervisor: a JSON object a line, in both directions. */
final class ControlChannel implements SupervisorRequests.Control {
    private static final Logger LOGGER = LoggerFactory.getLogger(ControlChannel.class);

    private static final int MAX_LINE = 16 << 20;
    /** Characters of a message in the log. */
    private static final int MAX_SHOWN = 200;
    // A chunk has PAGE << CHUNK_ORDER bytes: 1 MiB.
    private static final int PAGE = 8192;
    private static final int CHUNK_ORDER = 7;
    // When more waits to be read by the supervisor, no further requests are sent to it.
    private static final WriteBufferWaterMark BACKLOG = new WriteBufferWaterMark(1 << 20, 1 << 22);

    // Holds a chunk that is never freed: when request bodies use up the memory for buffers,
    // messages still have room. Netty closes a connection that it has no memory to read from, and
    // the end of this one ends the server.
    private final PooledByteBufAllocator allocator =
            new PooledByteBufAllocator(true, 0, 1, PAGE, CHUNK_ORDER, 0, 0, false);
    private final ByteBuf reserve = allocator.directBuffer(1);
    private Channel channel;

    /** Creates a message of a type. */
    static JsonObject message(String type) {
        JsonObject message = new JsonObject();
        message.addProperty("type", type);
        return message;
    }

    /** Creates a message about something that has a number. */
    static JsonObject message(String type, long id) {
        JsonObject message = message(type);
        message.addProperty("id", id);
        return message;
    }

    /**
     * Connects; called once.
     *
     * @param loops one of them reads the messages
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    void connect(EventLoopGroup loops, String socket) throws InterruptedException {
        channel =
                new Bootstrap()
                        .group(loops)
                        .channel(EpollDomainSocketChannel.class)
                        .option(ChannelOption.ALLOCATOR, allocator)
                        .option(ChannelOption.WRITE_BUFFER_WATER_MARK, BACKLOG)
                        .option(ChannelOption.AUTO_READ, false)
                        .handler(lines(MAX_LINE))
                        .connect(new DomainSocketAddress(socket))
                        .sync()
                        .channel();
        JsonObject hello = message("hello");
        hello.addProperty("pid", ProcessHandle.current().pid());
        hello.addProperty("version", "Java " + Runtime.version());
        send(hello);
    }

    /** Returns a decoder that splits messages and fails as soon as one is too long. */
    static LineBasedFrameDecoder lines(int maxLength) {
        return new LineBasedFrameDecoder(maxLength, true, true);
    }

    /** Starts to read messages. */
    void start(Consumer<JsonObject> receiver) {
        channel.pipeline().addLast(new Reader(receiver));
        channel.config().setAutoRead(true);
    }

    /** Returns the event loop on which messages are received. */
    EventExecutor executor() {
        return channel.eventLoop();
    }

    /** Sends a message, from any thread. */
    @Override
    public void send(JsonObject message) {
        ByteBuf line = ByteBufUtil.writeUtf8(channel.alloc(), message + "\n");
        channel.writeAndFlush(line, channel.voidPromise());
    }

    @Override
    public boolean isWritable() {
        return channel.isWritable();
    }

    ChannelFuture closeFuture() {
        return channel.closeFuture();
    }

    /** Reads a line as a message. */
    static final class Reader extends SimpleChannelInboundHandler<ByteBuf> {
        private final Consumer<JsonObject> receiver;

        Reader(Consumer<JsonObject> receiver) {
            this.receiver = receiver;
        }

        @Override
        protected void channelRead0(ChannelHandlerContext context, ByteBuf line) {
            String text = line.toString(StandardCharsets.UTF_8);
            try {
                receiver.accept(JsonParser.parseString(text).getAsJsonObject());
            } catch (RuntimeException error) {
                // The supervisor may wait for an answer that would never come. The end of this
                // connection ends the server, which the supervisor notices.
                LOGGER.error("cannot carry out {}", shortened(text), error);
                context.close();
            }
        }

        private static String shortened(String text) {
            return text.length() <= MAX_SHOWN ? text : text.substring(0, MAX_SHOWN) + "...";
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
            if (error instanceof OutOfMemoryError) {
                FatalErrors.end(error, exit -> context.close());
            } else {
                LOGGER.error("the connection to the supervisor failed", error);
                context.close();
            }
        }
    }
}
