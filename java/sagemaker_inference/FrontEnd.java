package sagemaker_inference;

import com.amazonaws.ml.mms.ModelServer;
import com.amazonaws.ml.mms.ServerInitializer;
import com.amazonaws.ml.mms.servingsdk.impl.PluginsManager;
import com.amazonaws.ml.mms.util.ConfigManager;
import com.amazonaws.ml.mms.util.Connector;
import com.amazonaws.ml.mms.util.ConnectorType;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.AdaptiveRecvByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.ssl.SslContext;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.internal.logging.InternalLoggerFactory;
import io.netty.util.internal.logging.Slf4JLoggerFactory;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.apache.commons.cli.DefaultParser;
import org.apache.commons.cli.ParseException;

/**
 * Multi Model Server, with a shorter way for requests to the one model that is served.
 *
 * <p>It hands a request from thread to thread five times and copies its body as often. Here the
 * thread that has read a request writes it to a model process, and writes the answer back to the
 * client ({@link Invocations}, {@link BackEnd}). Where many models are served, requests go its own
 * way, and {@link ModelAnswers} completes what it says about loading and unloading.
 */
public final class FrontEnd extends ModelServer {
    // Names in the configuration; the supervisor writes it (frontend.py).
    private static final String SOCKET = "back_end_socket";
    private static final String CONNECTIONS = "back_end_connections";
    private static final String MODELS = "models_folder";

    // Netty's own limits for a request line and for headers.
    private static final int MAX_LINE = 4096;
    private static final int MAX_HEADERS = 8192;
    // What is read at a time: a body of megabytes in few pieces, a small one into little memory.
    private static final int LEAST_READ = 512;
    private static final int FIRST_READ = 2048;
    private static final int MOST_READ = 1 << 18;
    private static final int BACKLOG = 1024;

    private final ConfigManager config;

    private FrontEnd(ConfigManager config) {
        super(config);
        this.config = config;
    }

    /**
     * Runs until the process is killed.
     *
     * @param args those of Multi Model Server
     */
    public static void main(String[] args) {
        try {
            ConfigManager.init(arguments(args));
            PluginsManager.getInstance().initialize();
            InternalLoggerFactory.setDefaultFactory(Slf4JLoggerFactory.INSTANCE);
            new FrontEnd(ConfigManager.getInstance()).startAndWait();
        } catch (IllegalArgumentException | ParseException error) {
            System.err.println("Invalid configuration: " + error.getMessage());
        } catch (Throwable error) {
            error.printStackTrace();
        } finally {
            System.exit(1);
        }
    }

    private static ConfigManager.Arguments arguments(String[] args) throws ParseException {
        DefaultParser parser = new DefaultParser();
        return new ConfigManager.Arguments(
                parser.parse(ConfigManager.Arguments.getOptions(), args, null, false));
    }

    /** How reads are sized, for clients and model processes alike. */
    static RecvByteBufAllocator reads() {
        return new AdaptiveRecvByteBufAllocator(LEAST_READ, FIRST_READ, MOST_READ);
    }

    @Override
    public ChannelFuture initializeServer(
            Connector connector, EventLoopGroup acceptors, EventLoopGroup loops, ConnectorType type)
            throws InterruptedException, IOException, GeneralSecurityException {
        if (type == ConnectorType.MANAGEMENT_CONNECTOR) {
            return super.initializeServer(connector, acceptors, loops, type);
        }
        ServerBootstrap server =
                new ServerBootstrap()
                        .group(acceptors, loops)
                        .channel(connector.getServerChannel())
                        .option(ChannelOption.SO_BACKLOG, BACKLOG)
                        .childOption(ChannelOption.SO_KEEPALIVE, true)
                        .childOption(ChannelOption.RCVBUF_ALLOCATOR, reads());
        SslContext ssl = connector.isSsl() ? config.getSslContext() : null;
        Replies replies = new Replies(config);
        server.childHandler(new Client(ssl, type, new Target(replies), handlers(loops, replies)));
        return server.bind(connector.getSocketAddress()).sync().channel().closeFuture();
    }

    /** What stands before Multi Model Server's own handler, for a client on an event loop. */
    private Function<EventLoop, ChannelHandler> handlers(
            EventLoopGroup loops, Replies replies) throws InterruptedException {
        String models = config.getProperty(MODELS, null);
        if (models != null) {
            WorkerThreads.use();
            Set<ModelAnswers> all = ConcurrentHashMap.newKeySet();
            return loop -> new ModelAnswers(Path.of(models), all);
        }
        String socket = config.getProperty(SOCKET, null);
        int connections = Integer.parseInt(config.getProperty(CONNECTIONS, null));
        AtomicInteger queued = new AtomicInteger();
        Map<EventExecutor, BackEnd> backEnds = new HashMap<>();
        for (EventExecutor loop : loops) {
            backEnds.put(loop, new BackEnd((EventLoop) loop, socket, config, queued));
        }
        int left = connections;
        int loopsLeft = backEnds.size();
        for (BackEnd backEnd : backEnds.values()) {
            // Each loop needs one, or its clients would wait for ever.
            int share = Math.max(1, left / loopsLeft);
            backEnd.open(share);
            left -= share;
            loopsLeft--;
        }
        return loop -> new Invocations(backEnds.get(loop), replies);
    }

    /** Sets a client's connection up. */
    private static final class Client extends ServerInitializer {
        private final Target target;
        private final Function<EventLoop, ChannelHandler> handlers;

        Client(
                SslContext ssl,
                ConnectorType type,
                Target target,
                Function<EventLoop, ChannelHandler> handlers) {
            super(ssl, type);
            this.target = target;
            this.handlers = handlers;
        }

        @Override
        public void initChannel(Channel channel) {
            super.initChannel(channel);
            ChannelPipeline pipeline = channel.pipeline();
            pipeline.replace("http", "http", new HttpServerCodec(MAX_LINE, MAX_HEADERS, MOST_READ));
            pipeline.addBefore("handler", "in turn", new InTurn());
            pipeline.addBefore("handler", "target", target);
            pipeline.addBefore("handler", "ours", handlers.apply(channel.eventLoop()));
        }
    }
}
