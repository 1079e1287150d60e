package sagemaker.inference.frontend;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import com.google.gson.JsonObject;
import io.netty.buffer.AbstractByteBufAllocator;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** How requests and connections end: refusals leave a line, and half-closed clients get answers. */
final class EndTests {
    private static final String INVOKE = Bench.post("/invocations", "[1]");

    private EndTests() {}

    static void addTo(Tests tests) {
        tests.add("end: a refusal leaves an access line", EndTests::accessLines);
        tests.add("end: what cannot be read leaves one, too", EndTests::unreadable);
        tests.add("end: so does an answer for a worker that has died", EndTests::answeredFor);
        tests.add("end: too many access lines are counted", EndTests::lost);
        tests.add("end: a client that half-closes gets its answer", EndTests::halfClosed);
        tests.add("end: one that is idle is closed", EndTests::halfClosedIdle);
        tests.add("end: half a request that ends", EndTests::halfRequest);
        tests.add("end: who may have gone gives way", EndTests::giveWay);
        tests.add("end: who may have gone waits no longer than others", EndTests::giveWayLong);
        tests.add("end: what follows a last response is discarded", EndTests::linger);
        tests.add("end: a body that would not end soon", EndTests::withheld);
        tests.add("end: a body that does not end", EndTests::endless);
        tests.add("end: no memory to read a body into", EndTests::noMemory);
    }

    private static Bench deployed(int clients) {
        Bench bench = new Bench(clients);
        bench.deploy(1, "/invocations");
        bench.handlers.setHealth(new Health(503, "", ""));
        return bench;
    }

    private static void checkLine(Bench bench, String response, String method, String path) {
        JsonObject line = bench.accessLines.remove(0);
        checkContains(response, "x-request-id: " + line.get("request_id").getAsString());
        checkContains(response, "HTTP/1.1 " + line.get("status").getAsInt());
        checkEqual(method, line.get("method").getAsString());
        checkEqual(path, line.get("path").getAsString());
        check(line.get("seconds").getAsDouble() >= 0);
        check(bench.accessLines.isEmpty(), bench.accessLines);
    }

    private static void accessLines() {
        Bench bench = deployed(1);
        String path = "/invocations";
        checkLine(bench, bench.send(Bench.get(path + "?a=1")), "GET", path);
        checkLine(bench, bench.send(Bench.get("/nowhere%0a")), "GET", "/nowhere%0a");
        String large = Bench.post(path, "x".repeat(Bench.MAX_REQUEST_SIZE + 1));
        checkLine(bench, bench.send(large), "POST", path);
        String cut = "/" + "x".repeat(199);
        checkLine(bench, bench.send(Bench.get(cut + "x")), "GET", cut);
        checkLine(bench, bench.send(Bench.request("PUT", "/ping")), "PUT", "/ping");
        // Pings have none, whatever they are answered.
        checkContains(bench.send(Bench.get("/ping")), "HTTP/1.1 503 ");
        bench.send(INVOKE);
        bench.answer(0, "");
        checkEqual(0, bench.accessLines.size());
        String fields = Bench.request("GET", "/ping", "X: " + "x".repeat(9000));
        bench.receive(0);
        checkLine(bench, bench.send(fields), "GET", "/ping");
    }

    private static void unreadable() {
        Bench bench = deployed(2);
        checkLine(bench, bench.send("hello\r\n\r\n"), "-", "-");
        bench.clients.get(1).pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        checkLine(bench, bench.receive(1), "-", "-");
    }

    private static void answeredFor() {
        Bench bench = deployed(1);
        bench.send(INVOKE);
        bench.workers.get(0).writeInbound(Answers.writeForLost(504, "too slow"));
        checkLine(bench, bench.receive(0), "POST", "/invocations");
    }

    private static void lost() {
        Bench bench = deployed(1);
        bench.isControlWritable = false;
        bench.send(Bench.get("/nowhere"));
        bench.isControlWritable = true;
        for (int i = 0; i < 2000; i++) {
            bench.send(Bench.get("/nowhere"));
        }
        int written = bench.accessLines.size();
        check(written >= 500 && written < 2000, written);
        checkEqual(1, bench.accessLines.get(0).get("lost").getAsInt());
    }

