package sagemaker.inference.frontend;

import com.amazonaws.ml.mms.util.ConfigManager;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** How long clients may take for what, and how many of them there may be. */
final class ClientLimits {
    private static final Logger LOGGER = LoggerFactory.getLogger(ClientLimits.class);

    private static final String HEAD_SECONDS = "client_header_timeout";
    private static final String IDLE_SECONDS = "client_idle_timeout";
    private static final String BODY_SECONDS = "client_body_timeout";
    private static final String WRITE_SECONDS = "client_write_timeout";
    private static final String MAX_CONNECTIONS = "max_connections";

    // Where nothing else is set. Each connection takes some kilobytes of the heap.
    private static final int DEFAULT_CONNECTIONS = 10_000;
    // Of the descriptors that this process may have, a quarter is for what is not a client: files,
    // event loops, workers, and clients over the limit that only want to know about its health.
    private static final int RESERVED_PART = 4;
    private static final Path PROCESS_LIMITS = Path.of("/proc/self/limits");
    private static final String DESCRIPTORS = "Max open files";

    /** For the head of a request, from its first byte to its last, in nanoseconds. */
    final long headNanos;

    /** Between requests. */
    final long idleNanos;

    /** Without a byte of a body. */
    final long bodyNanos;

    /** Without taking a byte of a response. */
    final long writeNanos;

    /** How many connections there may be. */
    final int maxConnections;

    ClientLimits(long head, long idle, long body, long write, int maxConnections) {
        headNanos = TimeUnit.SECONDS.toNanos(head);
        idleNanos = TimeUnit.SECONDS.toNanos(idle);
        bodyNanos = TimeUnit.SECONDS.toNanos(body);
        writeNanos = TimeUnit.SECONDS.toNanos(write);
        this.maxConnections = maxConnections;
    }

    static ClientLimits from(ConfigManager config) {
        return new ClientLimits(
                seconds(config, HEAD_SECONDS, "10"),
                seconds(config, IDLE_SECONDS, "75"),
                seconds(config, BODY_SECONDS, "60"),
                seconds(config, WRITE_SECONDS, "60"),
                connections(Integer.parseInt(config.getProperty(MAX_CONNECTIONS, "0"))));
    }

    private static long seconds(ConfigManager config, String name, String otherwise) {
        return Long.parseLong(config.getProperty(name, otherwise));
    }

    /**
     * Returns how many connections there may be.
     *
     * @param asked 0 leaves it to the limit of descriptors
     */
    private static int connections(int asked) {
        long descriptors = descriptors();
        long most = Math.max(1, descriptors - descriptors / RESERVED_PART);
        if (asked > most) {
            LOGGER.warn(
                    "at most {} connection(s) of clients are kept open, not {}: there may be {} "
                            + "file descriptors. Raise the limit: ulimit -n",
                    most, asked, descriptors);
        }
        return (int) Math.min(asked > 0 ? asked : DEFAULT_CONNECTIONS, most);
    }

    /** Returns how many descriptors this process may have. */
    private static long descriptors() {
        try {
            for (String line : Files.readAllLines(PROCESS_LIMITS)) {
                if (line.startsWith(DESCRIPTORS)) {
                    // The soft limit; Java has raised it to the hard one.
                    String soft = line.substring(DESCRIPTORS.length()).trim().split("\\s+")[0];
                    return soft.equals("unlimited") ? Integer.MAX_VALUE : Long.parseLong(soft);
                }
            }
        } catch (IOException error) {
            LOGGER.warn("the limit of file descriptors is unknown: {}", error.toString());
        }
        return Integer.MAX_VALUE;
    }
}
