package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

final class StreamTests {
    private static final String INVOKE = Bench.post("/invocations", "[1]");
    private static final String LAST = "0\r\n\r\n";

    private StreamTests() {}

    static void addTo(Tests tests) {
        tests.add("stream: read byte by byte", StreamTests::byteByByte);
        tests.add("stream: what is none", StreamTests::invalid);
        tests.add("stream: items go out as they come", StreamTests::items);
        tests.add("stream: the head and the first item go out together", StreamTests::together);
        tests.add("stream: one that is broken has no last chunk", StreamTests::broken);
        tests.add("stream: a lost worker breaks it off", StreamTests::lostWorker);
        tests.add("stream: the supervisor ends it for its worker", StreamTests::lostStream);
        tests.add("stream: a retiring worker breaks it off", StreamTests::retiring);
        tests.add("stream: HTTP/1.0 reads until the end", StreamTests::oldClient);
        tests.add("stream: pipelined requests wait", StreamTests::pipelined);
        tests.add("stream: Connection: close", StreamTests::close);
        tests.add("stream: a client that disconnects tells the worker", StreamTests::gone);
        tests.add("stream: one that has disconnected before, too", StreamTests::goneBefore);
        tests.add("stream: who ends its side has gone", StreamTests::halfClosed);
        tests.add("stream: a client that does not read pauses the worker", StreamTests::unread);
        tests.add("stream: one that goes while it does not read", StreamTests::goneUnread);
        tests.add("stream: a head that is not HTTP", StreamTests::notHttp);
        tests.add("stream: no time limit of an answer", StreamTests::noTimeLimit);
        tests.add("stream: events that are quiet get comments", StreamTests::heartbeat);
        tests.add("stream: other formats get none", StreamTests::noHeartbeat);
        tests.add("stream: a draining server closes behind it", StreamTests::drain);
        tests.add("stream: counted with its bytes", StreamTests::counted);
        tests.add("stream: no memory breaks it off", StreamTests::outOfMemory);
    }

    private static ByteBuf head(int status, String contentType, String... headers) {
        ByteBuf out = Unpooled.buffer();
        out.writeInt(206);
        for (String text : new String[] {"Stream", "some id", contentType}) {
            field(out, text);
        }
        out.writeInt(status);
        field(out, "");
        out.writeInt(headers.length / 2);
        for (String text : headers) {
            field(out, text);
        }
        return out;
    }

    private static void field(ByteBuf out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.writeInt(bytes.length).writeBytes(bytes);
    }

    private static ByteBuf item(String text) {
        ByteBuf out = Unpooled.buffer();
        field(out, text);
        return out;
    }

    private static ByteBuf end(int... numbers) {
        ByteBuf out = Unpooled.buffer();
        for (int number : numbers) {
            out.writeInt(number);
        }
        return out;
    }

    private static String chunk(String text) {
        return Integer.toHexString(text.length()) + "\r\n" + text + "\r\n";
    }

    private static Bench beginning(String contentType) {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        checkEqual("", bench.send(INVOKE));
        bench.workerRequest(0);
        say(bench, head(200, contentType));
        checkContains(bench.receive(0), "HTTP/1.1 200 OK\r\n");
        return bench;
    }

    /** A client whose stream has begun. */
    private static Bench streaming(String request) {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        checkEqual("", bench.send(request));
        bench.workerRequest(0);
        say(bench, head(200, "text/own", "X-Own", "yes"));
        checkContains(bench.receive(0), "HTTP/1.1 200 OK\r\n");
        return bench;
    }

    /** Has the worker send something. */
    private static void say(Bench bench, ByteBuf data) {
        bench.workers.get(0).writeInbound(data);
        bench.run();
    }

    private static String heard(Bench bench) {
        bench.run();
        return Bench.text(bench.workers.get(0));
    }

