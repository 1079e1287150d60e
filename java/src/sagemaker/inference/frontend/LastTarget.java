package sagemaker.inference.frontend;

/** Who answers requests to one target, as long as the routes do not change. Immutable. */
final class LastTarget {
    /** No target. */
    static final LastTarget NONE = new LastTarget("", null, null, null);

    final Deployment deployment;
    final RouteStats stats;
    private final String uri;
    // Later routes are other objects.
    private final Routes routes;

    LastTarget(String uri, Routes routes, Deployment deployment, RouteStats stats) {
        this.uri = uri;
        this.routes = routes;
        this.deployment = deployment;
        this.stats = stats;
    }

    boolean is(String uri, Routes routes) {
        return routes == this.routes && uri.equals(this.uri);
    }
}
