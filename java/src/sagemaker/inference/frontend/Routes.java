package sagemaker.inference.frontend;

import io.netty.handler.codec.http.QueryStringDecoder;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** Which deployment answers which path, at one moment. */
final class Routes {
    static final String INVOCATIONS = "/invocations";
    private static final String MODELS = "/models/";
    private static final String INVOKE = "/invoke";
    private static final String PREDICTIONS = "/predictions/";

    /** The deployment of {@link #INVOCATIONS}, or null. */
    final Deployment invocations;

    // INVOCATIONS is not among them: encoded spellings of it are not aliases.
    private final Map<String, Deployment> others = new HashMap<>();
    // Of WebSockets.
    private final Map<String, Deployment> sockets = new LinkedHashMap<>();
    // By the names of models.
    private final Map<String, Deployment> models = new HashMap<>();

    /** Collects the routes of deployments; a later deployment overrides an earlier one. */
    Routes(Collection<Deployment> deployments) {
        for (Deployment deployment : deployments) {
            deployment.sockets.routes.keySet().forEach(path -> sockets.put(path, deployment));
            for (String route : deployment.routes) {
                others.put(route, deployment);
                if (route.startsWith(MODELS) && modelOf(route) != null) {
                    models.put(modelOf(route), deployment);
                }
            }
        }
        invocations = others.remove(INVOCATIONS);
    }

    boolean isEmpty() {
        return invocations == null && others.isEmpty();
    }

    /** Returns the deployment of a decoded path for WebSockets, or null. */
    Deployment findSocket(String path) {
        return sockets.get(path);
    }

    /** Returns the paths for WebSockets. */
    Set<String> socketPaths() {
        return sockets.keySet();
    }

    /** Returns the deployment of a decoded path other than {@link #INVOCATIONS}, or null. */
    Deployment find(String path) {
        return others.get(path);
    }

    /** Returns the deployment of a model, or null. */
    Deployment findModel(String name) {
        return models.get(name);
    }

    /**
     * Returns the decoded path of a request that a program has added, or null for one that invokes
     * a model by a path of the platform.
     */
    static String pathOfProgram(String uri) {
        int query = uri.indexOf('?');
        String raw = query < 0 ? uri : uri.substring(0, query);
        if (raw.equals(INVOCATIONS) || raw.startsWith(MODELS) || raw.startsWith(PREDICTIONS)) {
            return null;
        }
        String path = raw.indexOf('%') < 0 ? raw : new QueryStringDecoder(raw).path();
        return modelOf(path) == null ? path : null;
    }

    /** Returns how metrics call a decoded path that has a deployment. */
    static String label(String path) {
        if (modelOf(path) == null) {
            return path;
        }
        return path.startsWith(MODELS) ? MODELS + "*" + INVOKE : PREDICTIONS + "*";
    }

    /** Returns the name of the model that a path invokes, or null if it invokes none. */
    static String modelOf(String path) {
        String name = "";
        if (path.startsWith(MODELS) && path.endsWith(INVOKE)) {
            int end = path.length() - INVOKE.length();
            name = path.substring(MODELS.length(), Math.max(MODELS.length(), end));
        } else if (path.startsWith(PREDICTIONS)) {
            name = path.substring(PREDICTIONS.length());
        }
        return name.isEmpty() ? null : name;
    }
}