    private static void byteByByte() {
        List<String> parts = new ArrayList<>();
        StreamReader reader =
                new StreamReader(
                        data -> {
                            parts.add(data.toString(StandardCharsets.UTF_8));
                            data.release();
                        });
        ByteBuf all = Unpooled.wrappedBuffer(item("ab"), item("c"), end(-2, 504));
        while (all.isReadable()) {
            check(!reader.isOver());
            reader.read(all.readSlice(1));
        }
        checkEqual(List.of("a", "b", "c"), parts);
        check(reader.isOver());
        checkEqual(504, reader.status());
        all.release();
    }

    private static void invalid() {
        for (ByteBuf data : new ByteBuf[] {end(-4), end(0), end(-1, 1)}) {
            Bench bench = streaming(INVOKE);
            say(bench, data);
            checkEqual("", bench.receive(0));
            check(!bench.clients.get(0).isActive());
            check(!bench.workers.get(0).isActive());
            check(HttpTests.isFree(data));
        }
    }

    private static void items() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE);
        String id = bench.workerRequest(0).id;
        ByteBuf head = head(201, "text/own", "X-Own", "yes", "Content-Length", "5");
        ByteBuf start = head.readRetainedSlice(20);
        say(bench, start);
        checkEqual("", bench.receive(0));
        say(bench, head);
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 201 Created\r\n");
        checkContains(response, "content-type: text/own\r\n");
        checkContains(response, "X-Own: yes\r\n");
        checkContains(response, "x-request-id: " + id + "\r\n");
        checkContains(response, "transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n");
        check(!response.toLowerCase().contains("content-length"));
        ByteBuf first = item("first");
        say(bench, first);
        checkEqual(chunk("first"), bench.receive(0));
        check(HttpTests.isFree(first));
        say(bench, Unpooled.wrappedBuffer(item("second"), item("third"), end(-1)));
        checkEqual(chunk("second") + chunk("third") + LAST, bench.receive(0));
        bench.send(INVOKE);
        bench.answer(0, "an answer");
        checkContains(bench.receive(0), "an answer");
    }

    private static void together() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE);
        say(bench, Unpooled.wrappedBuffer(head(200, "a/b"), item("x")));
        check(bench.receive(0).endsWith("\r\n\r\n" + chunk("x")));
    }

    private static void broken() {
        Bench bench = streaming(INVOKE);
        say(bench, Unpooled.wrappedBuffer(item("error"), end(-2, 500)));
        checkEqual(chunk("error"), bench.receive(0));
        check(!bench.clients.get(0).isActive());
        check(bench.workers.get(0).isActive());
        checkEqual(0, bench.accessLines.size()); // the worker has written it
    }

    private static void lostStream() {
        Bench bench = streaming(INVOKE);
        say(bench, Unpooled.wrappedBuffer(item("x"), end(-3, 504)));
        checkEqual(chunk("x"), bench.receive(0));
        check(!bench.clients.get(0).isActive());
        checkEqual(504, bench.accessLines.get(0).get("status").getAsInt());
        bench = streaming(INVOKE);
        bench.clients.get(0).close();
        say(bench, end(-3, 504));
        checkEqual(0, bench.accessLines.size());
    }

    private static void lostWorker() {
        Bench bench = streaming(INVOKE);
        bench.workers.get(0).close();
        checkEqual("", bench.receive(0));
        check(!bench.clients.get(0).isActive());
        checkEqual(500, bench.accessLines.get(0).get("status").getAsInt());
    }

    private static void retiring() {
        Bench bench = streaming(INVOKE);
        check(!bench.retire(1));
        say(bench, item("more"));
        checkEqual(chunk("more"), bench.receive(0));
        bench.workers.get(0).close();
        bench.run();
        check(!bench.clients.get(0).isActive());
        checkEqual(503, bench.accessLines.get(0).get("status").getAsInt());
    }

    private static void oldClient() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE.replace("HTTP/1.1", "HTTP/1.0"));
        say(bench, Unpooled.wrappedBuffer(head(200, "a/b", "Transfer-Encoding", "x"), item("x")));
        String response = bench.receive(0);
        check(response.endsWith("connection: close\r\n\r\nx"));
        check(!response.toLowerCase().contains("transfer-encoding"));
        say(bench, Unpooled.wrappedBuffer(item("y"), end(-1)));
        checkEqual("y", bench.receive(0));
        check(!bench.clients.get(0).isActive());
    }

    private static void pipelined() {
        Bench bench = streaming(INVOKE);
        bench.send(Bench.get("/ping") + Bench.get("/nothing"));
        checkEqual("", bench.receive(0));
        say(bench, Unpooled.wrappedBuffer(item("x"), end(-1)));
        String rest = bench.receive(0);
        check(rest.startsWith(chunk("x") + LAST + "HTTP/1.1 503 "));
        checkContains(rest, "HTTP/1.1 404 ");
        bench = streaming(INVOKE);
        bench.send(Bench.get("/ping"));
        say(bench, end(-2, 500));
        checkEqual("", bench.receive(0)); // what waits behind is not answered
        check(!bench.clients.get(0).isActive());
    }

    private static void close() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(Bench.post("/invocations", "[1]", "Connection: close"));
        say(bench, Unpooled.wrappedBuffer(head(200, "a/b"), item("x")));
        checkContains(bench.receive(0), "connection: close\r\n\r\n" + chunk("x"));
        say(bench, end(-1));
        checkEqual(LAST, bench.receive(0));
        check(!bench.clients.get(0).isActive());
    }

    private static void gone() {
        Bench bench = streaming(INVOKE);
        bench.clients.get(0).close();
        checkEqual("C", heard(bench));
        ByteBuf more = item("more");
        say(bench, more);
        check(HttpTests.isFree(more));
        say(bench, end(-2, 499));
        check(bench.workers.get(0).isActive());
        checkEqual("", heard(bench));
        checkEqual(1, bench.workers.size());
        // A connection that was lost meanwhile is nobody's failure.
        bench = streaming(INVOKE);
        bench.clients.get(0).close();
        bench.workers.get(0).close();
        bench.run();
        checkEqual(0, bench.accessLines.size());
    }

    private static void goneBefore() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE);
        bench.workerRequest(0);
        bench.clients.get(0).close();
        checkEqual("", heard(bench));
        say(bench, Unpooled.wrappedBuffer(head(200, "a/b"), item("x")));
        checkEqual("C", heard(bench));
        say(bench, end(-2, 499));
        check(bench.workers.get(0).isActive());
    }

    private static void halfClosed() {
        Bench bench = streaming(INVOKE);
        bench.halfClose(0);
        check(!bench.clients.get(0).isActive());
        checkEqual("C", heard(bench));
    }

    private static boolean isReading(Bench bench) {
        return bench.workers.get(0).config().isAutoRead();
    }

    private static void unread() {
        Bench bench = streaming(INVOKE);
        bench.areClientsReading = false;
        String large = "x".repeat(1 << 16);
        say(bench, item("small"));
        check(isReading(bench));
        say(bench, item(large));
        check(!isReading(bench));
        bench.areClientsReading = true;
        bench.clients.get(0).flush();
        bench.run();
        check(isReading(bench));
        checkEqual(chunk("small") + chunk(large), bench.receive(0));
        bench.areClientsReading = false;
        say(bench, Unpooled.wrappedBuffer(item(large), end(-1)));
        check(isReading(bench)); // the connection is for others now
        bench.areClientsReading = true;
        bench.clients.get(0).flush();
        checkEqual(chunk(large) + LAST, bench.receive(0));
    }

    private static void goneUnread() {
        Bench bench = streaming(INVOKE);
        bench.areClientsReading = false;
        say(bench, item("x".repeat(1 << 17)));
        check(!isReading(bench));
        bench.clients.get(0).close();
        checkEqual("C", heard(bench));
        check(isReading(bench));
    }

    private static void notHttp() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(INVOKE);
        bench.workerRequest(0);
        say(bench, Unpooled.wrappedBuffer(head(-1, "a/b"), item("x")));
        checkContains(bench.receive(0), "\"code\": \"unencodable_prediction\"");
        checkEqual("C", heard(bench));
        bench.send(Bench.get("/nothing"));
        say(bench, end(-2, 499));
        check(bench.clients.get(0).isActive());
    }

    private static void noTimeLimit() {
        Bench bench = streaming(INVOKE);
        bench.advance(2000L * Bench.TIMEOUT_SECONDS);
        say(bench, item("late"));
        checkEqual(chunk("late"), bench.receive(0));
    }

    private static void heartbeat() {
        Bench bench = beginning("text/event-stream; charset=utf-8");
        beat(bench, 9);
        checkEqual("", bench.receive(0)); // there is no event yet
        say(bench, item("data: 1\n"));
        beat(bench, 9);
        checkEqual(chunk("data: 1\n"), bench.receive(0));
        say(bench, item("\n"));
        checkEqual(chunk("\n"), bench.receive(0));
        beat(bench, 0);
        checkEqual("", bench.receive(0));
        beat(bench, 9);
        checkEqual(chunk(": \n\n"), bench.receive(0));
        beat(bench, 9); // since the last one
        checkEqual("", bench.receive(0));
        beat(bench, 18);
        checkEqual(chunk(": \n\n"), bench.receive(0));
        say(bench, item("data: 2\r\n\r\n"));
        checkEqual(chunk("data: 2\r\n\r\n"), bench.receive(0));
        beat(bench, 9);
        checkEqual(chunk(": \n\n"), bench.receive(0));
        bench.clients.get(0).disconnect();
        beat(bench, 99);
        checkEqual("C", heard(bench));
    }

    private static void noHeartbeat() {
        Bench bench = beginning("application/jsonlines");
        say(bench, item("\n\n"));
        checkEqual(chunk("\n\n"), bench.receive(0));
        beat(bench, 9);
        checkEqual("", bench.receive(0));
    }

    /** Has the connection to the worker look whether its stream is quiet, in so many seconds. */
    private static void beat(Bench bench, int seconds) {
        Settings settings = new Settings(1, 1, 5, 1, 1, null, SocketLimits.NONE, new String[3]);
        WorkerConnection connection =
                bench.workers.get(0).pipeline().get(WorkerConnection.class);
        connection.check(System.nanoTime() + seconds * 1_000_000_000L, settings);
        bench.run();
    }

    private static void drain() {
        Bench bench = streaming(INVOKE);
        bench.handlers.drain(() -> {});
        bench.advance(100);
        say(bench, item("more"));
        checkEqual(chunk("more"), bench.receive(0));
        say(bench, end(-1));
        checkEqual(LAST, bench.receive(0));
        check(!bench.clients.get(0).isActive());
    }

    private static void counted() {
        Bench bench = streaming(INVOKE);
        say(bench, Unpooled.wrappedBuffer(item("12345"), end(-2, 504)));
        String counts = StatsTests.collect(bench).toString();
        checkContains(counts, "\"504\":1");
        checkContains(counts, "\"response_bytes\":5");
        bench = streaming(INVOKE);
        say(bench, item("123"));
        bench.clients.get(0).close();
        bench.run();
        counts = StatsTests.collect(bench).toString();
        checkContains(counts, "\"499\":1");
        checkContains(counts, "\"response_bytes\":3");
    }

    private static void outOfMemory() {
        Bench bench = streaming(INVOKE);
        EmbeddedChannel worker = bench.workers.get(0);
        worker.pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        bench.run();
        check(!bench.clients.get(0).isActive());
        checkEqual(507, bench.accessLines.get(0).get("status").getAsInt());
    }
}
