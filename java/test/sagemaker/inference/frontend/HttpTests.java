package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandler;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.HttpResponseEncoder;
import java.util.List;

final class HttpTests {
    private HttpTests() {}

    static void addTo(Tests tests) {
        tests.add("http: the pipeline has no handler of Multi Model Server", HttpTests::pipeline);
        tests.add("http: answers come in the order of requests", HttpTests::order);
        tests.add("http: refusals come in order too", HttpTests::refusalsInOrder);
        tests.add("http: a connection is kept or closed as asked", HttpTests::keepAlive);
        tests.add("http: nothing follows a response that closes", HttpTests::nothingFollows);
        tests.add("http: many requests at once are cut off", HttpTests::cutOff);
        tests.add("http: HEAD has the headers of GET", HttpTests::head);
        tests.add("http: a body over the limit is 413", HttpTests::oversized);
        tests.add("http: a chunked body over the limit is 413", HttpTests::oversizedChunks);
        tests.add("http: expectations", HttpTests::expectations);
        tests.add("http: a long request line is 414", HttpTests::longLine);
        tests.add("http: long headers are 431", HttpTests::longHeaders);
        tests.add("http: what is not HTTP is 400", HttpTests::notHttp);
        tests.add("http: targets", HttpTests::targets);
        tests.add("http: errors as text", HttpTests::text);
        tests.add("http: an upgrade is ignored", HttpTests::upgrade);
        tests.add("http: messages are JSON whatever they quote", HttpTests::escaped);
        tests.add("http: an error while reading ends the connection", HttpTests::readError);
        tests.add("http: no memory while reading is 507", HttpTests::outOfMemory);
        tests.add("http: a browser may ask from another origin", HttpTests::preflight);
    }

