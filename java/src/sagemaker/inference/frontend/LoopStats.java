package sagemaker.inference.frontend;

import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Counts of the requests that one event loop reads; only that loop touches them. */
final class LoopStats {
    /** The path of requests to what is not served. */
    static final String OTHER = "other";

    static final String PING = "/ping";
    // Names of models come from clients: what is kept must not grow with what they load and unload.
    private static final int MAX_MODELS = 100;

    final RouteStats invocations = new RouteStats(Routes.INVOCATIONS, "");
    final RouteStats pings = new RouteStats(PING, "");
    final RouteStats others = new RouteStats(OTHER, "");
    // By path; few of them name a model.
    private final Map<String, RouteStats> paths = new LinkedHashMap<>();
    private final Map<String, Map<String, RouteStats>> models = new LinkedHashMap<>();

    /** Returns the counts of a path that the server serves. */
    RouteStats find(String path) {
        return path.equals(Routes.INVOCATIONS)
                ? invocations
                : paths.computeIfAbsent(path, name -> new RouteStats(name, ""));
    }

    /**
     * Returns the counts of a path for one of the models that are deployed.
     *
     * @param routes tells which models are still there
     */
    RouteStats find(String path, String model, Routes routes) {
        Map<String, RouteStats> ofModel = models.get(model);
        if (ofModel == null) {
            if (models.size() >= MAX_MODELS) {
                forgetModels(routes);
            }
            ofModel = new LinkedHashMap<>();
            models.put(model, ofModel);
        }
        return ofModel.computeIfAbsent(path, name -> new RouteStats(name, model));
    }

    /** Returns the counts of a path, under the name of a model if that is deployed. */
    RouteStats ofInvocation(String path, String model, Routes routes) {
        boolean isNamed = model != null && routes.findModel(model) != null;
        return isNamed ? find(path, model, routes) : find(path);
    }

    /**
     * Returns the counts of a path that is not always there.
     *
     * @param asked the path for the supervisor that it is, or null
     */
    RouteStats ofOther(String path, String asked, Routes routes) {
        String model = Routes.modelOf(path);
        if (routes.find(path) != null || asked == null && model != null) {
            return ofInvocation(Routes.label(path), model, routes);
        }
        return asked == null ? others : find(asked);
    }

    /** Returns the counts of a request that is refused whatever it asks for: those of its path. */
    RouteStats ofRefused(FullHttpRequest request, Routes routes, AskedPaths asked) {
        String uri = RequestTargetHandler.readable(request.uri());
        QueryStringDecoder target = new QueryStringDecoder(uri);
        if (Router.isPath(uri, PING)) {
            return pings;
        }
        if (Router.isPath(uri, Routes.INVOCATIONS)) {
            String model = Router.targetModel(request.headers(), Router.query(uri));
            return ofInvocation(Routes.INVOCATIONS, model, routes);
        }
        if (SocketHandshake.isAsked(request) && routes.findSocket(target.path()) != null) {
            return find(target.path());
        }
        return ofOther(target.path(), asked.find(target.rawPath()), routes);
    }

    /** Lets the counts of models that are gone be one sum. */
    private void forgetModels(Routes routes) {
        Map<String, RouteStats> sums = new LinkedHashMap<>();
        models.entrySet()
                .removeIf(
                        entry -> {
                            String model = entry.getKey();
                            boolean isGone =
                                    routes.findModel(model) == null
                                            && entry.getValue().values().stream()
                                                    .noneMatch(RouteStats::isRunning);
                            if (isGone) {
                                entry.getValue().values().forEach(stats -> addTo(sums, stats));
                            }
                            return isGone;
                        });
        models.put(OTHER, sums);
    }

    private static void addTo(Map<String, RouteStats> sums, RouteStats stats) {
        sums.computeIfAbsent(stats.path, path -> new RouteStats(path, OTHER)).add(stats);
    }

    List<RouteStats> copy() {
        List<RouteStats> copies = new ArrayList<>();
        copies.add(invocations.copy());
        copies.add(pings.copy());
        copies.add(others.copy());
        paths.values().forEach(stats -> copies.add(stats.copy()));
        models.values()
                .forEach(ofModel -> ofModel.values().forEach(stats -> copies.add(stats.copy())));
        return copies;
    }
}
