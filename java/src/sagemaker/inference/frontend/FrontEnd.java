package sagemaker.inference.frontend;

import com.amazonaws.ml.mms.ModelServer;
import com.amazonaws.ml.mms.util.ConfigManager;
import com.amazonaws.ml.mms.util.Connector;
import com.amazonaws.ml.mms.util.ConnectorType;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.handler.ssl.SslContext;
import io.netty.util.internal.logging.InternalLoggerFactory;
import io.netty.util.internal.logging.Slf4JLoggerFactory;
import java.io.IOException;
import java.security.GeneralSecurityException;

/**
 * Multi Model Server with our own handlers, directed by the supervisor.
 *
 * <p>Multi Model Server hands a request from thread to thread five times and copies its body as
 * often. Here the thread that reads a request writes it to a worker, and writes the answer back to
 * the client. Multi Model Server provides the configuration, event loops, addresses and TLS; it
 * loads no models, starts no processes and opens no management API.
 */
public final class FrontEnd extends ModelServer {
    // The supervisor writes it into the configuration.
    private static final String CONTROL_SOCKET = "control_socket";
    // Requests of up to about this size are written to a worker in one system call.
    private static final int SEND_BUFFER = 1 << 20;

    private final ConfigManager config;
    private final ControlChannel control = new ControlChannel();

    private FrontEnd(ConfigManager config) {
        super(config);
        this.config = config;
    }

    /**
     * Runs until the connection to the supervisor ends.
     *
     * @param args the path of the configuration
     */
    public static void main(String[] args) {
        FatalErrors.watchThreads(Runtime.getRuntime()::halt);
        try {
            InternalLoggerFactory.setDefaultFactory(Slf4JLoggerFactory.INSTANCE);
            new FrontEnd(configuration(args)).start().get(0).sync();
        } catch (IllegalArgumentException error) {
            System.err.println("Invalid configuration: " + error.getMessage());
        } catch (Throwable error) {
            FatalErrors.end(error, Runtime.getRuntime()::halt);
        } finally {
            System.exit(1);
        }
    }

    private static ConfigManager configuration(String[] args) {
        if (args.length != 1) {
            throw new IllegalArgumentException("the only argument is the path of a file");
        }
        ConfigManager.Arguments arguments = new ConfigManager.Arguments();
        arguments.setMmsConfigFile(args[0]);
        ConfigManager.init(arguments);
        ConfigManager config = ConfigManager.getInstance();
        if (config.getLoadModels() != null) {
            // Multi Model Server would load them before anything else is done. The variable
            // MMS_LOAD_MODELS may be why.
            throw new IllegalArgumentException("load_models is set; the supervisor loads models");
        }
        return config;
    }

    /**
     * Connects to the supervisor, which decides when the server is opened.
     *
     * @return what completes when the connection to the supervisor ends
     */
    @Override
    public ChannelFuture initializeServer(
            Connector connector, EventLoopGroup acceptors, EventLoopGroup loops, ConnectorType type)
            throws InterruptedException, IOException, GeneralSecurityException {
        if (type == ConnectorType.MANAGEMENT_CONNECTOR) {
            return control.closeFuture();
        }
        FatalErrors.watchLoops(acceptors, Runtime.getRuntime()::halt);
        FatalErrors.watchLoops(loops, Runtime.getRuntime()::halt);
        SslContext ssl = connector.isSsl() ? config.getSslContext() : null;
        Settings settings = Settings.from(config);
        control.connect(acceptors, socketPath());
        SupervisorRequests requests = new SupervisorRequests(control, settings);
        Deployments deployments =
                new Deployments(control.executor(), loops, settings, FrontEnd::workers);
        Clients clients = new Clients(ssl, settings, deployments, requests);
        ServerSocket server = new ServerSocket(connector, acceptors, loops, clients);
        control.start(
                new ControlCommands(
                        control::send, server, clients, deployments, requests, control.executor()));
        return control.closeFuture();
    }

    private String socketPath() {
        String path = config.getProperty(CONTROL_SOCKET, null);
        if (path == null) {
            throw new IllegalArgumentException(CONTROL_SOCKET + " is missing");
        }
        return path;
    }

    /** Returns a connector to the workers that listen on a socket. */
    private static WorkerConnections.Connector workers(String socket) {
        DomainSocketAddress address = new DomainSocketAddress(socket);
        return (loop, handler) ->
                new Bootstrap()
                        .group(loop)
                        .channel(EpollDomainSocketChannel.class)
                        .option(ChannelOption.RCVBUF_ALLOCATOR, Settings.readAllocator())
                        .option(ChannelOption.SO_SNDBUF, SEND_BUFFER)
                        .handler(handler)
                        .connect(address);
    }
}
