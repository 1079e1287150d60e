package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import com.google.gson.JsonObject;
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
        tests.add("end: too many access lines are counted", EndTests::lost);
        tests.add("end: a client that half-closes gets its answer", EndTests::halfClosed);
        tests.add("end: one that is idle is closed", EndTests::halfClosedIdle);
        tests.add("end: half a request that ends", EndTests::halfRequest);
        tests.add("end: who may have gone gives way", EndTests::giveWay);
        tests.add("end: who may have gone waits no longer than others", EndTests::giveWayLong);
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
}
