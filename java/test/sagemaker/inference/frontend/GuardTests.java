package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import java.util.List;

/** The guard before Netty's decoder; each request is sent at once, and in single bytes. */
final class GuardTests {
    private static final String POST = "POST /invocations HTTP/1.1\r\nHost: x\r\n";
    private static final String CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n";
    // What a request must not hide.
    private static final String HIDDEN = Bench.post("/invocations", "hidden");

    private GuardTests() {}

    static void addTo(Tests tests) {
        tests.add("guard: CVE-2025-58056, chunk extensions that end in LF", GuardTests::cve58056);
        tests.add("guard: CVE-2026-33870, quotes in chunk extensions", GuardTests::cve33870);
        tests.add("guard: CVE-2026-42581, HTTP/1.0 with two lengths", GuardTests::cve42581);
        tests.add("guard: CVE-2026-50020, controls before a request", GuardTests::cve50020);
        tests.add("guard: lengths", GuardTests::lengths);
        tests.add("guard: transfer codings", GuardTests::codings);
        tests.add("guard: request lines", GuardTests::requestLines);
        tests.add("guard: header fields", GuardTests::fields);
        tests.add("guard: hosts", GuardTests::hosts);
        tests.add("guard: chunks", GuardTests::chunks);
        tests.add("guard: trailers", GuardTests::trailers);
        tests.add("guard: what is right passes as it is", GuardTests::passes);
        tests.add("guard: requests before a bad one are answered first", GuardTests::inOrder);
        tests.add("guard: nothing follows a bad request", GuardTests::nothingFollows);
        tests.add("guard: bad chunks of a body over the limit", GuardTests::oversized);
    }

