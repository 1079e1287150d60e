package sagemaker.inference.frontend;

/** A place of a WebSocket among those that the workers of a deployment have. */
final class SocketPlace {
    private final SocketRoutes sockets;
    private boolean isTaken;

    SocketPlace(SocketRoutes sockets) {
        this.sockets = sockets;
    }

    /** Takes one, and returns whether there was one. */
    boolean take() {
        isTaken = sockets.open.incrementAndGet() <= sockets.places;
        if (!isTaken) {
            sockets.open.decrementAndGet();
        }
        return isTaken;
    }

    /** Gives it back, unless that was done before. */
    void leave() {
        if (isTaken) {
            isTaken = false;
            sockets.open.decrementAndGet();
        }
    }
}
