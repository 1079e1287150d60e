package sagemaker.inference.frontend;

import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * The clients of one event loop, and whether they take too long.
 *
 * <p>When the server has as many as there may be, a new one takes the place of one that is idle. If
 * none is, it still gets answers to pings: a server that works must not look dead.
 */
final class LoopClients {
    /** How often clients are looked at. */
    private static final long LOOK_MILLIS = 500;

    // How many of the oldest clients a new one is compared with.
    private static final int MAX_COMPARED = 1000;
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(LOOK_MILLIS);

    private final EventLoop loop;
    private final ClientCounts counts;
    // The oldest connection first.
    private final Set<ClientWatch> open = new LinkedHashSet<>();
    private ScheduledFuture<?> looks;
    private long now;

    LoopClients(EventLoop loop, ClientCounts counts) {
        this.loop = loop;
        this.counts = counts;
    }

    EventLoop loop() {
        return loop;
    }

    /**
     * Returns the time in nanoseconds, as it was at the last look.
     *
     * <p>It stands still while the loop is busy, which must not count as a client's silence.
     */
    long now() {
        return now;
    }

    /**
     * Counts a client that has connected, and makes room for it if one of this loop is idle.
     *
     * @return whether there is room only for pings
     */
    boolean makeRoom() {
        if (counts.add()) {
            return false;
        }
        if (!closeIdle() && counts.isCrowded()) {
            refuseOldestExtra();
        }
        return counts.isFull();
    }

    /** Closes the connection that has been idle for longest; returns whether there was one. */
    boolean closeIdle() {
        ClientWatch idle = longestIdle();
        if (idle != null) {
            counts.countReplaced();
            remove(idle);
            idle.close();
        }
        return idle != null;
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
                counts.remove();
                counts.countRefused();
                client.close();
                return;
            }
        }
    }

    /** Watches a client for which {@link #makeRoom} was called. */
    void add(ClientWatch client) {
        open.add(client);
        if (looks == null) {
            looks =
                    loop.scheduleWithFixedDelay(
                            this::look, LOOK_MILLIS, LOOK_MILLIS, TimeUnit.MILLISECONDS);
        }
    }

    void remove(ClientWatch client) {
        if (open.remove(client)) {
            counts.remove();
        }
    }

    private void look() {
        now += LOOK_NANOS;
        // A copy, since some are closed, and removed.
        for (ClientWatch client : new ArrayList<>(open)) {
            if (client.check()) {
                counts.countUnread();
            }
        }
        counts.log();
        if (open.isEmpty() && !counts.hasNews()) {
            looks.cancel(false);
            looks = null;
        }
    }
}