    private static void halfClosed() {
        Bench bench = deployed(1);
        bench.send(INVOKE + Bench.get("/ping"));
        bench.halfClose(0);
        bench.answer(0, "first");
        String responses = bench.receive(0);
        checkContains(responses, "first");
        check(responses.lastIndexOf("connection: close") > responses.indexOf("HTTP/1.1 503"));
        bench.advance(5000);
        check(!bench.clients.get(0).isActive());
    }

    private static void halfClosedIdle() {
        Bench bench = deployed(1);
        bench.halfClose(0);
        check(!bench.clients.get(0).isActive());
        checkEqual("", bench.receive(0));
    }

    private static void halfRequest() {
        Bench bench = deployed(2);
        bench.send(0, INVOKE.substring(0, INVOKE.length() - 1));
        bench.halfClose(0);
        check(!bench.clients.get(0).isActive());
        bench.send(1, INVOKE.substring(0, 30));
        bench.halfClose(1);
        checkContains(bench.receive(1), "HTTP/1.1 400 ");
        bench.advance(60_000);
        check(!bench.clients.get(1).isActive());
        checkEqual("", Bench.text(bench.workers.get(0)));
        // The decoder says once more that a head is not complete.
        bench = deployed(1);
        bench.send(INVOKE + INVOKE.substring(0, 30));
        bench.send("\n");
        bench.halfClose(0);
        bench.answer(0, "first");
        checkEqual(3, bench.receive(0).split("HTTP/1.1 ", -1).length);
        // Nobody is there to be told, and nothing to be logged.
        bench = deployed(1);
        bench.send(INVOKE.substring(0, 30));
        bench.clients.get(0).close();
        bench.run();
        checkEqual(0, bench.accessLines.size());
    }

    /** One worker connection, which is busy, and some invocations that wait. */
    private static WorkerConnections busy(Bench bench) {
        bench.send(INVOKE);
        return bench.deployments.routes().invocations.on(bench.clients.get(0).eventLoop());
    }

    private static void giveWay() {
        Bench bench = deployed(1);
        WorkerConnections workers = busy(bench);
        List<String> answers = new ArrayList<>();
        List<Invocation> all = new ArrayList<>();
        for (int i = 0; i < Bench.QUEUE_LIMIT; i++) {
            all.add(WorkersTests.invocation(bench, answers));
        }
        all.forEach(invocation -> invocation.submit(workers, Map.of()));
        all.get(0).giveWay();
        all.get(1).giveWay();
        // They take no place: there is room for two more.
        Invocation fourth = WorkersTests.invocation(bench, answers);
        Invocation fifth = WorkersTests.invocation(bench, answers);
        fourth.submit(workers, Map.of());
        fifth.submit(workers, Map.of());
        checkEqual(0, answers.size());
        WorkersTests.invocation(bench, answers).submit(workers, Map.of());
        checkContains(answers.get(0), "503");
        // The last of them is answered, too, when nobody else waits.
        for (int i = 0; i < 6; i++) {
            bench.answer(0, "answer");
        }
        checkEqual(6, answers.size());
        // One that has really gone is forgotten.
        bench.send(INVOKE);
        Invocation gone = WorkersTests.invocation(bench, answers);
        gone.submit(workers, Map.of());
        gone.giveWay();
        gone.cancel();
        bench.answer(0, "answer");
        checkEqual(6, answers.size());
    }

    private static void giveWayLong() {
        Bench bench = new Bench(1);
        bench.waitLimitNanos = 0;
        bench.deploy(1, "/invocations");
        WorkerConnections workers = busy(bench);
        List<String> answers = new ArrayList<>();
        for (int i = 0; i <= Bench.QUEUE_LIMIT; i++) {
            Invocation invocation = WorkersTests.invocation(bench, answers);
            invocation.giveWay();
            invocation.submit(workers, Map.of());
        }
        // There are not more of them than others.
        checkContains(answers.get(0), "503");
        checkEqual(1, answers.size());
        bench.advance(1500);
        checkEqual(1 + Bench.QUEUE_LIMIT, answers.size());
        checkContains(answers.get(1), "504");
    }

