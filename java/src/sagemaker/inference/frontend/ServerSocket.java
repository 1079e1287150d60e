package sagemaker.inference.frontend;

import com.amazonaws.ml.mms.util.Connector;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import java.util.function.Consumer;

/** The socket that clients connect to. It is opened when the supervisor says so. */
final class ServerSocket {
    private static final int BACKLOG = 1024;

    private final ServerBootstrap bootstrap;
    private final Connector connector;
    // The bind, once it was tried; its result may be outstanding.
    private ChannelFuture bound;
    private boolean isClosed;

    ServerSocket(
            Connector connector,
            EventLoopGroup acceptors,
            EventLoopGroup loops,
            ChannelHandler clients) {
        this.connector = connector;
        bootstrap =
                new ServerBootstrap()
                        .group(acceptors, loops)
                        .channel(connector.getServerChannel())
                        .option(ChannelOption.SO_BACKLOG, BACKLOG)
                        .childOption(
                                ChannelOption.RCVBUF_ALLOCATOR,
                                new ReadMemory(Settings.readAllocator()))
                        // A client may end its side behind its last request (RFC 9112, 9.6).
                        .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
                        .childHandler(clients);
        if (!connector.isUds()) {
            bootstrap.childOption(ChannelOption.SO_KEEPALIVE, true);
        }
    }

    /**
     * Binds the socket, unless it is bound.
     *
     * @param done gets null, or a message about what failed
     */
    void open(Consumer<String> done) {
        if (isClosed) {
            done.accept("the server is stopping");
            return;
        }
        boolean hasFailed = bound != null && bound.isDone() && !bound.isSuccess();
        if (bound == null || hasFailed) {
            bound = bootstrap.bind(connector.getSocketAddress());
        }
        bound.addListener(opened -> done.accept(message(opened.cause())));
    }

    private static String message(Throwable error) {
        if (error == null) {
            return null;
        }
        // Netty's begins with the system call: "bind(..) failed: Address already in use".
        String message = String.valueOf(error.getMessage());
        return message.substring(message.indexOf(": ") + 1).trim();
    }

    /**
     * Stops taking connections, for good.
     *
     * @param done called when no more are taken
     */
    void close(Runnable done) {
        isClosed = true;
        if (bound == null) {
            done.run();
        } else {
            // A bind that has failed has closed its channel already.
            bound.addListener(opened -> bound.channel().close().addListener(closed -> done.run()));
        }
    }
}
