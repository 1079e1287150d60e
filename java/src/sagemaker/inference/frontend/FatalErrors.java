package sagemaker.inference.frontend;

import io.netty.util.concurrent.EventExecutor;
import io.netty.util.internal.PlatformDependent;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.function.IntConsumer;

/**
 * Ends the process when it cannot go on, and says why; the supervisor notices and ends the server.
 *
 * <p>An error that nobody catches ends an event loop, and with that, whatever its connections wait
 * for. It is nearly always a lack of memory, which other threads survive.
 */
final class FatalErrors {
    /** The exit code for a lack of memory, as Java's own is. */
    static final int OUT_OF_MEMORY = 3;

    private static final long MEGABYTE = 1L << 20;
    private static final int OTHER = 1;

    /** How to give the front end more memory. */
    static final String ADVICE =
            String.format(
                    "Give it more: SAGEMAKER_MODEL_SERVER_VMARGS='-Xmx%dm "
                            + "-XX:MaxDirectMemorySize=%dm'",
                    doubled(Runtime.getRuntime().maxMemory()),
                    doubled(PlatformDependent.maxDirectMemory()));

    // Made in advance: there may be no memory for it later.
    private static final byte[] LAST_LINE =
            ("the front end is out of memory (" + memory() + ") and ends. " + ADVICE + "\n")
                    .getBytes(StandardCharsets.UTF_8);
    private static final FileOutputStream LOG = new FileOutputStream(FileDescriptor.err);

    private FatalErrors() {}

    private static String memory() {
        return String.format(
                "heap: %d MiB, for bodies: %d MiB",
                Runtime.getRuntime().maxMemory() / MEGABYTE,
                PlatformDependent.maxDirectMemory() / MEGABYTE);
    }

    private static long doubled(long bytes) {
        return Math.max(1, bytes * 2 / MEGABYTE);
    }

    /** Ends the process when a thread ends by an error. */
    static void watchThreads(IntConsumer exit) {
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> end(error, exit));
    }

    /** Ends the process when an event loop ends, of which Netty only makes a note. */
    static void watchLoops(Iterable<EventExecutor> loops, IntConsumer exit) {
        OutOfMemoryError cause = new OutOfMemoryError("an event loop has ended");
        loops.forEach(loop -> loop.terminationFuture().addListener(ended -> end(cause, exit)));
    }

    /** Writes why the process ends, and ends it. */
    static void end(Throwable error, IntConsumer exit) {
        int code = error instanceof OutOfMemoryError ? OUT_OF_MEMORY : OTHER;
        try {
            if (code == OUT_OF_MEMORY) {
                LOG.write(LAST_LINE);
            } else {
                error.printStackTrace();
            }
        } catch (IOException | OutOfMemoryError lost) {
            // The exit code says it, too.
        } finally {
            exit.accept(code);
        }
    }
}
