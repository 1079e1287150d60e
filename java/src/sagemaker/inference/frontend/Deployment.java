package sagemaker.inference.frontend;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.Promise;
import io.netty.util.concurrent.PromiseCombiner;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** The workers of one model, as the event loops reach them. */
final class Deployment {
    final List<String> routes;
    final SocketRoutes sockets;
    private final EventExecutor control;
    private final Map<EventLoop, WorkerConnections> connections = new HashMap<>();
    private boolean isLive;
    private Promise<Void> retired;

    /**
     * Creates a deployment without connections.
     *
     * @param control where the methods are called, and their results are reported
     * @param waitLimitNanos how long a request may wait for a worker
     */
    Deployment(
            EventExecutor control,
            List<EventLoop> loops,
            WorkerConnections.Connector connector,
            Settings settings,
            long waitLimitNanos,
            List<String> routes,
            SocketRoutes sockets) {
        this.control = control;
        this.routes = routes;
        this.sockets = sockets;
        AtomicInteger queued = new AtomicInteger();
        for (EventLoop loop : loops) {
            connections.put(
                    loop, new WorkerConnections(loop, connector, settings, waitLimitNanos, queued));
        }
    }

    /** Returns the connections of an event loop; may be called on any. */
    WorkerConnections on(EventLoop loop) {
        return connections.get(loop);
    }

    /** Opens about this many connections, at least one on each event loop. */
    Future<Void> open(int count) {
        Promise<Void> opened = control.newPromise();
        PromiseCombiner all = new PromiseCombiner(control);
        int left = count;
        int loopsLeft = connections.size();
        for (WorkerConnections ofLoop : connections.values()) {
            // A loop without a connection could not answer its clients.
            int share = Math.max(1, left / loopsLeft);
            all.add((Future<?>) ofLoop.open(share));
            left -= share;
            loopsLeft--;
        }
        all.finish(opened);
        return opened;
    }

    /** Returns whether requests are routed to it. */
    boolean isLive() {
        return isLive;
    }

    void goLive() {
        isLive = true;
    }

    boolean isRetiring() {
        return retired != null;
    }

    /**
     * Closes each connection when it is idle; completes when none is open.
     *
     * @param cause why, for clients whose requests are refused
     */
    Future<Void> retire(String cause) {
        isLive = false;
        if (retired == null) {
            retired = control.newPromise();
            PromiseCombiner all = new PromiseCombiner(control);
            connections.values().forEach(ofLoop -> all.add((Future<?>) ofLoop.retire(cause)));
            all.finish(retired);
        }
        return retired;
    }
}
