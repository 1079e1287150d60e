package sagemaker.inference.frontend;

import io.netty.channel.Channel;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.epoll.EpollSocketChannel;
import java.util.concurrent.TimeUnit;

/**
 * Watches whether one client is still sending, reading, or there at all.
 *
 * <p>Nothing is measured while requests are served: now and then, this looks at what the client is
 * doing, and whether it has done anything since the last look. So a limit is never shorter than
 * what is set, and a little longer.
 */
final class ClientWatch {
    /** What a client is doing, as far as it is the client's turn. */
    enum Activity {
        /** It has sent nothing since the last response. */
        IDLE,
        /** It is sending the head of a request. */
        HEAD,
        /** It is sending a body. */
        BODY,
        /** It has a response to read. */
        READING,
        /** It waits for the server. */
        WAITING
    }

    private final Channel channel;
    private final RequestGuard guard;
    private final HttpPipeliningHandler pipelining;
    private final ClientLimits limits;
    private final LoopClients neighbours;
    private final ClientCounts counts;
    private final boolean isExtra;
    private Activity activity = Activity.IDLE;
    // Differs from the last one if the client has done something.
    private long mark;
    private long since;

    /**
     * Watches a connection.
     *
     * @param neighbours tell the time
     * @param isExtra whether there were as many as there may be before it
     */
    ClientWatch(
            Channel channel,
            RequestGuard guard,
            HttpPipeliningHandler pipelining,
            ClientLimits limits,
            LoopClients neighbours,
            ClientCounts counts,
            boolean isExtra) {
        this.channel = channel;
        this.guard = guard;
        this.pipelining = pipelining;
        this.limits = limits;
        this.neighbours = neighbours;
        this.counts = counts;
        this.isExtra = isExtra;
        since = neighbours.now();
    }

    boolean isExtra() {
        return isExtra;
    }

    /** Returns whether there is room for the client's pings only. */
    boolean isOverLimit() {
        return isExtra && counts.isFull();
    }

    /** Counts a request of the client that was refused for lack of room. */
    void countRefused() {
        counts.countRefused();
    }

    /** Returns since when the client has done nothing, as far as that is known. */
    long since() {
        return since;
    }

    /** Returns what the client is doing now. */
    Activity look() {
        long unread = unread();
        if (unread > 0) {
            return look(Activity.READING, unread);
        }
        if (pipelining.isWorking()) {
            return look(Activity.WAITING, 0);
        }
        switch (guard.phase()) {
            case NONE:
                return look(Activity.IDLE, guard.progress());
            case HEAD:
                return look(Activity.HEAD, guard.progress());
            case BODY:
                return look(Activity.BODY, guard.progress());
            default:
                return look(Activity.WAITING, 0);
        }
    }

    private Activity look(Activity now, long newMark) {
        if (now != activity || newMark != mark) {
            activity = now;
            mark = newMark;
            since = neighbours.now();
        }
        return now;
    }

    /** Returns how many bytes of responses the client has not taken yet. */
    private long unread() {
        ChannelOutboundBuffer buffer = channel.unsafe().outboundBuffer();
        return buffer == null ? 0 : buffer.totalPendingWriteBytes() - buffer.currentProgress();
    }

    /**
     * Ends the connection if the client has taken too long.
     *
     * @return whether the client did not read its response
     */
    boolean check() {
        Activity now = look();
        if (neighbours.now() - since <= limit(now)) {
            return false;
        }
        if (now == Activity.READING && hasSent(limits.writeNanos)) {
            since = neighbours.now();
            return false;
        }
        if (now == Activity.BODY) {
            guard.expire(limits.bodyNanos);
        } else {
            channel.close();
        }
        return now == Activity.READING;
    }

    /**
     * Returns whether the system has sent some of what it has of a response.
     *
     * <p>It takes more from here only when there is room for a megabyte or so, for which a slow
     * client may need minutes.
     */
    private boolean hasSent(long nanos) {
        if (!(channel instanceof EpollSocketChannel)) {
            return false;
        }
        long millis = ((EpollSocketChannel) channel).tcpInfo().lastDataSent();
        return millis < TimeUnit.NANOSECONDS.toMillis(nanos);
    }

    private long limit(Activity now) {
        switch (now) {
            case IDLE:
                return limits.idleNanos;
            case HEAD:
                return limits.headNanos;
            case BODY:
                return limits.bodyNanos;
            case READING:
                return limits.writeNanos;
            default:
                return Long.MAX_VALUE;
        }
    }

    void close() {
        channel.close();
    }
}
