package sagemaker.inference.frontend;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.EventLoop;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.HttpResponseEncoder;
import io.netty.handler.ssl.SslContext;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * Sets up the connections of clients, and keeps what their handlers share.
 *
 * <p>Its methods may be called on any thread.
 */
@ChannelHandler.Sharable
final class Clients extends ChannelInitializer<Channel> {
    /** Event for the handlers of a connection: the server is stopping, close it if it is idle. */
    static final Object DRAIN = new Object();

    /** Event for the handlers of a connection: the client sends no further requests. */
    static final Object NO_MORE = new Object();

    /** The name of the first handler that knows HTTP. */
    static final String GUARD = "guard";

    static final String DECODER = "decoder";

    /** The name of the last handler. */
    static final String ROUTER = "router";

    private static final String ENCODER = "encoder";
    private static final String AGGREGATOR = "aggregator";
    private static final String PIPELINING = "pipelining";
    private static final String TARGET = "target";

    /** The names of the others that know HTTP. */
    static final List<String> HTTP = List.of(DECODER, ENCODER, AGGREGATOR, PIPELINING, TARGET);

    // Requests that were sent just before the server stops are still answered.
    private static final long GRACE_MILLIS = 50;

    private final SslContext ssl;
    private final Settings settings;
    private final Responses responses;
    private final RequestTargetHandler targets = new RequestTargetHandler();
    private final Deployments deployments;
    private final SupervisorRequests requests;
    private final AccessLog accessLog;
    private final Stats stats = new Stats();
    private final ClientCounts counts;
    private final Map<EventLoop, LoopClients> perLoop = new ConcurrentHashMap<>();
    private final ChannelGroup connected = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);
    private final List<Runnable> whenDrained = new ArrayList<>();
    private volatile Health health = Health.UNKNOWN;
    private volatile boolean isDraining;

    /**
     * Creates the handlers' shared state.
     *
     * @param ssl null for plain HTTP
     */
    Clients(
            SslContext ssl,
            Settings settings,
            Deployments deployments,
            SupervisorRequests requests) {
        this.ssl = ssl;
        this.settings = settings;
        this.deployments = deployments;
        this.requests = requests;
        counts = new ClientCounts(settings.clientLimits);
        responses = new Responses(settings);
        accessLog = new AccessLog(requests.control());
    }

    @Override
    protected void initChannel(Channel channel) {
        ChannelPipeline pipeline = channel.pipeline();
        if (ssl != null) {
            pipeline.addLast("ssl", ssl.newHandler(channel.alloc()));
        }
        RequestGuard guard = new RequestGuard(settings);
        pipeline.addLast(GUARD, guard);
        pipeline.addLast(
                DECODER,
                new HttpRequestDecoder(
                        Settings.MAX_REQUEST_LINE,
                        Settings.MAX_HEADERS,
                        Settings.MAX_READ,
                        false)); // the guard has validated the fields
        pipeline.addLast(ENCODER, new HttpResponseEncoder());
        pipeline.addLast(AGGREGATOR, new RequestAggregator(settings));
        HttpPipeliningHandler pipelining = new HttpPipeliningHandler(this);
        pipeline.addLast(PIPELINING, pipelining);
        pipeline.addLast(TARGET, targets);
        LoopClients neighbours = on(channel.eventLoop());
        ClientWatch watch =
                new ClientWatch(
                        channel,
                        guard,
                        pipelining,
                        settings.clientLimits,
                        neighbours,
                        counts,
                        neighbours.makeRoom());
        pipeline.addLast(ROUTER, new Router(this, channel.eventLoop(), watch));
        connected.add(channel);
        neighbours.add(watch);
        channel.closeFuture()
                .addListener(
                        closed -> {
                            neighbours.remove(watch);
                            onClosed();
                        });
        if (watch.isOverLimit()) {
            List<LoopClients> others = new ArrayList<>(perLoop.values());
            others.remove(neighbours);
            // Its requests wait, which would be refused before there is room.
            channel.config().setAutoRead(false);
            makeRoom(channel, others.iterator());
        }
        if (isDraining) {
            drain(channel);
        }
    }

    /** Has other event loops close an idle connection for a client; its own has none. */
    private void makeRoom(Channel channel, Iterator<LoopClients> others) {
        if (counts.isFull() && others.hasNext()) {
            LoopClients next = others.next();
            next.loop()
                    .execute(
                            () -> {
                                // There may be room by now.
                                if (counts.isFull()) {
                                    next.closeIdle();
                                }
                                makeRoom(channel, others);
                            });
        } else {
            channel.eventLoop().execute(() -> channel.config().setAutoRead(true));
        }
    }

    private LoopClients on(EventLoop loop) {
        return perLoop.computeIfAbsent(
                loop, unused -> new LoopClients(loop, counts));
    }

    Settings settings() {
        return settings;
    }

    Responses responses() {
        return responses;
    }

    Deployments deployments() {
        return deployments;
    }

    SupervisorRequests supervisorRequests() {
        return requests;
    }

    AccessLog accessLog() {
        return accessLog;
    }

    Stats stats() {
        return stats;
    }

    Health health() {
        return health;
    }

    void setHealth(Health health) {
        this.health = health;
    }

    /** Returns whether the server is stopping: each answer closes its connection then. */
    boolean isDraining() {
        return isDraining;
    }

    /**
     * Closes connections that are idle, and the others behind their answers.
     *
     * @param done called, on any thread, when none is left
     */
    void drain(Runnable done) {
        isDraining = true;
        connected.forEach(this::drain);
        // Not before: a connection that was just accepted may not be among them yet.
        GlobalEventExecutor.INSTANCE.schedule(
                () -> {
                    synchronized (whenDrained) {
                        whenDrained.add(done);
                    }
                    onClosed();
                },
                GRACE_MILLIS,
                TimeUnit.MILLISECONDS);
    }

    private void drain(Channel channel) {
        EventLoop loop = channel.eventLoop();
        loop.schedule(
                () -> channel.pipeline().fireUserEventTriggered(DRAIN),
                GRACE_MILLIS,
                TimeUnit.MILLISECONDS);
    }

    private void onClosed() {
        if (!isDraining || !connected.isEmpty()) {
            return;
        }
        List<Runnable> drained;
        synchronized (whenDrained) {
            drained = new ArrayList<>(whenDrained);
            whenDrained.clear();
        }
        drained.forEach(Runnable::run);
    }
}
