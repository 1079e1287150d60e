package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkEqual;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.netty.util.concurrent.ImmediateEventExecutor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

final class StatsTests {
    private StatsTests() {}

    static void addTo(Tests tests) {
        tests.add("stats: every request counts once, whoever answers it", StatsTests::everyRequest);
        tests.add("stats: a bad body counts at its path, however it is cut", StatsTests::badBody);
        tests.add("stats: models have counts of their own", StatsTests::models);
        tests.add("stats: a client that disconnects counts as 499", StatsTests::disconnected);
        tests.add("stats: event loops are added up", StatsTests::loops);
        tests.add("stats: models that are gone are one sum", StatsTests::manyModels);
        tests.add("stats: durations and statuses", StatsTests::durations);
    }

    static List<JsonObject> collect(Bench bench) {
        List<JsonObject> routes = new ArrayList<>();
        bench.handlers
                .stats()
                .collect(
                        ImmediateEventExecutor.INSTANCE,
                        array -> {
                            for (JsonElement route : array) {
                                routes.add(route.getAsJsonObject());
                            }
                        });
        bench.run();
        return routes;
    }

    /** Returns the counts by "path model status". */
    private static Map<String, Long> answers(Bench bench) {
        Map<String, Long> answers = new TreeMap<>();
        for (JsonObject route : collect(bench)) {
            checkEqual(0, route.get("running").getAsInt());
            String name =
                    route.get("path").getAsString() + " " + route.get("model").getAsString() + " ";
            for (Map.Entry<String, JsonElement> status :
                    route.getAsJsonObject("statuses").entrySet()) {
                answers.put(name + status.getKey(), status.getValue().getAsLong());
            }
        }
        return answers;
    }

    private static void everyRequest() {
        Bench bench = new Bench(1);
        bench.send(Bench.post("/invocations", "[1]"));
        bench.send(Bench.get("/invocations"));
        bench.send(Bench.get("/ping"));
        bench.send(Bench.request("HEAD", "/ping"));
        bench.send(Bench.request("PUT", "/ping"));
        bench.send(Bench.get("/nothing"));
        bench.send(Bench.post("/models/none/invoke", ""));
        bench.requests.setPaths(new AskedPaths(List.of("/metrics", "/models/*")));
        bench.send(Bench.get("/metrics"));
        bench.requests.onReply(reply(bench, 0, 200));
        bench.receive(0);
        bench.send(Bench.get("/models/a"));
        bench.requests.onReply(reply(bench, 1, 404));
        bench.receive(0);
        bench.send("nonsense\r\n\r\n");
        Map<String, Long> expected = new TreeMap<>();
        expected.put("/invocations  405", 1L);
        expected.put("/invocations  503", 1L);
        expected.put("/metrics  200", 1L);
        expected.put("/models/*  404", 1L);
        expected.put("/models/*/invoke  404", 1L);
        expected.put("/ping  405", 1L);
        expected.put("/ping  503", 2L);
        expected.put("other  400", 1L);
        expected.put("other  404", 1L);
        checkEqual(expected, answers(bench));
        JsonObject invocations = collect(bench).get(0);
        checkEqual(3L, invocations.get("request_bytes").getAsLong());
        check(invocations.get("response_bytes").getAsLong() > 100, invocations);
    }

    private static void badBody() {
        String head =
                "POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        String good = "1\r\nx\r\n";
        String bad = "zz\r\n";
        for (List<String> parts :
                List.of(
                        List.of(head + bad),
                        List.of(head, bad),
                        List.of(head + good + bad),
                        List.of(head + good, bad),
                        List.of(Bench.get("/ping") + head + bad))) {
            Bench bench = new Bench(1);
            parts.forEach(bench::send);
            Map<String, Long> answers = answers(bench);
            answers.remove("/ping  503");
            checkEqual(Map.of("/invocations  400", 1L), answers);
        }
    }

    private static JsonObject reply(Bench bench, int index, int status) {
        JsonObject reply = new JsonObject();
        reply.addProperty("id", bench.sent.get(index).get("id").getAsLong());
        reply.addProperty("status", status);
        reply.add("headers", new JsonArray());
        reply.addProperty("body", "");
        return reply;
    }

    private static void models() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/models/a/invoke", "/predictions/a");
        bench.send(Bench.get("/models/a/invoke"));
        bench.send(Bench.get("/predictions/a"));
        String header = "X-Amzn-SageMaker-Target-Model: ";
        bench.send(Bench.request("GET", "/invocations", header + "a"));
        bench.send(Bench.request("GET", "/invocations", header + "b"));
        Map<String, Long> expected = new TreeMap<>();
        expected.put("/invocations  405", 1L);
        expected.put("/invocations a 405", 1L);
        expected.put("/models/*/invoke a 405", 1L);
        expected.put("/predictions/* a 405", 1L);
        checkEqual(expected, answers(bench));
    }

    private static void disconnected() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(Bench.post("/invocations", "[1]"));
        checkEqual(1, collect(bench).get(0).get("running").getAsInt());
        bench.clients.get(0).close();
        bench.run();
        checkEqual(Map.of("/invocations  499", 1L), answers(bench));
        bench.workers.get(0).close();
        bench.run();
        checkEqual(Map.of("/invocations  499", 1L), answers(bench));
    }

    private static void loops() {
        Bench bench = new Bench(3);
        bench.send(0, Bench.get("/ping"));
        bench.send(1, Bench.get("/ping"));
        bench.send(1, Bench.get("/ping"));
        checkEqual(Map.of("/ping  503", 3L), answers(bench));
    }

    private static void manyModels() {
        Bench bench = new Bench(1);
        for (int i = 0; i < 250; i++) {
            bench.deploy(i, "/models/" + i + "/invoke");
            bench.send(Bench.get("/models/" + i + "/invoke"));
            if (i != 7) {
                bench.retire(i);
            }
        }
        Map<String, Long> answers = answers(bench);
        check(answers.size() <= 101, answers.size());
        checkEqual(1L, answers.get("/models/*/invoke 7 405"));
        check(answers.get("/models/*/invoke other 405") > 100, answers);
        checkEqual(250L, answers.values().stream().mapToLong(Long::longValue).sum());
    }

    private static void durations() {
        RouteStats stats = new RouteStats("/a", "");
        for (int status = 200; status < 210; status++) {
            stats.start(1);
            stats.finish(status, 5_000_000L * (status - 199), 2);
        }
        stats.start(0);
        stats.finish(200, 61_000_000_000L, 0);
        JsonObject json = stats.copy().toJson();
        checkEqual("[1,1,3,5,0,0,0,0,0,0,0,0,0,1]", json.get("durations").toString());
        checkEqual(2L, json.getAsJsonObject("statuses").get("200").getAsLong());
        checkEqual(10, json.getAsJsonObject("statuses").size());
        checkEqual(61.275, json.get("seconds").getAsDouble());
        checkEqual(20L, json.get("response_bytes").getAsLong());
    }
}