    private static void linger() {
        Bench bench = deployed(1);
        bench.send("nonsense\r\n");
        for (int i = 0; i < 20; i++) {
            bench.advance(1500);
            check(bench.clients.get(0).isActive());
            checkEqual("", bench.send("more"));
        }
        bench.advance(5000);
        check(!bench.clients.get(0).isActive());
        // Not for ever.
        bench = deployed(1);
        bench.send("nonsense\r\n");
        for (int i = 0; i < 58; i++) {
            bench.advance(1000);
            bench.send("more");
        }
        bench.advance(2000);
        check(!bench.clients.get(0).isActive());
        // Not while the server stops.
        bench = deployed(1);
        bench.send("nonsense\r\n");
        bench.handlers.drain(() -> {});
        bench.advance(100);
        check(!bench.clients.get(0).isActive());
        // Not for a client that has ended its side.
        bench = deployed(1);
        bench.send("nonsense\r\n");
        bench.halfClose(0);
        check(!bench.clients.get(0).isActive());
    }

    private static void withheld() {
        Bench bench = deployed(1);
        long size = Bench.MAX_REQUEST_SIZE + LingeringClose.MAX_BYTES + 1;
        String head = Bench.request("POST", "/invocations", "Content-Length: " + size);
        checkContains(bench.send(head), "connection: close");
    }

    private static void endless() {
        Bench bench = deployed(1);
        String head = Bench.request("POST", "/invocations", "Transfer-Encoding: chunked");
        String chunk = "40000000\r\n";
        checkContains(bench.send(head + chunk + "x".repeat(50_000)), "HTTP/1.1 413 ");
        EmbeddedChannel client = bench.clients.get(0);
        ByteBuf data = Unpooled.wrappedBuffer(new byte[1 << 20]);
        for (int i = 0; i < 1023; i++) {
            client.writeInbound(data.retainedDuplicate());
        }
        checkEqual("", bench.receive(0));
        check(client.isActive());
        client.writeInbound(Unpooled.wrappedBuffer(new byte[(1 << 20) - 50_000]));
        client.writeInbound(Unpooled.copiedBuffer("\r\n100000\r\n", US_ASCII));
        client.writeInbound(data.retainedDuplicate());
        checkEqual("", bench.receive(0));
        bench.advance(5000);
        check(!client.isActive());
    }

    private static void noMemory() {
        Bench bench = deployed(1);
        ByteBuf part = Unpooled.copiedBuffer(INVOKE.replace("3\r\n\r\n", "4\r\n\r\n"), US_ASCII);
        EmbeddedChannel client = bench.clients.get(0);
        client.writeInbound(part.retainedDuplicate());
        client.writeInbound(reserve("x"));
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 507 ");
        checkContains(response, "\"code\": \"out_of_memory\"");
        checkContains(response, "connection: close");
        checkEqual(1, part.refCnt());
        checkEqual("", Bench.text(bench.workers.get(0)));
        // In its turn, and without the memory until then.
        bench = deployed(1);
        client = bench.clients.get(0);
        bench.send(INVOKE);
        client.writeInbound(part.retainedDuplicate());
        client.writeInbound(reserve("x"));
        checkEqual(1, part.refCnt());
        bench.answer(0, "first");
        String responses = bench.receive(0);
        check(responses.indexOf("first") < responses.indexOf("HTTP/1.1 507 "), responses);
    }

    /** Returns what a client has sent, as it is read where there is no memory. */
    private static ByteBuf reserve(String text) {
        RecvByteBufAllocator none = new FixedRecvByteBufAllocator(1);
        ByteBuf data = new ReadMemory(none).newHandle().allocate(new NoMemory());
        check(ReadMemory.isReserve(data));
        return data.writeBytes(text.getBytes(US_ASCII));
    }

    private static final class NoMemory extends AbstractByteBufAllocator {
        @Override
        protected ByteBuf newHeapBuffer(int size, int limit) {
            throw new OutOfMemoryError("a test");
        }

        @Override
        protected ByteBuf newDirectBuffer(int size, int limit) {
            throw new OutOfMemoryError("a test");
        }

        @Override
        public boolean isDirectBufferPooled() {
            return false;
        }
    }
}
