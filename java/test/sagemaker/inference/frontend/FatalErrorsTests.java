package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import io.netty.channel.DefaultEventLoop;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What ends the process; here it ends nothing. */
final class FatalErrorsTests {
    private static final long PATIENCE_SECONDS = 20;

    private FatalErrorsTests() {}

    static void addTo(Tests tests) {
        tests.add("fatal: exit codes", FatalErrorsTests::exitCodes);
        tests.add("fatal: how to give it more memory", FatalErrorsTests::advice);
        tests.add("fatal: a thread that ends by an error", FatalErrorsTests::thread);
        tests.add("fatal: an event loop that ends", FatalErrorsTests::loop);
        tests.add("fatal: no memory for the supervisor's messages", FatalErrorsTests::control);
    }

    private static void exitCodes() {
        List<Integer> codes = new ArrayList<>();
        FatalErrors.end(new OutOfMemoryError("a test"), codes::add);
        FatalErrors.end(new IllegalStateException("a test"), codes::add);
        checkEqual(List.of(3, 1), codes);
    }

    private static void advice() {
        checkContains(FatalErrors.ADVICE, "SAGEMAKER_MODEL_SERVER_VMARGS='-Xmx");
        long heap = Runtime.getRuntime().maxMemory() >> 20;
        checkContains(FatalErrors.ADVICE, "-Xmx" + heap * 2);
    }

    private static void thread() throws InterruptedException {
        Thread.UncaughtExceptionHandler before = Thread.getDefaultUncaughtExceptionHandler();
        LinkedBlockingQueue<Integer> codes = new LinkedBlockingQueue<>();
        try {
            FatalErrors.watchThreads(codes::add);
            new Thread(
                            () -> {
                                throw new OutOfMemoryError("a test");
                            })
                    .start();
            checkEqual(3, codes.poll(PATIENCE_SECONDS, TimeUnit.SECONDS));
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before);
        }
    }

    private static void loop() throws InterruptedException {
        LinkedBlockingQueue<Integer> codes = new LinkedBlockingQueue<>();
        DefaultEventLoop loop = new DefaultEventLoop();
        FatalErrors.watchLoops(List.of(loop), codes::add);
        loop.submit(() -> {}).await();
        check(codes.isEmpty());
        loop.shutdownGracefully(0, 0, TimeUnit.SECONDS);
        checkEqual(3, codes.poll(PATIENCE_SECONDS, TimeUnit.SECONDS));
    }

    private static void control() {
        EmbeddedChannel channel = new EmbeddedChannel(new ControlChannel.Reader(message -> {}));
        channel.pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        check(!channel.isActive());
    }
}
