package sagemaker.inference.frontend;

import com.google.gson.JsonObject;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.DefaultChannelId;
import io.netty.channel.EventLoop;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.util.concurrent.EventExecutor;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** All handlers without a network: clients, workers and the supervisor are embedded channels. */
final class Bench implements SupervisorRequests.Control {
    private static final long STEP_MILLIS = 500;
    static final String RETIRING = "the model is being unloaded";
    static final int QUEUE_LIMIT = 3;
    static final int TIMEOUT_SECONDS = 20;
    static final int MAX_REQUEST_SIZE = 40_000;
    static final int PAYLOAD_LIMIT = 30_000;

    final List<EmbeddedChannel> clients = new ArrayList<>();

    /** Connections to workers, in the order in which they were opened. */
    final List<EmbeddedChannel> workers = new ArrayList<>();

    /** What was sent to the supervisor, but for access lines. */
    final List<JsonObject> sent = new ArrayList<>();

    final List<JsonObject> accessLines = new ArrayList<>();

    final Deployments deployments;
    final SupervisorRequests requests;
    final Clients handlers;
    boolean isControlWritable = true;
    boolean areClientsReading = true;
    boolean areWorkersReachable = true;
    long waitLimitNanos = Long.MAX_VALUE;
    SocketRoutes sockets = SocketRoutes.NONE;

    Bench(int clientCount) {
        this(clientCount, 100);
    }

    Bench(int clientCount, int maxConnections) {
        this(clientCount, maxConnections, new String[] {null, null, null});
    }

    Bench(int clientCount, int maxConnections, String[] cors) {
        Settings settings =
                new Settings(
                        QUEUE_LIMIT,
                        TIMEOUT_SECONDS,
                        0,
                        MAX_REQUEST_SIZE,
                        PAYLOAD_LIMIT,
                        new ClientLimits(10, 75, 60, 40, maxConnections),
                        SocketLimits.NONE,
                        cors);
        List<EventExecutor> loops = new ArrayList<>();
        for (int i = 0; i < clientCount; i++) {
            EmbeddedChannel client = new Client();
            client.freezeTime();
            clients.add(client);
            loops.add(client.eventLoop());
        }
        requests = new SupervisorRequests(this, settings);
        EventExecutor control = new EmbeddedChannel().eventLoop();
        deployments = new Deployments(control, loops, settings, path -> this::connect);
        handlers = new Clients(null, settings, deployments, requests);
        clients.forEach(client -> client.pipeline().addLast(handlers));
    }

    /** A client's connection; one that does not read keeps what is written to it in its buffer. */
    private final class Client extends EmbeddedChannel {
        Client() {
            // With ids that differ: embedded channels have the same one otherwise.
            super(DefaultChannelId.newInstance());
        }

        @Override
        protected void doWrite(ChannelOutboundBuffer data) throws Exception {
            if (areClientsReading) {
                super.doWrite(data);
            }
        }
    }

    private ChannelFuture connect(EventLoop loop, ChannelHandler handler) {
        if (!areWorkersReachable) {
            return new EmbeddedChannel().newFailedFuture(new IOException("refused"));
        }
        EmbeddedChannel worker = new EmbeddedChannel(handler);
        workers.add(worker);
        return worker.newSucceededFuture();
    }

    @Override
    public void send(JsonObject message) {
        boolean isAccess = message.get("type").getAsString().equals("access");
        (isAccess ? accessLines : sent).add(message);
    }

    @Override
    public boolean isWritable() {
        return isControlWritable;
    }

    /** Runs what handlers have put off. */
    void run() {
        for (int i = 0; i < 4; i++) {
            clients.forEach(EmbeddedChannel::runPendingTasks);
            workers.forEach(EmbeddedChannel::runPendingTasks);
        }
    }

    void advance(long millis) {
        // In steps, since what is done at intervals is done once in each.
        for (long left = millis; left > 0; left -= STEP_MILLIS) {
            long step = Math.min(left, STEP_MILLIS);
            clients.forEach(client -> client.advanceTimeBy(step, TimeUnit.MILLISECONDS));
            run();
        }
    }

    /** Deploys one connection for each client; returns null or what failed. */
    String deploy(int id, String... routes) {
        String[] result = {"not done"};
        deployments.deploy(
                id,
                "",
                clients.size(),
                List.of(routes),
                sockets,
                waitLimitNanos,
                error -> result[0] = error);
        run();
        return result[0];
    }

    /** Returns whether the deployment was retired at once. */
    boolean retire(int id) {
        boolean[] isDone = new boolean[1];
        deployments.retire(id, RETIRING, () -> isDone[0] = true);
        run();
        return isDone[0];
    }

    /** Has the first client send text; returns what it receives. */
    String send(String text) {
        return send(0, text);
    }

    String send(int client, String text) {
        EmbeddedChannel channel = clients.get(client);
        channel.writeInbound(Unpooled.copiedBuffer(text, StandardCharsets.ISO_8859_1));
        run();
        return receive(client);
    }

    /** Returns what a client has received since it was asked last. */
    String receive(int client) {
        run();
        return text(clients.get(client));
    }

    /** Returns what has been written to a channel since it was asked last. */
    static String text(EmbeddedChannel channel) {
        StringBuilder text = new StringBuilder();
        for (Object part = channel.readOutbound(); part != null; part = channel.readOutbound()) {
            ByteBuf bytes = (ByteBuf) part;
            text.append(bytes.toString(StandardCharsets.ISO_8859_1));
            bytes.release();
        }
        return text.toString();
    }

    /** Returns what was sent to a worker. */
    WorkerRequest workerRequest(int worker) {
        run();
        return new WorkerRequest(text(workers.get(worker)));
    }

    /** Has a worker answer. */
    void answer(int worker, String body) {
        ByteBuf answer = Answers.write(200, "text/plain", new String[0], body);
        workers.get(worker).writeInbound(answer);
        run();
    }

    /** Has a client end its side of the connection. */
    void halfClose(int client) {
        EmbeddedChannel channel = clients.get(client);
        channel.pipeline().fireUserEventTriggered(ChannelInputShutdownEvent.INSTANCE);
        run();
    }

    static String post(String path, String body, String... headers) {
        String more = headers.length == 0 ? "" : String.join("\r\n", headers) + "\r\n";
        return "POST "
                + path
                + " HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                + more
                + "Content-Length: "
                + body.length()
                + "\r\n\r\n"
                + body;
    }

    static String get(String path) {
        return request("GET", path);
    }

    static String request(String method, String path, String... headers) {
        String more = headers.length == 0 ? "" : String.join("\r\n", headers) + "\r\n";
        return method + " " + path + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
    }
}
