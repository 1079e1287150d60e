package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.util.List;

final class RoutingTests {
    private static final String TARGET = "X-Amzn-SageMaker-Target-Model: ";

    private RoutingTests() {}

    static void addTo(Tests tests) {
        tests.add("routing: pings", RoutingTests::pings);
        tests.add("routing: /invocations before anything is deployed", RoutingTests::nothingYet);
        tests.add("routing: a method that is not POST is 405", RoutingTests::methods);
        tests.add("routing: models by their names", RoutingTests::models);
        tests.add("routing: encoded paths", RoutingTests::encoded);
        tests.add("routing: the query becomes parts", RoutingTests::query);
        tests.add("routing: the later deployment of a route wins", RoutingTests::overlap);
        tests.add("routing: paths of a program", RoutingTests::program);
        tests.add("routing: a program without /invocations", RoutingTests::pathsAlone);
        tests.add("routing: paths while the one model is loaded", RoutingTests::notYet);
        tests.add("routing: errors on OpenAI's paths", RoutingTests::openAi);
        tests.add("routing: paths of the supervisor", RoutingTests::asked);
        tests.add("routing: patterns", RoutingTests::patterns);
        tests.add("routing: a client that asks for the same again", RoutingTests::sameTarget);
        tests.add("routing: a reply is passed on", RoutingTests::reply);
        tests.add(
                "routing: replies that are not refusals have no access line",
                RoutingTests::repliesWithoutAccessLines);
        tests.add("routing: replies that are not HTTP", RoutingTests::badReplies);
        tests.add("routing: no reply is 504", RoutingTests::noReply);
        tests.add("routing: a client that goes cancels its request", RoutingTests::cancel);
        tests.add("routing: a busy supervisor is 503", RoutingTests::busySupervisor);
    }

    private static void pings() {
        Bench bench = new Bench(1);
        String unknown = bench.send(Bench.get("/ping"));
        checkContains(unknown, "HTTP/1.1 503 Service Unavailable\r\n");
        checkContains(unknown, "content-length: 0\r\n");
        bench.handlers.setHealth(new Health(207, "application/json", "{}"));
        for (String method : new String[] {"GET", "POST"}) {
            String known = bench.send(Bench.request(method, "/ping?a=1"));
            checkContains(known, "HTTP/1.1 207 ");
            checkContains(known, "content-type: application/json\r\n");
            check(known.endsWith("\r\n\r\n{}"), known);
        }
        bench.handlers.setHealth(new Health(200, "", "", 3600));
        checkContains(bench.send(Bench.get("/ping")), "HTTP/1.1 200 ");
        String refused = bench.send(Bench.request("PUT", "/ping"));
        checkContains(refused, "HTTP/1.1 405 ");
        checkContains(refused, "allow: GET, HEAD, POST\r\n");
    }

    private static void nothingYet() {
        Bench bench = new Bench(1);
        String early = bench.send(Bench.post("/invocations", "[1]"));
        checkContains(early, "HTTP/1.1 503 ");
        checkContains(early, "retry-after: 5\r\n");
        checkContains(early, "\"code\": \"service_unavailable\"");
        bench.deploy(1, "/models/a/invoke");
        String unnamed = bench.send(Bench.post("/invocations", "[1]"));
        checkContains(unnamed, "HTTP/1.1 400 ");
        checkContains(unnamed, "Name a model");
    }

