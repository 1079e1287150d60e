package sagemaker.inference.frontend;

import java.util.concurrent.TimeUnit;

/** How long a WebSocket is quiet, from when it is open. */
final class SocketWatch {
    private static final int MAX_PINGS = 2;

    private final SocketLimits limits;
    private long lastMessage = System.nanoTime();
    private long lastFrame = lastMessage;
    private long lastPing = lastMessage;
    private int pings;

    SocketWatch(SocketLimits limits) {
        this.limits = limits;
    }

    /** Notes a frame of the client. */
    void onFrame() {
        lastFrame = System.nanoTime();
    }

    /** Notes a message of either side. */
    void onMessage() {
        lastMessage = System.nanoTime();
    }

    /** Looks for limits that are exceeded, and asks the client whether it is there. */
    void look(SocketExchange socket, SocketFrames frames) {
        long now = System.nanoTime();
        if (limits.idleNanos > 0 && now - lastMessage > limits.idleNanos) {
            long seconds = TimeUnit.NANOSECONDS.toSeconds(limits.idleNanos);
            socket.refuse(SocketExchange.GOING_AWAY, "No message within " + seconds + " s");
        } else if (limits.pingNanos > 0 && now - lastPing > limits.pingNanos) {
            if (lastFrame - lastPing > 0) {
                pings = 0;
            }
            if (pings == MAX_PINGS) {
                socket.refuse(SocketExchange.FAILED, "No answer to " + MAX_PINGS + " pings");
                return;
            }
            pings++;
            lastPing = now;
            frames.ping();
        }
    }
}