    private static Bench deployed() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.handlers.setHealth(new Health(200, "text/plain", "fine"));
        return bench;
    }

    private static String sendBytes(Bench bench, String text) {
        StringBuilder received = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            received.append(bench.send(text.substring(i, i + 1)));
        }
        return received.toString();
    }

    private static void refused(String request, String why) {
        Bench bench = deployed();
        checkRefused(bench, bench.send(request + HIDDEN), why);
        bench = deployed();
        checkRefused(bench, sendBytes(bench, request + HIDDEN), why);
    }

    private static void checkRefused(Bench bench, String response, String why) {
        checkEqual(2, response.split("HTTP/1.1 ", -1).length);
        checkContains(response, "HTTP/1.1 400 ");
        checkContains(response, "\"code\": \"bad_request\"");
        checkContains(response, "The request is not valid HTTP: " + why);
        checkContains(response, "connection: close");
        checkEqual("", bench.receive(0));
        checkEqual("", Bench.text(bench.workers.get(0)));
        bench.advance(60_000);
        check(!bench.clients.get(0).isActive());
    }

    private static void passed(String request, String body) {
        Bench bench = deployed();
        bench.send(request + Bench.get("/ping"));
        checkPassed(bench, body);
        bench = deployed();
        sendBytes(bench, request + Bench.get("/ping"));
        checkPassed(bench, body);
    }

    private static void checkPassed(Bench bench, String body) {
        checkEqual(body, bench.workerRequest(0).body());
        bench.answer(0, "answer");
        String responses = bench.receive(0);
        checkContains(responses, "answer");
        checkContains(responses, "fine");
    }

    private static void cve58056() {
        refused(CHUNKED + "1;a\nx\r\n0\r\n\r\n", "the extension of a chunk has quotes");
        refused(CHUNKED + "1\nx\r\n0\r\n\r\n", "the size of a chunk is not a number");
        refused(CHUNKED + "1;\n\r\nx\r\n0\r\n\r\n", "the extension of a chunk has quotes");
    }

    private static void cve33870() {
        refused(CHUNKED + "1;a=\"\r\nx\r\n0\r\n\r\n", "the extension of a chunk has quotes");
        refused(CHUNKED + "1;a=\"b\"\r\nx\r\n0\r\n\r\n", "the extension of a chunk has quotes");
    }

    private static void cve42581() {
        String old = "POST /invocations HTTP/1.0\r\n";
        String chunked = "Transfer-Encoding: chunked\r\n";
        refused(old + "Content-Length: 1\r\n" + chunked + "\r\n0\r\n\r\n", "there are both");
        refused(old + chunked + "\r\n0\r\n\r\n", "HTTP/1.0 has no transfer-encoding");
    }

    private static void cve50020() {
        for (char control : new char[] {0, 1, '\t', 0x0b, 0x1f, ' ', 0x7f, 0x85}) {
            refused(control + Bench.post("/invocations", "x"), "the request line is not");
        }
        refused("\n" + Bench.post("/invocations", "x"), "a line ends without CR LF");
        refused("\r" + Bench.post("/invocations", "x"), "a line ends without CR LF");
        refused("\r\r\n" + Bench.post("/invocations", "x"), "a line ends without CR LF");
    }

    private static void lengths() {
        String chunked = "Transfer-Encoding: chunked\r\n";
        refused(POST + "Content-Length: 1\r\n" + chunked + "\r\n0\r\n\r\n", "there are both");
        refused(POST + chunked + "content-length: 1\r\n\r\n0\r\n\r\n", "there are both");
        String twice = "there are two fields content-length";
        refused(POST + "Content-Length: 1\r\nContent-length: 1\r\n\r\nx", twice);
        refused(POST + "Content-Length: 1\r\nX: y\r\nCONTENT-LENGTH: 2\r\n\r\nx", twice);
        for (String value :
                List.of("1, 1", "+1", "-1", "1x", "0x1", "1 1", "1,", "", " ", "\u00b2", "1.0")) {
            String why = "content-length is not one number";
            refused(POST + "Content-Length: " + value + "\r\n\r\nx", why);
        }
        String large = "1".repeat(19);
        refused(POST + "Content-Length: " + large + "\r\n\r\nx", "content-length is not one");
        // Old WebSockets, for which the decoder reads eight bytes more.
        String keys = "Sec-WebSocket-Key1: 1\r\nSec-WebSocket-Key2: 2\r\n";
        refused(POST + keys + "\r\n", "the field sec-websocket-key1 is not supported");
    }

    private static void codings() {
        for (String value :
                List.of(
                        "chunked, identity",
                        "identity, chunked",
                        "gzip, chunked",
                        "xchunked",
                        "chunkedx",
                        "chunke",
                        "chunked chunked",
                        "\"chunked\"",
                        "identity",
                        ",",
                        "",
                        "\u000bchunked")) {
            Bench bench = deployed();
            String request = POST + "Transfer-Encoding: " + value + "\r\n\r\n0\r\n\r\n";
            String response = bench.send(request + HIDDEN);
            checkContains(response, "HTTP/1.1 400 ");
            checkEqual(2, response.split("HTTP/1.1 ", -1).length);
            checkEqual("", Bench.text(bench.workers.get(0)));
        }
        String line = "Transfer-Encoding: chunked\r\n";
        refused(POST + line + line + "\r\n0\r\n\r\n", "there are two fields transfer-encoding");
        refused(POST + "Transfer-Encoding: xchunked\r\n\r\n", "transfer-encoding is not chunked");
    }

    private static void requestLines() {
        String why = "the request line is not: METHOD TARGET HTTP/1.1";
        for (String line :
                List.of(
                        "GET  /ping HTTP/1.1",
                        "GET /ping  HTTP/1.1",
                        "GET\t/ping HTTP/1.1",
                        "GET /ping\tHTTP/1.1",
                        "GET /p ing HTTP/1.1",
                        "GET /ping HTTP/1.1 ",
                        "GET /ping HTTP/2.0",
                        "GET /ping HTTP/1.2",
                        "GET /ping http/1.1",
                        "GET /ping",
                        "GET /pi\u0000ng HTTP/1.1",
                        "G(T /ping HTTP/1.1",
                        "hello")) {
            refused(line + "\r\nHost: x\r\n\r\n", why);
        }
        refused(
                "GET /ping?\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n",
                "the URL has bytes beyond ASCII, which belong percent-encoded");
        refused("GET /ping HTTP/1.1\nHost: x\r\n\r\n", "a line ends without CR LF");
        refused("GET /ping HTTP/1.1\r\r\nHost: x\r\n\r\n", "a line ends without CR LF");
    }

    private static void fields() {
        String notToken = "the name of a header field is not a token";
        for (String line :
                List.of(
                        "Content-Length : 1",
                        "Transfer-Encoding\t: chunked",
                        ": 1",
                        "X(Y: 1",
                        "X\u0000: 1",
                        "X\u00e9: 1",
                        "no colon")) {
            refused(POST + line + "\r\n\r\n", notToken);
        }
        refused(POST + " X: 1\r\n\r\n", "a header field goes on in another line");
        refused(POST + "X: 1\r\n\t2\r\n\r\n", "a header field goes on in another line");
        for (String line :
                List.of("X: 1\n", "X\n", "X: 1\rY: 2\r\n", "Content-Length: 1\n")) {
            refused(POST + line + "\r\n", "a line ends without CR LF");
        }
        refused(POST + "\n", "a line ends without CR LF");
        refused(POST + "\rX", "a line ends without CR LF");
        for (char control : new char[] {0, 1, 0x0b, 0x0c, 0x1f, 0x7f}) {
            String why = "a header field has a control character";
            refused(POST + "X: 1" + control + "\r\n\r\n", why);
        }
    }

    private static void hosts() {
        String end = "Content-Length: 3\r\n\r\n[1]";
        String start = "POST /invocations HTTP/1.1\r\n";
        refused(start + end, "the field host is missing");
        refused(start + "Hos: x\r\nHosts: x\r\n" + end, "the field host is missing");
        refused("POST http://x/invocations HTTP/1.1\r\n" + end, "the field host is missing");
        // Whoever reads the first one and whoever reads the last one disagree.
        String old = "POST /invocations HTTP/1.0\r\n";
        for (String line : List.of(start, old)) {
            refused(line + "Host: x\r\nHOST: x\r\n" + end, "there are two fields host");
            refused(line + "Host:\r\nX: 1\r\nhost: y\r\n" + end, "there are two fields host");
            refused(line + "Host: x y\r\n" + end, "host is not a name or an address");
        }
        for (String value :
                List.of(
                        "x, y", "http://x", "x/", "me@x", "x:y", "x:1:2", "::1", "[::1", "[::1]1",
                        "[]:x", "[:/]", "x]", "%", "%4", "%4g", "%g0", "x\\y", "\"x\"", "x?", "x#",
                        "<x>", "x^", "x\u00e9", "%\u00e9", "[\u00e9]", "[::1]:8\u00e9", "x\ty")) {
            String request = start + "Host: " + value + "\r\n" + end;
            refused(request, "host is not a name or an address");
        }
        refused(start + "Host: x\n" + end, "a line ends without CR LF");
        refused(start + "Host: x\u0000\r\n" + end, "a header field has a control character");
        for (String value :
                List.of(
                        "x", " ", "", "x:", "x:8080", ":8080", "127.0.0.1:8080", "[::1]",
                        "[::1]:80", "[v1.a:b]", "a_b.c-d~e", "%c3%A9.x:1", "a!$&'()*+,;=b",
                        "X.Y \t")) {
            passed(start + "Host: " + value + "\r\n" + end, "[1]");
            passed(start + "hOSt:" + value + "\r\n" + end, "[1]");
        }
        passed(start + "Hos: /\r\nHosts: /\r\nHost: x\r\n" + end, "[1]");
        // A health check's, perhaps; and it keeps its connection for the ping behind it.
        passed(old + "Connection: keep-alive\r\n" + end, "[1]");
    }

    private static void chunks() {
        String large = "the size of a chunk is too large";
        refused(CHUNKED + "fffffffe\r\nx", large);
        refused(CHUNKED + "80000000\r\nx", large);
        refused(CHUNKED + "0".repeat(17) + "\r\n", large);
        for (String size : List.of("", "x", "-1", "+1", " 1", "1 ", "0x1", "\u0661", ";a")) {
            refused(CHUNKED + size + "\r\nx\r\n0\r\n\r\n", "the size of a chunk is not a number");
        }
        refused(CHUNKED + "1\rx\r\n0\r\n\r\n", "a chunk's size ends without CR LF");
        refused(CHUNKED + "1\r\nxy\r\n0\r\n\r\n", "a chunk has more bytes than its size says");
        refused(CHUNKED + "1\r\nx\n0\r\n\r\n", "a chunk has more bytes than its size says");
        refused(CHUNKED + "1\r\nx\rx0\r\n\r\n", "a chunk ends without CR LF");
        String extension = "1;" + "a".repeat(300) + "\r\nx\r\n0\r\n\r\n";
        refused(CHUNKED + extension, "the extension of a chunk is too long");
    }

    private static void trailers() {
        refused(CHUNKED + "0\r\nX: 1\n\r\n", "a line ends without CR LF");
        refused(CHUNKED + "0\r\nX : 1\r\n\r\n", "the name of a header field is not a token");
        String why = "the trailer has the field ";
        refused(CHUNKED + "0\r\nContent-Length: 1\r\n\r\n", why + "content-length");
        refused(CHUNKED + "0\r\nTransfer-Encoding: chunked\r\n\r\n", why + "transfer-encoding");
        refused(CHUNKED + "0\r\nHost: x\r\n\r\n", why + "host");
    }

    private static void passes() {
        passed(POST + "Content-Length: 3\r\n\r\n[1]", "[1]");
        passed(POST + "content-length:3 \t\r\n\r\n[1]", "[1]");
        passed(POST + "Content-Length: \t0003\r\n\r\n[1]", "[1]");
        passed(POST + "Content-Length: 0\r\n\r\n", "");
        passed(POST + "\r\n", "");
        passed("\r\n\r\n" + POST + "Content-Length: 3\r\n\r\n[1]\r\n", "[1]");
        passed(POST + "TRANSFER-ENCODING: Chunked \r\n\r\n3\r\n[1]\r\n0\r\n\r\n", "[1]");
        passed(CHUNKED + "2\r\n[1\r\n001\r\n]\r\n00\r\nX-Checksum: 1\r\n\r\n", "[1]");
        passed(CHUNKED + "1;a=b; c\r\n[\r\n00000002;\r\n1]\r\n0;z\r\n\r\n", "[1]");
        passed(CHUNKED + "00A\r\n0123456789\r\n0\r\n\r\n", "0123456789");
        // Fields whose names are like those that frame a body.
        String alike =
                "Content-Lengths: x\r\nContent: x\r\nTransfer-Encodin: y\r\nCxntent-Length:\r\n";
        passed(POST + alike + "Content-Length: 3\r\n\r\n[1]", "[1]");
        passed(POST + "X: \"\u00e9\t=,\r\nX-_!#$%&'*+.^`|~:\r\nContent-Length: 1\r\n\r\n1", "1");
        // Not our business: what bodies hold.
        passed(POST + "Content-Length: 6\r\n\r\n\n\r\n\u0000\r\n", "\n\r\n\u0000\r\n");
    }

    private static void inOrder() {
        Bench bench = deployed();
        String good = Bench.post("/invocations", "[1]");
        checkEqual("", bench.send(good + Bench.get("/ping") + CHUNKED + "x\r\n" + HIDDEN));
        bench.answer(0, "first");
        String responses = bench.receive(0);
        int refusal = responses.indexOf("HTTP/1.1 400 ");
        check(responses.indexOf("first") < responses.indexOf("fine"), responses);
        check(responses.indexOf("fine") < refusal, responses);
        checkEqual(4, responses.split("HTTP/1.1 ", -1).length);
        checkEqual("[1]", bench.workerRequest(0).body());
    }

    private static void nothingFollows() {
        Bench bench = deployed();
        checkContains(bench.send("hello\r\n"), "HTTP/1.1 400 ");
        checkEqual("", bench.send(Bench.get("/ping")));
        // What follows a body whose head came before.
        bench = deployed();
        checkEqual("", bench.send(POST + "Content-Length: 3\r\n\r\n"));
        checkEqual("", bench.send("[1]\n" + HIDDEN));
        bench.answer(0, "first");
        String responses = bench.receive(0);
        check(responses.indexOf("first") < responses.indexOf("HTTP/1.1 400 "), responses);
        checkEqual(3, responses.split("HTTP/1.1 ", -1).length);
    }

    private static void oversized() {
        Bench bench = deployed();
        String chunk = "c350\r\n" + "x".repeat(50_000) + "\r\n";
        checkContains(bench.send(CHUNKED + chunk), "HTTP/1.1 413 ");
        checkEqual("", bench.send("junk\r\n" + HIDDEN));
        checkEqual("", Bench.text(bench.workers.get(0)));
        bench.advance(60_000);
        check(!bench.clients.get(0).isActive());
    }
}