    private static Bench deployed() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.handlers.setHealth(new Health(200, "text/plain", "fine"));
        return bench;
    }

    private static void pipeline() {
        Bench bench = new Bench(1);
        EmbeddedChannel client = bench.clients.get(0);
        checkEqual(
                List.of(
                        "guard", "decoder", "encoder", "aggregator", "pipelining", "target",
                        "router"),
                client.pipeline().names().subList(0, 7));
        List<Class<?>> expected =
                List.of(
                        RequestGuard.class,
                        HttpRequestDecoder.class,
                        HttpResponseEncoder.class,
                        RequestAggregator.class,
                        HttpPipeliningHandler.class,
                        RequestTargetHandler.class,
                        Router.class);
        for (Class<?> type : expected) {
            ChannelHandler handler = client.pipeline().get(type.asSubclass(ChannelHandler.class));
            checkEqual(type, handler.getClass());
        }
        checkEqual(HttpObjectAggregator.class, RequestAggregator.class.getSuperclass());
    }

    private static void order() {
        Bench bench = deployed();
        String requests = Bench.post("/invocations", "[1]") + Bench.get("/ping");
        checkEqual("", bench.send(requests + Bench.post("/invocations", "[2]")));
        checkEqual("[1]", bench.workerRequest(0).body());
        bench.answer(0, "first");
        String responses = bench.receive(0);
        check(responses.indexOf("first") < responses.indexOf("fine"), responses);
        checkEqual("[2]", bench.workerRequest(0).body());
        bench.answer(0, "second");
        checkContains(bench.receive(0), "second");
    }

    private static void refusalsInOrder() {
        Bench bench = deployed();
        String large = "x".repeat(Bench.MAX_REQUEST_SIZE + 1);
        String requests = Bench.post("/invocations", "[1]") + Bench.post("/invocations", large);
        checkEqual("", bench.send(requests + Bench.get("/ping")));
        bench.answer(0, "first");
        String responses = bench.receive(0);
        int refusal = responses.indexOf("HTTP/1.1 413 ");
        check(responses.indexOf("first") < refusal, responses);
        check(refusal < responses.indexOf("fine"), responses);
    }

    private static void keepAlive() {
        Bench bench = deployed();
        checkContains(bench.send(Bench.get("/ping")), "\r\nconnection: keep-alive\r\n");
        check(bench.clients.get(0).isActive());
        String old = "GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        checkContains(bench.send(old), "\r\nconnection: keep-alive\r\n");
        check(bench.clients.get(0).isActive());
        checkContains(bench.send("GET /ping HTTP/1.0\r\n\r\n"), "\r\nconnection: close\r\n");
        check(!bench.clients.get(0).isActive());
        bench = deployed();
        String closing = Bench.request("GET", "/ping", "Connection: close");
        checkContains(bench.send(closing), "\r\nconnection: close\r\n");
        check(!bench.clients.get(0).isActive());
    }

    private static void nothingFollows() {
        Bench bench = deployed();
        String closing = Bench.request("GET", "/ping", "Connection: close");
        String responses = bench.send(closing + Bench.post("/invocations", "[1]"));
        checkEqual(2, responses.split("HTTP/1.1 ", -1).length);
        checkEqual("", Bench.text(bench.workers.get(0)));
    }

    private static void cutOff() {
        Bench bench = deployed();
        bench.send(Bench.post("/invocations", "[1]") + Bench.get("/ping").repeat(150));
        check(!bench.clients.get(0).config().isAutoRead());
        bench.answer(0, "first");
        String responses = bench.receive(0);
        checkEqual(102, responses.split("HTTP/1.1 200", -1).length);
        check(responses.lastIndexOf("connection: close") > responses.lastIndexOf("keep-alive"));
        bench.advance(5000);
        check(!bench.clients.get(0).isActive());
    }

    private static void head() {
        Bench bench = deployed();
        String head = bench.send(Bench.request("HEAD", "/ping"));
        checkContains(head, "\r\ncontent-length: 4\r\n");
        check(head.endsWith("\r\n\r\n"), head);
        String missing = bench.send(Bench.request("HEAD", "/nothing") + Bench.get("/ping"));
        checkContains(missing, "HTTP/1.1 404 ");
        check(!missing.contains("not_found"), missing);
        check(missing.endsWith("\r\n\r\nfine"), missing);
    }

    private static void oversized() {
        Bench bench = deployed();
        int size = Bench.MAX_REQUEST_SIZE + 1;
        String head = Bench.post("/invocations", "x".repeat(size)).split("\r\n\r\n")[0];
        String response = bench.send(head + "\r\n\r\n");
        checkContains(response, "HTTP/1.1 413 ");
        checkContains(response, "\"code\": \"payload_too_large\"");
        checkContains(response, "The body has " + size + " bytes; at most ");
        checkContains(response, "at most " + Bench.PAYLOAD_LIMIT + " bytes are allowed");
        checkEqual("", bench.send("x".repeat(size)));
        checkContains(bench.send(Bench.get("/ping")), "fine");
        String closing = "POST /invocations HTTP/1.0\r\nContent-Length: " + size + "\r\n\r\nxx";
        checkContains(bench.send(closing), "connection: close");
        checkEqual("", bench.send("x".repeat(100)));
        bench.advance(5000);
        check(!bench.clients.get(0).isActive());
    }

    private static void oversizedChunks() {
        Bench bench = deployed();
        String head = Bench.request("POST", "/invocations", "Transfer-Encoding: chunked");
        String chunk = "4e20\r\n" + "x".repeat(20000) + "\r\n";
        String response = bench.send(head + chunk.repeat(3));
        checkContains(response, "HTTP/1.1 413 ");
        checkContains(response, "The body is too large; at most");
        checkEqual("", bench.send(chunk + "0\r\n\r\n"));
        checkContains(bench.send(Bench.get("/ping")), "fine");
    }

    private static void expectations() {
        Bench bench = deployed();
        String[] request = Bench.post("/invocations", "[1]", "Expect: 100-continue").split("\\[");
        checkContains(bench.send(request[0]), "HTTP/1.1 100 Continue\r\n\r\n");
        bench.send("[" + request[1]);
        checkEqual("[1]", bench.workerRequest(0).body());
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
        String large =
                Bench.request(
                        "POST", "/invocations", "Expect: 100-continue", "Content-Length: 999999");
        String refusal = bench.send(large);
        checkContains(refusal, "HTTP/1.1 413 ");
        // The client may send the body, or the next request.
        checkContains(refusal, "connection: close");
        checkEqual("", bench.send(Bench.get("/ping")));
        bench = deployed();
        bench.send(Bench.post("/invocations", "[2]", "Expect: something"));
        checkEqual("[2]", bench.workerRequest(0).body());
        bench.answer(0, "second");
        checkContains(bench.receive(0), "second");
        // An interim response must not be taken for the response to HEAD.
        String first = Bench.post("/invocations", "[3]", "Expect: 100-continue");
        bench.send(first + Bench.request("HEAD", "/ping"));
        bench.answer(0, "third");
        checkContains(bench.receive(0), "third");
    }

    private static void longLine() {
        Bench bench = deployed();
        String response = bench.send(Bench.get("/" + "x".repeat(5000)));
        checkContains(response, "HTTP/1.1 414 ");
        checkContains(response, "\"code\": \"uri_too_long\"");
        checkContains(response, "connection: close");
        checkEqual("", bench.send(Bench.get("/ping")));
    }

    private static void longHeaders() {
        Bench bench = deployed();
        String response = bench.send(Bench.request("GET", "/ping", "X: " + "x".repeat(9000)));
        checkContains(response, "HTTP/1.1 431 ");
        checkContains(response, "\"code\": \"header_fields_too_large\"");
        checkContains(response, "connection: close");
    }

    private static void notHttp() {
        for (String text :
                new String[] {
                    "hello\r\n\r\n",
                    "GET / FTP/1\r\n\r\n",
                    "GET /ping HTTP/1.1\r\n:\r\n\r\n",
                    "POST /invocations HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                    "POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                }) {
            Bench bench = deployed();
            String response = bench.send(text);
            checkContains(response, "HTTP/1.1 400 ");
            checkContains(response, "\"code\": \"bad_request\"");
            checkContains(response, "connection: close");
            checkContains(response, "x-request-id: ");
        }
    }

    private static void targets() {
        Bench bench = deployed();
        checkContains(bench.send(Bench.get("http://x/ping")), "fine");
        checkContains(bench.send(Bench.get("HTTPS://x:80/ping?a=1")), "fine");
        checkContains(bench.send(Bench.get("http://x")), "HTTP/1.1 404 ");
        for (String target : new String[] {"*", "x:80", "ping", "/%zz", "/ping?a=%z", "/a?%"}) {
            String response = bench.send(Bench.get(target));
            checkContains(response, "HTTP/1.1 400 ");
            checkContains(response, "The URL cannot be read");
        }
        check(bench.clients.get(0).isActive());
    }

    private static void text() {
        Bench bench = deployed();
        String text = bench.send(Bench.request("GET", "/nothing", "Accept: text/plain"));
        checkContains(text, "content-type: text/plain; charset=utf-8");
        check(text.endsWith("\r\n\r\nThere is nothing at /nothing"), text);
        String json = bench.send(Bench.request("GET", "/nothing", "Accept: text/plain, */*"));
        checkContains(json, "content-type: application/json");
    }

    private static void upgrade() {
        Bench bench = deployed();
        String[] headers = {"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"};
        checkContains(bench.send(Bench.request("GET", "/ping", headers)), "HTTP/1.1 200 OK");
        checkContains(bench.send(Bench.get("/ping")), "fine");
    }

    private static void escaped() {
        Bench bench = deployed();
        String response = bench.send(Bench.get("/%22%5c%0a%01"));
        checkContains(response, "There is nothing at /\\\"\\\\\\u000a\\u0001\"");
    }

    private static void readError() {
        Bench bench = deployed();
        bench.clients.get(0).pipeline().fireExceptionCaught(new IllegalStateException("a test"));
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 500 ");
        checkContains(response, "internal_error");
        checkContains(response, "connection: close");
        bench.advance(5000);
        check(!bench.clients.get(0).isActive());
    }

    private static void outOfMemory() {
        Bench bench = deployed();
        bench.clients.get(0).pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        checkContains(bench.receive(0), "\"code\": \"out_of_memory\"");
        // Once more, while the rest of the request is discarded.
        bench.clients.get(0).pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        checkEqual("", bench.send(Bench.get("/ping")));
        bench.advance(5000);
        check(!bench.clients.get(0).isActive());
        // While a worker has a request, only its answer is sent.
        bench = deployed();
        bench.send(Bench.post("/invocations", "[1]"));
        bench.clients.get(0).pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        checkEqual("", bench.receive(0));
        bench.answer(0, "first");
        String response = bench.receive(0);
        checkContains(response, "first");
        checkContains(response, "connection: close");
    }

    private static void preflight() {
        Bench bench = new Bench(1, 100, new String[] {"*", "POST", null});
        String[] headers = {"Origin: http://y", "Access-Control-Request-Method: POST"};
        String response = bench.send(Bench.request("OPTIONS", "/invocations", headers));
        checkContains(response, "HTTP/1.1 200 OK");
        checkContains(response, "access-control-allow-origin: *");
        checkContains(response, "access-control-allow-methods: POST");
        String other = deployed().send(Bench.request("OPTIONS", "/invocations", headers));
        checkContains(other, "HTTP/1.1 405 ");
    }

    /** Returns whether nothing refers to a buffer any more. */
    static boolean isFree(ByteBuf buffer) {
        return buffer.refCnt() == 0;
    }
}
