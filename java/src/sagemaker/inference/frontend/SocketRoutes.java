package sagemaker.inference.frontend;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** The WebSockets of a deployment: where they are, what they take, and how many are open. */
final class SocketRoutes {
    /** Those of a program without any. */
    static final SocketRoutes NONE = new SocketRoutes(0);

    private static final String SOCKETS = "sockets";

    /** By path, in the order of the program. */
    final Map<String, Route> routes = new LinkedHashMap<>();

    /** How many may be open at the same time. */
    final int places;

    /** How many are open, or wait for a worker, on all event loops. */
    final AtomicInteger open = new AtomicInteger();

    SocketRoutes(int places) {
        this.places = places;
    }

    /** What messages one of them takes. */
    static final class Route {
        final String path;

        /** The most bytes of a message, or of a fragment where fragments are passed on. */
        final int maxMessage;

        /** Whether fragments are passed on as they come. */
        final boolean isRaw;

        Route(String path, int maxMessage, boolean isRaw) {
            this.path = path;
            this.maxMessage = maxMessage;
            this.isRaw = isRaw;
        }
    }

    void add(Route route) {
        routes.put(route.path, route);
    }

    /** Reads what a deploy message says of them. */
    static SocketRoutes from(JsonObject message) {
        if (!message.has(SOCKETS)) {
            return NONE;
        }
        SocketRoutes sockets = new SocketRoutes(message.get("places").getAsInt());
        for (JsonElement element : message.getAsJsonArray(SOCKETS)) {
            JsonObject socket = element.getAsJsonObject();
            sockets.add(
                    new Route(
                            socket.get("path").getAsString(),
                            socket.get("max_message").getAsInt(),
                            socket.get("raw").getAsBoolean()));
        }
        return sockets;
    }
}
