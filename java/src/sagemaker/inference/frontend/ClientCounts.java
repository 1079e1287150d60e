package sagemaker.inference.frontend;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How many clients all event loops have, and what has happened to them since the last log line.
 *
 * <p>Its methods may be called on any thread.
 */
final class ClientCounts {
    private static final Logger LOGGER = LoggerFactory.getLogger(ClientCounts.class);

    /** How many clients there may be over the limit, for pings. */
    static final int MAX_EXTRA = 16;

    private static final long LOG_NANOS = TimeUnit.MINUTES.toNanos(1);

    private final ClientLimits limits;
    private final AtomicInteger open = new AtomicInteger();
    private final AtomicInteger replaced = new AtomicInteger();
    private final AtomicInteger refused = new AtomicInteger();
    private final AtomicInteger unread = new AtomicInteger();
    private final AtomicLong loggedAt = new AtomicLong(System.nanoTime() - LOG_NANOS);

    ClientCounts(ClientLimits limits) {
        this.limits = limits;
    }

    /** Counts a client that has connected; returns whether there is room for it. */
    boolean add() {
        return open.incrementAndGet() <= limits.maxConnections;
    }

    /** Counts a client that has gone. */
    void remove() {
        open.decrementAndGet();
    }

    /** Returns whether there are more clients than there may be. */
    boolean isFull() {
        return open.get() > limits.maxConnections;
    }

    /** Returns whether there are more clients than there may be for pings, too. */
    boolean isCrowded() {
        return open.get() > limits.maxConnections + MAX_EXTRA;
    }

    /** Counts a client that was disconnected for another. */
    void countReplaced() {
        replaced.incrementAndGet();
    }

    /** Counts a client or a request that was refused for lack of room. */
    void countRefused() {
        refused.incrementAndGet();
    }

    /** Counts a client that was disconnected since it did not read. */
    void countUnread() {
        unread.incrementAndGet();
    }

    /** Returns whether there is something to log. */
    boolean hasNews() {
        return replaced.get() + refused.get() + unread.get() > 0;
    }

    /** Logs what has happened, once a minute at most. */
    void log() {
        long last = loggedAt.get();
        long now = System.nanoTime();
        if (!hasNews() || now - last < LOG_NANOS || !loggedAt.compareAndSet(last, now)) {
            return;
        }
        int replaced = this.replaced.getAndSet(0);
        int refused = this.refused.getAndSet(0);
        int unread = this.unread.getAndSet(0);
        if (replaced + refused > 0) {
            LOGGER.warn(
                    "as many connections are open as may be, {} (SAGEMAKER_MAX_CONNECTIONS, ulimit "
                            + "-n): {} idle connection(s) were closed for others, {} refused",
                    limits.maxConnections, replaced, refused);
        }
        if (unread > 0) {
            LOGGER.warn(
                    "{} connection(s) were closed: their clients did not read a byte of a response "
                            + "for {} s",
                    unread, TimeUnit.NANOSECONDS.toSeconds(limits.writeNanos));
        }
    }
}
