package sagemaker.inference.frontend;

import com.amazonaws.ml.mms.util.ConfigManager;
import java.util.concurrent.TimeUnit;

/** What WebSockets may take; 0 is no limit. */
final class SocketLimits {
    /** No limits. */
    static final SocketLimits NONE = new SocketLimits(0, 0);

    /** Without a message in either direction, in nanoseconds. */
    final long idleNanos;

    /** Between two pings of the server, in nanoseconds. */
    final long pingNanos;

    SocketLimits(long idleSeconds, long pingSeconds) {
        idleNanos = TimeUnit.SECONDS.toNanos(idleSeconds);
        pingNanos = TimeUnit.SECONDS.toNanos(pingSeconds);
    }

    static SocketLimits from(ConfigManager config) {
        return new SocketLimits(
                Long.parseLong(config.getProperty("websocket_idle_timeout", "0")),
                Long.parseLong(config.getProperty("websocket_ping_interval", "0")));
    }

    /** Returns whether anything is to be looked at from time to time. */
    boolean exist() {
        return idleNanos > 0 || pingNanos > 0;
    }
}
