package sagemaker.inference.frontend;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * The deployments by their ids.
 *
 * <p>They change on one thread, {@code control}. Requests see an immutable {@link Routes} and take
 * no lock.
 */
final class Deployments {
    private final EventExecutor control;
    private final List<EventLoop> loops = new ArrayList<>();
    private final Settings settings;
    private final Function<String, WorkerConnections.Connector> connectors;
    // In the order of their deploy messages; those that are connecting or retiring, too.
    private final Map<Integer, Deployment> all = new LinkedHashMap<>();
    private volatile Routes routes = new Routes(List.of());
    private volatile boolean isOne;

    /**
     * Creates the table, empty.
     *
     * @param loops the clients' event loops
     * @param connectors returns a connector to the socket of a path
     */
    Deployments(
            EventExecutor control,
            Iterable<EventExecutor> loops,
            Settings settings,
            Function<String, WorkerConnections.Connector> connectors) {
        this.control = control;
        this.settings = settings;
        this.connectors = connectors;
        loops.forEach(loop -> this.loops.add((EventLoop) loop));
    }

    Routes routes() {
        return routes;
    }

    /** Says that there is one model, which is being loaded, and whose paths are not known yet. */
    void expectOne() {
        isOne = true;
    }

    /** Refuses a request to {@link Routes#INVOCATIONS}, which no deployment answers. */
    void refuseInvocation(Exchange exchange) {
        if (routes.isEmpty()) {
            refuseYet(exchange);
        } else if (isOne) {
            String message =
                    "There is nothing at "
                            + Routes.INVOCATIONS
                            + ": the program has no @predictor without a path";
            exchange.refuse(ErrorCode.NOT_FOUND, message);
        } else {
            String message =
                    "Name a model: POST /models/NAME/invoke, or send the header "
                            + Router.MODEL_HEADER;
            exchange.refuse(ErrorCode.BAD_REQUEST, message);
        }
    }

    /** Refuses a request to another path that nothing answers, decoded. */
    void refusePath(Exchange exchange, String path) {
        if (isOne && routes.isEmpty()) {
            refuseYet(exchange);
        } else {
            exchange.refuse(ErrorCode.NOT_FOUND, "There is nothing at " + path);
        }
    }

    private static void refuseYet(Exchange exchange) {
        String message = "No model is loaded yet";
        exchange.refuse(ErrorCode.SERVICE_UNAVAILABLE, message, Router.retryLater());
    }

    /**
     * Connects to workers and then routes requests to them.
     *
     * @param waitLimitNanos how long a request may wait for a worker
     * @param done gets null when the routes are live, or what failed; then nothing is left open
     */
    void deploy(
            int id,
            String socket,
            int connections,
            List<String> paths,
            SocketRoutes sockets,
            long waitLimitNanos,
            Consumer<String> done) {
        if (all.containsKey(id)) {
            done.accept("deployment " + id + " exists already");
            return;
        }
        Deployment deployment =
                new Deployment(
                        control,
                        loops,
                        connectors.apply(socket),
                        settings,
                        waitLimitNanos,
                        paths,
                        sockets);
        all.put(id, deployment);
        deployment
                .open(connections)
                .addListener(
                        opened -> onOpened(id, deployment, message(socket, opened.cause()), done));
    }

    private static String message(String socket, Throwable failure) {
        if (failure == null) {
            return null;
        }
        // Netty's exception for a path that does not exist has no message.
        String message = failure.getMessage() == null ? "no such socket" : failure.getMessage();
        return "cannot connect to " + socket + ": " + message;
    }

    private void onOpened(int id, Deployment deployment, String failure, Consumer<String> done) {
        if (deployment.isRetiring()) {
            done.accept("deployment " + id + " is retired already");
        } else if (failure == null) {
            deployment.goLive();
            publish();
            done.accept(null);
        } else {
            retire(id, failure, () -> done.accept(failure));
        }
    }

    /**
     * Takes the routes of a deployment away, then closes its connections.
     *
     * @param cause why, for clients whose requests are refused
     * @param done called when none of them is open
     */
    void retire(int id, String cause, Runnable done) {
        Deployment deployment = all.get(id);
        if (deployment == null) {
            done.run();
            return;
        }
        boolean isFirst = !deployment.isRetiring();
        Future<Void> retired = deployment.retire(cause);
        if (isFirst) {
            publish();
            retired.addListener(ended -> all.remove(id));
        }
        retired.addListener(ended -> done.run());
    }

    /** Lets requests see the change: each of them sees the routes before it or those after it. */
    private void publish() {
        List<Deployment> live = new ArrayList<>(all.values());
        live.removeIf(deployment -> !deployment.isLive());
        routes = new Routes(live);
    }
}
