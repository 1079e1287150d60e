package sagemaker.inference.frontend;

import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.Promise;
import io.netty.util.concurrent.PromiseCombiner;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An event loop's connections to the workers of a deployment, and the requests that wait for one.
 *
 * <p>Everything but {@link #open} and {@link #retire} is called on that loop. A connection carries
 * one request at a time; the workers decide among themselves which of them takes it.
 */
final class WorkerConnections {
    private static final Logger LOGGER = LoggerFactory.getLogger(WorkerConnections.class);

    private static final int CHECK_SECONDS = 1;
    private static final int RECONNECT_SECONDS = 1;

    /** Connects to the workers' socket. */
    interface Connector {
        ChannelFuture connect(EventLoop loop, ChannelHandler handler);
    }

    final EventLoop loop;
    private final Connector connector;
    private final Settings settings;
    private final long waitLimitNanos;
    private final List<WorkerConnection> all = new ArrayList<>();
    // The one that was used last is used first: what it needs is in the processor's caches.
    private final ArrayDeque<WorkerConnection> idle = new ArrayDeque<>();
    private final ArrayDeque<Invocation> waiting = new ArrayDeque<>();
    // Of clients that send nothing any more: most of them have gone, and some wait for an answer.
    // They take no place in the queue, and are answered when nobody else waits.
    private final ArrayDeque<Invocation> yielding = new ArrayDeque<>();
    // How many requests wait on all loops.
    private final AtomicInteger queued;
    private final Promise<Void> retired;
    private ScheduledFuture<?> checks;
    private int connecting;
    private int refused;
    // For clients whose requests are refused; null until then.
    private String whyRetiring;

    /**
     * Creates the connections, none of them open.
     *
     * @param waitLimitNanos how long a request may wait for a worker
     */
    WorkerConnections(
            EventLoop loop,
            Connector connector,
            Settings settings,
            long waitLimitNanos,
            AtomicInteger queued) {
        this.loop = loop;
        this.connector = connector;
        this.settings = settings;
        this.waitLimitNanos = waitLimitNanos;
        this.queued = queued;
        retired = loop.newPromise();
    }

    /**
     * Opens connections and keeps that many open from then on.
     *
     * @return what completes when all are open, or one of them could not be opened
     */
    Future<Void> open(int connections) {
        Promise<Void> opened = loop.newPromise();
        loop.execute(
                () -> {
                    PromiseCombiner all = new PromiseCombiner(loop);
                    for (int i = 0; i < connections; i++) {
                        all.add((Future<?>) connect());
                    }
                    all.finish(opened);
                    checks =
                            loop.scheduleWithFixedDelay(
                                    this::check, CHECK_SECONDS, CHECK_SECONDS, TimeUnit.SECONDS);
                });
        return opened;
    }

    private ChannelFuture connect() {
        connecting++;
        return connector
                .connect(loop, new WorkerConnection(this))
                // Afterwards, since a connection becomes active only when listeners have run.
                .addListener(connected -> loop.execute(this::onConnected));
    }

    private void onConnected() {
        connecting--;
        finishRetiring();
    }

    private static String capitalized(String text) {
        return text.isEmpty() ? text : Character.toUpperCase(text.charAt(0)) + text.substring(1);
    }

    private void reconnectLater() {
        loop.schedule(
                () -> {
                    if (!isRetiring()) {
                        connect()
                                .addListener(
                                        connected -> {
                                            if (!connected.isSuccess()) {
                                                reconnectLater();
                                            }
                                        });
                    }
                },
                RECONNECT_SECONDS,
                TimeUnit.SECONDS);
    }

    /**
     * Refuses the requests that wait, lets workers answer those that they have, and closes the
     * connections.
     *
     * @param cause why, for clients whose requests are refused
     * @return what completes when no connection is open
     */
    Future<Void> retire(String cause) {
        loop.execute(
                () -> {
                    // As the supervisor words it for requests that workers have lost.
                    whyRetiring = capitalized(cause) + ". Send the request again later.";
                    while (hasWaiting()) {
                        takeWaiting().refuse(ErrorCode.SERVICE_UNAVAILABLE, whyRetiring);
                    }
                    // Closing one takes it out of the list.
                    new ArrayList<>(idle).forEach(WorkerConnection::close);
                    finishRetiring();
                });
        return retired;
    }

    private boolean isRetiring() {
        return whyRetiring != null;
    }

    private void finishRetiring() {
        if (isRetiring() && all.isEmpty() && connecting == 0) {
            if (checks != null) {
                checks.cancel(false);
            }
            retired.trySuccess(null);
        }
    }

    /** Has a worker answer a request. */
    void submit(Invocation invocation) {
        WorkerConnection connection = idle.pollLast();
        while (connection != null && !connection.isOpen()) {
            connection = idle.pollLast(); // it is about to be told that it is closed
        }
        if (connection != null) {
            connection.send(invocation);
        } else if (isRetiring()) {
            invocation.refuse(ErrorCode.SERVICE_UNAVAILABLE, whyRetiring);
        } else if (invocation.isYielding()) {
            addYielding(invocation);
        } else if (queued.get() < settings.queueLimit) {
            queued.incrementAndGet();
            waiting.add(invocation);
        } else {
            refuseForQueue(invocation);
        }
    }

    /** Drops a request whose client has disconnected, if no worker has it. */
    void forget(Invocation invocation) {
        if (waiting.remove(invocation)) {
            queued.decrementAndGet();
            invocation.release();
        } else if (yielding.remove(invocation)) {
            invocation.release();
        }
    }

    /** Lets a request wait behind all others, if no worker has it. */
    void giveWay(Invocation invocation) {
        if (waiting.remove(invocation)) {
            queued.decrementAndGet();
            addYielding(invocation);
        }
    }

    private void addYielding(Invocation invocation) {
        if (yielding.size() >= settings.queueLimit) {
            refuseForQueue(yielding.poll());
        }
        yielding.add(invocation);
    }

    private void refuseForQueue(Invocation invocation) {
        refused++;
        String message = "The queue is full: " + settings.queueLimit + " request(s) are waiting";
        invocation.refuse(ErrorCode.SERVICE_UNAVAILABLE, message);
    }

    private boolean hasWaiting() {
        return !waiting.isEmpty() || !yielding.isEmpty();
    }

    private Invocation takeWaiting() {
        if (waiting.isEmpty()) {
            return yielding.poll();
        }
        queued.decrementAndGet();
        return waiting.poll();
    }

    private void check() {
        if (refused > 0) {
            LOGGER.warn(
                    "{} request(s) got 503: the queue was full, which may hold {} "
                            + "(SAGEMAKER_MAX_QUEUE_SIZE)",
                    refused, settings.queueLimit);
            refused = 0;
        }
        while (!waiting.isEmpty() && waiting.peek().age() > waitLimitNanos) {
            takeWaiting().refuse(ErrorCode.PREDICTION_TIMEOUT, waitedTooLong());
        }
        // They are not in the order of their arrival.
        for (Invocation invocation : new ArrayList<>(yielding)) {
            if (invocation.age() > waitLimitNanos && yielding.remove(invocation)) {
                invocation.refuse(ErrorCode.PREDICTION_TIMEOUT, waitedTooLong());
            }
        }
        long now = System.nanoTime();
        for (WorkerConnection connection : new ArrayList<>(all)) {
            connection.check(now, settings);
        }
    }

    private String waitedTooLong() {
        return "No worker took the request within "
                + TimeUnit.NANOSECONDS.toSeconds(waitLimitNanos)
                + " s";
    }

    void onOpen(WorkerConnection connection) {
        all.add(connection);
        onIdle(connection);
    }

    /** Gives a connection the request that has waited longest. */
    void onIdle(WorkerConnection connection) {
        if (!hasWaiting() || !connection.isOpen()) {
            idle.addLast(connection);
            if (isRetiring()) {
                connection.close();
            }
        } else {
            connection.send(takeWaiting());
        }
    }

    /** Fails the request of a connection that broke, if it has one, and replaces the connection. */
    void onClosed(WorkerConnection connection, Invocation lost) {
        all.remove(connection);
        idle.remove(connection);
        if (lost != null && isRetiring()) {
            lost.lose(ErrorCode.SERVICE_UNAVAILABLE, whyRetiring);
        } else if (lost != null && lost.age() > waitLimitNanos) {
            // The supervisor closes a connection whose request no worker takes.
            lost.lose(ErrorCode.PREDICTION_TIMEOUT, waitedTooLong());
        } else if (lost != null) {
            lost.lose(ErrorCode.PROCESS_DIED, "The worker ended before it had answered");
        }
        if (isRetiring()) {
            finishRetiring();
        } else {
            reconnectLater();
        }
    }
}
