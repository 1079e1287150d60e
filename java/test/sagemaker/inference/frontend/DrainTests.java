package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

final class DrainTests {
    private static final String INVOKE = Bench.post("/invocations", "[1]");

    private DrainTests() {}

    static void addTo(Tests tests) {
        tests.add("drain: connections close when they are idle", DrainTests::drain);
        tests.add("drain: what arrives just then is answered", DrainTests::justInTime);
        tests.add("drain: who sends several gets all answers", DrainTests::several);
        tests.add("drain: who is still reading gets the rest", DrainTests::unread);
        tests.add("drain: who asks while reading is answered", DrainTests::unreadAndAsked);
    }

    private static void drain() throws Exception {
        // An idle client, one whose request a worker has, and one that is still sending.
        Bench bench = new Bench(3);
        bench.deploy(1, "/invocations");
        bench.send(1, INVOKE);
        bench.send(2, INVOKE.substring(0, INVOKE.length() - 1));
        CountDownLatch drained = new CountDownLatch(1);
        bench.handlers.drain(drained::countDown);
        bench.advance(100);
        check(!bench.clients.get(0).isActive());
        check(bench.clients.get(1).isActive());
        check(bench.clients.get(2).isActive());
        check(!drained.await(100, TimeUnit.MILLISECONDS));
        bench.answer(1, "first");
        String response = bench.receive(1);
        checkContains(response, "first");
        checkContains(response, "connection: close");
        check(!bench.clients.get(1).isActive());
        bench.send(2, "]");
        bench.answer(2, "second");
        checkContains(bench.receive(2), "connection: close");
        check(!bench.clients.get(2).isActive());
        check(drained.await(10, TimeUnit.SECONDS));
    }

    private static void justInTime() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.handlers.drain(() -> {});
        bench.run();
        bench.send(INVOKE);
        bench.advance(100);
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
    }

    private static void several() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE + INVOKE);
        bench.handlers.drain(() -> {});
        bench.advance(100);
        bench.answer(0, "first");
        checkContains(bench.receive(0), "connection: keep-alive");
        bench.answer(0, "second");
        String response = bench.receive(0);
        checkContains(response, "second");
        checkContains(response, "connection: close");
        checkEqual(false, bench.clients.get(0).isActive());
    }

    private static Bench unreadAndDrained() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE);
        bench.areClientsReading = false;
        bench.answer(0, "first");
        bench.handlers.drain(() -> {});
        bench.advance(1_000);
        check(bench.clients.get(0).isActive());
        return bench;
    }

    private static String read(Bench bench) {
        bench.areClientsReading = true;
        bench.clients.get(0).flush();
        bench.run();
        return bench.receive(0);
    }

    private static void unread() {
        Bench bench = unreadAndDrained();
        checkContains(read(bench), "first");
        check(!bench.clients.get(0).isActive());
    }

    private static void unreadAndAsked() {
        Bench bench = unreadAndDrained();
        bench.send(INVOKE);
        checkContains(read(bench), "first");
        check(bench.clients.get(0).isActive());
        bench.answer(0, "second");
        String response = bench.receive(0);
        checkContains(response, "second");
        checkContains(response, "connection: close");
        check(!bench.clients.get(0).isActive());
    }
}
