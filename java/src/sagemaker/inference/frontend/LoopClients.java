package sagemaker.inference.frontend;

import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The clients of one event loop: how many there are, and whether they take too long.
 *
 * <p>When there are as many as there may be, a new one takes the place of one that is idle. If none
 * is, it still gets answers to pings: a server that works must not look dead.
 */
final class LoopClients {
    private static final Logger LOGGER = LoggerFactory.getLogger(LoopClients.class);

    /** How often clients are looked at. */
    private static final long LOOK_MILLIS = 500;

    /** How many clients there may be over the limit, for pings. */
    static final int MAX_EXTRA = 16;

    // How many of the oldest clients a new one is compared with.
    private static final int MAX_COMPARED = 1000;
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(LOOK_MILLIS);
    private static final long LOG_NANOS = TimeUnit.MINUTES.toNanos(1);

    private final EventLoop loop;
    private final ClientLimits limits;
    // The oldest connection first.
    private final Set<ClientWatch> open = new LinkedHashSet<>();
    private ScheduledFuture<?> looks;
    // What has happened since the log had a line about it.
    private int replaced;
    private int refused;
    private int unread;
    private long now;
    private long loggedAt = -LOG_NANOS;

    LoopClients(EventLoop loop, ClientLimits limits) {
        this.loop = loop;
        this.limits = limits;
    }

    /**
     * Returns the time in nanoseconds, as it was at the last look.
     *
     * <p>It stands still while the loop is busy, which must not count as a client's silence.
     */
    long now() {
        return now;
    }

    /** Makes room for a client; returns whether there was room only for pings. */
    boolean makeRoom() {
        if (open.size() < limits.connectionsPerLoop) {
            return false;
        }
        ClientWatch idle = longestIdle();
        if (idle != null) {
            replaced++;
            remove(idle);
            idle.close();
            return open.size() >= limits.connectionsPerLoop;
        }
        if (open.size() >= limits.connectionsPerLoop + MAX_EXTRA) {
            refuseOldestExtra();
        }
        return true;
    }

    private ClientWatch longestIdle() {
        ClientWatch longest = null;
        int compared = 0;
        for (ClientWatch client : open) {
            if (client.look() == ClientWatch.Activity.IDLE
                    && (longest == null || client.since() - longest.since() < 0)) {
                longest = client;
            }
            compared++;
            if (compared == MAX_COMPARED) {
                break;
            }
        }
        return longest;
    }

    private void refuseOldestExtra() {
        Iterator<ClientWatch> clients = open.iterator();
        while (clients.hasNext()) {
            ClientWatch client = clients.next();
            if (client.isExtra()) {
                clients.remove();
                countRefused();
                client.close();
                return;
            }
        }
    }

    void add(ClientWatch client) {
        open.add(client);
        if (looks == null) {
            looks =
                    loop.scheduleWithFixedDelay(
                            this::look, LOOK_MILLIS, LOOK_MILLIS, TimeUnit.MILLISECONDS);
        }
    }

    void remove(ClientWatch client) {
        open.remove(client);
    }

    /** Returns whether a client over the limit is still over it. */
    boolean isFull() {
        return open.size() > limits.connectionsPerLoop;
    }

    /** Counts a client or a request that was refused for lack of room. */
    void countRefused() {
        refused++;
    }

    private void look() {
        now += LOOK_NANOS;
        // A copy, since some are closed, and removed.
        for (ClientWatch client : new ArrayList<>(open)) {
            if (client.check()) {
                unread++;
            }
        }
        if (replaced + refused + unread > 0 && now - loggedAt >= LOG_NANOS) {
            log();
        }
        if (open.isEmpty() && replaced + refused + unread == 0) {
            looks.cancel(false);
            looks = null;
        }
    }

    private void log() {
        loggedAt = now;
        if (replaced + refused > 0) {
            LOGGER.warn(
                    "as many connections are open as may be, {} (SAGEMAKER_MAX_CONNECTIONS, ulimit "
                            + "-n): {} idle connection(s) were closed for others, {} refused",
                    limits.connectionsPerLoop, replaced, refused);
        }
        if (unread > 0) {
            LOGGER.warn(
                    "{} connection(s) were closed: their clients did not read a byte of a response "
                            + "for {} s",
                    unread, TimeUnit.NANOSECONDS.toSeconds(limits.writeNanos));
        }
        replaced = 0;
        refused = 0;
        unread = 0;
    }
}