    private static void methods() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations", "/models/a/invoke");
        for (String path : new String[] {"/invocations", "/models/a/invoke"}) {
            String response = bench.send(Bench.get(path));
            checkContains(response, "HTTP/1.1 405 ");
            checkContains(response, "allow: POST\r\n");
            checkContains(response, "\"code\": \"method_not_allowed\"");
        }
    }

    private static Bench twoModels() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/models/a/invoke", "/predictions/a");
        bench.deploy(2, "/models/b c/invoke");
        return bench;
    }

    private static void models() {
        String[] first = {
            Bench.post("/models/a/invoke", "[1]"),
            Bench.post("/predictions/a", "[1]"),
            Bench.post("/invocations?model_name=a", "[1]"),
            Bench.post("/invocations", "[1]", TARGET + "a"),
            Bench.post("/invocations?model_name=a", "[1]", TARGET + "b c")
        };
        for (String request : first) {
            Bench bench = twoModels();
            bench.send(request);
            checkEqual("[1]", bench.workerRequest(0).body());
        }
        Bench bench = twoModels();
        bench.send(Bench.post("/invocations", "[1]", TARGET + "b c"));
        checkEqual("[1]", bench.workerRequest(1).body());
        String[] missing = {
            Bench.post("/models/d/invoke", "[1]"),
            Bench.get("/models/d/invoke"),
            Bench.post("/predictions/d", "[1]"),
            Bench.post("/invocations?model_name=d", "[1]"),
            Bench.post("/invocations", "[1]", TARGET + "d")
        };
        for (String request : missing) {
            String response = twoModels().send(request);
            checkContains(response, "HTTP/1.1 404 ");
            checkContains(response, "\"code\": \"model_not_found\"");
            checkContains(response, "Model d is not loaded");
        }
        for (String path : new String[] {"/models//invoke", "/models/invoke", "/predictions/"}) {
            checkContains(twoModels().send(Bench.post(path, "")), "\"code\": \"not_found\"");
        }
    }

    private static void encoded() {
        Bench bench = twoModels();
        bench.deploy(3, "/invocations");
        bench.send(Bench.post("/models/b%20c/invoke", "[1]"));
        checkEqual("[1]", bench.workerRequest(1).body());
        bench.answer(1, "");
        bench.receive(0);
        for (String path : new String[] {"/%69nvocations", "/%70ing", "/invocations/", "/pingx"}) {
            checkContains(bench.send(Bench.post(path, "")), "\"code\": \"not_found\"");
        }
        checkContains(bench.send(Bench.post("/models/b+c/invoke", "")), "Model b+c is not loaded");
    }

    private static void query() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(Bench.post("/invocations?a=%C3%A9&b=1&b=2&c=", "[1]"));
        List<String> expected =
                List.of("a (): \u00e9", "b (): 1", "b (): 2", "c (): ", "body (text/plain): [1]");
        checkEqual(expected, bench.workerRequest(0).parts);
    }

    private static void overlap() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations", "/a");
        bench.deploy(2, "/invocations");
        bench.send(Bench.post("/invocations", "[1]"));
        checkEqual("[1]", bench.workerRequest(1).body());
        bench.answer(1, "");
        bench.send(Bench.post("/a", "[2]"));
        checkEqual("[2]", bench.workerRequest(0).body());
        bench.answer(0, "");
        check(bench.retire(2));
        bench.send(Bench.post("/invocations", "[3]"));
        checkEqual("[3]", bench.workerRequest(0).body());
    }

    private static void program() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations", "/models/model/invoke", "/v1/chat", "/invocations/more");
        String[] targets = {"/v1/chat", "/v1/chat", "/v1/%63hat?a=1", "/invocations/more"};
        String[] paths = {"/v1/chat", "/v1/chat", "/v1/chat", "/invocations/more"};
        for (int i = 0; i < targets.length; i++) {
            bench.send(Bench.post(targets[i], "[1]"));
            WorkerRequest request = bench.workerRequest(0);
            checkEqual(paths[i], request.path);
            checkEqual("[1]", request.body());
            bench.answer(0, "");
            bench.receive(0);
        }
        for (String target : new String[] {"/invocations?a=1", "/models/%6dodel/invoke"}) {
            bench.send(Bench.post(target, "[1]"));
            check(bench.workerRequest(0).path == null, target);
            bench.answer(0, "");
            bench.receive(0);
        }
        String refused = bench.send(Bench.get("/v1/chat"));
        checkContains(refused, "HTTP/1.1 405 ");
        checkContains(refused, "allow: POST\r\n");
    }

    private static void pathsAlone() {
        Bench bench = new Bench(1);
        bench.deployments.expectOne();
        bench.deploy(1, "/v1/chat");
        String refused = bench.send(Bench.post("/invocations", "[1]"));
        checkContains(refused, "HTTP/1.1 404 ");
        checkContains(
                refused,
                "There is nothing at /invocations: the program has no @predictor without a path");
        checkContains(bench.send(Bench.post("/other", "")), "There is nothing at /other");
    }

    private static void notYet() {
        Bench bench = new Bench(1);
        checkContains(bench.send(Bench.post("/v1/chat", "[1]")), "HTTP/1.1 404 ");
        bench.deployments.expectOne();
        for (String path : new String[] {"/v1/chat", "/invocations", "/embed"}) {
            String early = bench.send(Bench.post(path, "[1]"));
            checkContains(early, "HTTP/1.1 503 ");
            checkContains(early, "retry-after: 5\r\n");
            checkContains(early, "No model is loaded yet");
        }
    }

    private static void openAi() {
        Bench bench = new Bench(1);
        String missing = bench.send(Bench.request("POST", "/v1/\"x", "Accept: text/plain"));
        checkContains(missing, "content-type: application/json\r\n");
        check(
                missing.endsWith(
                        "{\"error\": {\"message\": \"There is nothing at /v1/\\\"x\", "
                                + "\"type\": \"invalid_request_error\", \"param\": null, "
                                + "\"code\": \"not_found\"}}"),
                missing);
        bench.deployments.expectOne();
        String early = bench.send(Bench.post("/v1/chat", "[1]"));
        checkContains(early, "No model is loaded yet (request ");
        checkContains(early, "\"type\": \"server_error\", \"param\": null, ");
        checkContains(early, "\"code\": \"service_unavailable\"}}");
    }

    private static Bench asking() {
        Bench bench = new Bench(1);
        bench.requests.setPaths(new AskedPaths(List.of("/models", "/models/*", "/metrics")));
        return bench;
    }

    private static void asked() {
        Bench bench = asking();
        checkEqual("", bench.send(Bench.post("/models?limit=3", "[1]", "X-A: \u00e9")));
        JsonObject request = bench.sent.get(0);
        checkEqual("request", request.get("type").getAsString());
        checkEqual("POST", request.get("method").getAsString());
        checkEqual("/models?limit=3", request.get("target").getAsString());
        checkEqual("WzFd", request.get("body").getAsString());
        checkContains(request.get("headers").toString(), "[\"X-A\",\"\u00e9\"]");
        String large = "x".repeat(Bench.MAX_REQUEST_SIZE);
        bench = asking();
        bench.send(Bench.request("DELETE", "/models/a"));
        checkEqual(1, bench.sent.size());
        bench = asking();
        bench.send(Bench.post("/metrics", large));
        checkEqual(1, bench.sent.size());
        // A model without workers has no route; the supervisor says what is the matter with it.
        bench = asking();
        bench.requests.setPaths(new AskedPaths(List.of("/models/*/invoke")));
        checkEqual("", bench.send(Bench.post("/models/a/invoke", "[1]")));
        checkEqual(1, bench.sent.size());
    }

    private static void patterns() {
        AskedPaths paths = new AskedPaths(List.of("/models/*", "/a/*/b"));
        for (String path : new String[] {"/models/x", "/models/a%2Fb", "/a/x/b", "/m%6fdels/x"}) {
            check(paths.find(path) != null, path);
        }
        for (String path :
                new String[] {"/models", "/models/", "/models/x/", "/models/x/y", "/a//b", "/"}) {
            check(paths.find(path) == null, path);
        }
        check(new AskedPaths(List.of()).find("/") == null);
    }

    private static JsonObject json(String text, Object... values) {
        String quoted = String.format(text.replace('\'', '"'), values);
        return JsonParser.parseString(quoted).getAsJsonObject();
    }

    private static void reply() {
        Bench bench = asking();
        bench.send(Bench.get("/models"));
        long id = bench.sent.get(0).get("id").getAsLong();
        bench.requests.onReply(
                json(
                        "{'type':'reply','id':%d,'status':418,'headers':[['x-a','1'],['x-a','2'],"
                                + "['content-type','a/b']],'body':'aGk='}",
                        id));
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 418 ");
        checkContains(response, "x-a: 1\r\nx-a: 2\r\n");
        checkContains(response, "content-type: a/b\r\n");
        check(response.endsWith("\r\n\r\nhi"), response);
        String requestId = bench.sent.get(0).get("request_id").getAsString();
        checkContains(response, "x-request-id: " + requestId + "\r\n");
        JsonObject line = bench.accessLines.get(0);
        checkEqual(requestId, line.get("request_id").getAsString());
        checkEqual(418, line.get("status").getAsInt());
        checkEqual("/models", line.get("path").getAsString());
        bench.requests.onReply(json("{'id':%d}", id));
        checkEqual("", bench.receive(0));
        bench.advance(60_000);
        checkEqual("", bench.receive(0));
        checkEqual(1, bench.sent.size());
    }

    private static void sameTarget() {
        Bench bench = new Bench(1);
        String path = "/models/a/invoke";
        bench.deploy(1, path);
        for (String body : List.of("1", "2", "3")) {
            bench.send(Bench.post(path, body));
            checkEqual(body, bench.workerRequest(0).body());
            bench.answer(0, "first");
            checkContains(bench.receive(0), "first");
        }
        checkContains(bench.send(Bench.get(path)), "HTTP/1.1 405 ");
        bench.send(Bench.post(path + "?b=1", "4"));
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
        bench.retire(1);
        checkContains(bench.send(Bench.post(path, "5")), "HTTP/1.1 404 ");
        bench.deploy(2, path);
        bench.send(Bench.post(path, "6"));
        checkEqual("6", bench.workerRequest(1).body());
        bench.answer(1, "second");
        checkContains(bench.receive(0), "second");
    }

    private static void repliesWithoutAccessLines() {
        Bench bench = asking();
        bench.send(Bench.get("/models"));
        long id = bench.sent.get(0).get("id").getAsLong();
        bench.requests.onReply(json("{'id':%d,'status':399,'headers':[],'body':''}", id));
        checkContains(bench.receive(0), "HTTP/1.1 399 ");
        checkEqual(0, bench.accessLines.size());
    }

    private static void badReplies() {
        for (String rest :
                new String[] {
                    "",
                    ",'status':99,'headers':[],'body':''",
                    ",'status':200,'headers':[['a b','c']],'body':''",
                    ",'status':200,'headers':[['a','c\\r\\nd: e']],'body':''",
                    ",'status':200,'headers':[],'body':'!'"
                }) {
            Bench bench = asking();
            bench.send(Bench.get("/models"));
            long id = bench.sent.get(0).get("id").getAsLong();
            bench.requests.onReply(json("{'id':%d" + rest + "}", id));
            checkContains(bench.receive(0), "\"code\": \"internal_error\"");
        }
    }

    private static void noReply() {
        Bench bench = asking();
        bench.send(Bench.get("/models"));
        bench.advance(Bench.TIMEOUT_SECONDS * 1000L);
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 504 ");
        checkContains(response, "No answer within 20 s");
        checkEqual("cancel", bench.sent.get(1).get("type").getAsString());
    }

    private static void cancel() {
        Bench bench = asking();
        bench.send(Bench.get("/models"));
        bench.clients.get(0).close();
        bench.run();
        JsonObject cancel = bench.sent.get(1);
        checkEqual("cancel", cancel.get("type").getAsString());
        checkEqual(bench.sent.get(0).get("id"), cancel.get("id"));
        bench.requests.onReply(json("{'id':%d}", cancel.get("id").getAsLong()));
        bench.advance(60_000);
        checkEqual(2, bench.sent.size());
    }

    private static void busySupervisor() {
        Bench bench = asking();
        bench.isControlWritable = false;
        checkContains(bench.send(Bench.get("/models")), "HTTP/1.1 503 ");
        checkEqual(0, bench.sent.size());
    }
}
