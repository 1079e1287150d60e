package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpVersion;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.Map;

final class WorkersTests {
    private static final String INVOKE = Bench.post("/invocations", "[1]");

    private WorkersTests() {}

    static void addTo(Tests tests) {
        tests.add("workers: each loop has a connection", WorkersTests::connections);
        tests.add("workers: bodies of all sizes", WorkersTests::sizes);
        tests.add("workers: the last used goes first", WorkersTests::lastUsed);
        tests.add("workers: a full queue is 503", WorkersTests::fullQueue);
        tests.add("workers: the queue's limit counts per deployment", WorkersTests::twoQueues);
        tests.add("workers: who disconnects leaves the queue", WorkersTests::forgotten);
        tests.add("workers: who disconnects is not answered", WorkersTests::disconnected);
        tests.add("workers: a broken connection is 500, and opened again", WorkersTests::broken);
        tests.add("workers: no answer is 504", WorkersTests::noAnswer);
        tests.add("workers: who waits for too long gets 504", WorkersTests::waitedTooLong);
        tests.add("workers: answers that are not HTTP", WorkersTests::notHttp);
        tests.add("workers: no memory for an answer is 507", WorkersTests::outOfMemory);
        tests.add("workers: a socket that refuses fails the deployment", WorkersTests::refused);
        tests.add("workers: an id is used once at a time", WorkersTests::sameId);
        tests.add("retire: who waits gets 503, who is sent gets an answer", WorkersTests::retire);
        tests.add("retire: a connection that breaks gives 503", WorkersTests::retireBroken);
        tests.add("retire: an unknown id", WorkersTests::retireUnknown);
        tests.add("retire: twice, and then deployed again", WorkersTests::retireTwice);
        tests.add("retire: while it is being deployed", WorkersTests::retireEarly);
        tests.add("retire: no connection is opened again", WorkersTests::retireReconnecting);
    }

    private static Bench deployed(int clients) {
        Bench bench = new Bench(clients);
        checkEqual("null", String.valueOf(bench.deploy(1, "/invocations")));
        return bench;
    }

    private static void connect(Bench bench, int count, Consumer<String> done) {
        List<String> paths = List.of("/invocations");
        bench.deployments.deploy(1, "", count, paths, SocketRoutes.NONE, Long.MAX_VALUE, done);
    }

    private static void connections() {
        Bench bench = new Bench(3);
        connect(bench, 7, error -> {});
        bench.run();
        checkEqual(7, bench.workers.size());
        bench = new Bench(3);
        connect(bench, 1, error -> {});
        bench.run();
        checkEqual(3, bench.workers.size());
    }

    private static void sizes() {
        for (int size : new int[] {0, 1, 16383, 16384, 16385, Bench.MAX_REQUEST_SIZE}) {
            Bench bench = deployed(1);
            String body = "x".repeat(size);
            bench.send(Bench.post("/invocations", body, "X-Long: " + "\u00e9".repeat(3000)));
            WorkerRequest request = bench.workerRequest(0);
            checkEqual(body, request.body());
            checkEqual("\u00e9".repeat(3000), request.headers.get("X-Long"));
            bench.answer(0, body);
            String response = bench.receive(0);
            check(response.endsWith("\r\n\r\n" + body));
            checkContains(response, "x-request-id: " + request.id + "\r\n");
        }
    }

    private static void lastUsed() {
        Bench bench = new Bench(1);
        connect(bench, 3, error -> {});
        bench.run();
        bench.send(INVOKE);
        int used = -1;
        for (int i = 0; i < 3; i++) {
            if (!Bench.text(bench.workers.get(i)).isEmpty()) {
                used = i;
            }
        }
        bench.answer(used, "");
        bench.receive(0);
        bench.send(INVOKE);
        check(!Bench.text(bench.workers.get(used)).isEmpty());
    }

    /** Has each client send a request to its loop's only connection. */
    private static Bench waiting(int clients) {
        Bench bench = deployed(clients);
        for (int client = 0; client < clients; client++) {
            checkEqual("", bench.send(client, INVOKE));
        }
        return bench;
    }

    private static WorkerConnections onlyLoop(Bench bench) {
        return bench.deployments.routes().invocations.on(bench.clients.get(0).eventLoop());
    }

    /** A client's request that is not tied to its connection, to fill a queue with. */
    static Invocation invocation(Bench bench, List<String> responses) {
        FullHttpRequest request =
                new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.POST, "/invocations");
        Router router = new Router(bench.handlers, bench.clients.get(0).eventLoop(), null);
        EmbeddedChannel channel =
                new EmbeddedChannel(
                        new ChannelOutboundHandlerAdapter() {
                            @Override
                            public void write(
                                    ChannelHandlerContext context,
                                    Object message,
                                    ChannelPromise promise) {
                                responses.add(message.toString());
                                promise.setSuccess();
                            }
                        },
                        router);
        check(channel.isActive());
        return new Invocation(router, request, bench.handlers.responses());
    }

    private static List<String> fill(Bench bench, int count) {
        List<String> responses = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            invocation(bench, responses).submit(onlyLoop(bench), Map.of());
        }
        return responses;
    }

    private static void fullQueue() {
        Bench bench = waiting(1);
        List<String> responses = fill(bench, Bench.QUEUE_LIMIT);
        checkEqual(0, responses.size());
        responses = fill(bench, 1);
        checkContains(responses.get(0), "503 Service Unavailable");
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
        checkEqual(0, fill(bench, 1).size());
        checkEqual(1, fill(bench, 1).size());
    }

    private static void twoQueues() {
        Bench bench = waiting(2);
        checkEqual(0, fill(bench, Bench.QUEUE_LIMIT).size());
        bench.deploy(2, "/other");
        Deployment other = bench.deployments.routes().find("/other");
        WorkerConnections connections = other.on(bench.clients.get(0).eventLoop());
        List<String> responses = new ArrayList<>();
        for (int i = 0; i < 1 + Bench.QUEUE_LIMIT; i++) {
            invocation(bench, responses).submit(connections, Map.of());
        }
        checkEqual(0, responses.size());
    }

    private static void forgotten() {
        Bench bench = deployed(1);
        fill(bench, 1); // takes the connection
        bench.send(INVOKE);
        checkEqual(0, fill(bench, Bench.QUEUE_LIMIT - 1).size());
        checkEqual(1, fill(bench, 1).size());
        bench.clients.get(0).close();
        bench.run();
        checkEqual(0, fill(bench, 1).size());
    }

    private static void disconnected() {
        Bench bench = waiting(1);
        bench.clients.get(0).close();
        bench.run();
        bench.workerRequest(0);
        bench.answer(0, "first");
        fill(bench, 1);
        bench.workerRequest(0);
    }

    private static void broken() {
        Bench bench = waiting(1);
        bench.workers.get(0).close();
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 500 ");
        checkContains(response, "\"code\": \"process_died\"");
        checkEqual(1, bench.workers.size());
        checkEqual("", bench.send(INVOKE));
        bench.areWorkersReachable = false;
        bench.advance(1000);
        bench.advance(1000);
        bench.areWorkersReachable = true;
        bench.advance(1000);
        checkEqual(2, bench.workers.size());
        checkEqual("[1]", bench.workerRequest(1).body());
        bench.answer(1, "second");
        checkContains(bench.receive(0), "second");
    }

    private static void noAnswer() throws Exception {
        Bench bench = waiting(1);
        Settings settings = new Settings(1, 1, 0, 1, 1, null, SocketLimits.NONE, new String[3]);
        WorkerConnection connection = bench.workers.get(0).pipeline().get(WorkerConnection.class);
        connection.check(System.nanoTime(), settings);
        checkEqual("", bench.receive(0));
        connection.check(System.nanoTime() + 2_000_000_000L, settings);
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 504 ");
        checkContains(response, "No answer within 1 s");
        check(!bench.workers.get(0).isActive());
    }

    private static void waitedTooLong() {
        Bench bench = new Bench(1);
        bench.waitLimitNanos = 0;
        bench.deploy(1, "/invocations");
        checkEqual("", bench.send(INVOKE));
        List<String> responses = fill(bench, 2);
        checkEqual(0, responses.size());
        bench.advance(1000);
        checkEqual(2, responses.size());
        checkContains(responses.get(0), "504 Gateway Timeout");
        checkEqual("", bench.receive(0));
        bench.workers.get(0).close();
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 504 ");
        checkContains(response, "\"code\": \"prediction_timeout\"");
        checkContains(response, "No worker took the request within 0 s");
    }

    private static void notHttp() {
        Bench bench = waiting(1);
        ByteBuf answer = Answers.write(200, "a", new String[] {"a", "b"}, "body").setInt(0, 201);
        bench.workers.get(0).writeInbound(answer);
        checkContains(bench.receive(0), "process_died");
        check(HttpTests.isFree(answer));
        bench = waiting(1);
        bench.workers.get(0).writeInbound(Answers.write(-1, "a", new String[0], "body"));
        checkContains(bench.receive(0), "\"code\": \"unencodable_prediction\"");
        check(bench.workers.get(0).isActive());
        bench.workers.get(0).writeInbound(Unpooled.copiedBuffer(new byte[] {1}));
        check(!bench.workers.get(0).isActive());
    }

    private static void outOfMemory() {
        Bench bench = waiting(1);
        bench.workers.get(0).pipeline().fireExceptionCaught(new OutOfMemoryError("a test"));
        checkContains(bench.receive(0), "\"code\": \"out_of_memory\"");
        check(!bench.workers.get(0).isActive());
    }

    private static void refused() {
        Bench bench = new Bench(2);
        bench.areWorkersReachable = false;
        checkEqual("cannot connect to : refused", bench.deploy(1, "/invocations"));
        check(bench.deployments.routes().isEmpty());
        bench.areWorkersReachable = true;
        checkEqual("null", String.valueOf(bench.deploy(1, "/invocations")));
    }

    private static void sameId() {
        Bench bench = deployed(1);
        checkEqual("deployment 1 exists already", bench.deploy(1, "/other"));
        check(bench.deployments.routes().find("/other") == null);
    }

    private static void retire() {
        Bench bench = waiting(2);
        List<String> responses = fill(bench, 2);
        boolean[] isRetired = new boolean[1];
        bench.deployments.retire(1, Bench.RETIRING, () -> isRetired[0] = true);
        bench.run();
        checkEqual(2, responses.size());
        checkContains(responses.get(0), "503 Service Unavailable");
        check(bench.deployments.routes().isEmpty());
        check(!isRetired[0]);
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
        check(!bench.workers.get(0).isActive());
        check(!isRetired[0]);
        bench.answer(1, "second");
        checkContains(bench.receive(1), "second");
        check(isRetired[0]);
        check(bench.retire(1));
    }

    private static void retireBroken() {
        Bench bench = waiting(1);
        check(!bench.retire(1));
        bench.workers.get(0).close();
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 503 ");
        checkContains(response, "The model is being unloaded. Send the request again later.");
        bench.advance(5000);
        checkEqual(1, bench.workers.size());
        check(bench.retire(1));
    }

    private static void retireUnknown() {
        check(new Bench(1).retire(7));
    }

    private static void retireTwice() {
        Bench bench = waiting(1);
        int[] count = new int[1];
        bench.deployments.retire(1, Bench.RETIRING, () -> count[0]++);
        bench.deployments.retire(1, Bench.RETIRING, () -> count[0]++);
        bench.run();
        checkEqual("deployment 1 exists already", bench.deploy(1, "/other"));
        bench.answer(0, "first");
        checkEqual(2, count[0]);
        checkEqual("null", String.valueOf(bench.deploy(1, "/other")));
    }

    private static void retireEarly() {
        Bench bench = new Bench(2);
        List<String> events = new ArrayList<>();
        connect(bench, 2, events::add);
        bench.deployments.retire(1, Bench.RETIRING, () -> events.add("retired"));
        bench.run();
        checkEqual(List.of("deployment 1 is retired already", "retired"), events);
        check(bench.deployments.routes().isEmpty());
        check(!bench.workers.get(0).isActive());
    }

    private static void retireReconnecting() {
        Bench bench = deployed(1);
        bench.workers.get(0).close();
        bench.run();
        check(bench.retire(1));
        bench.advance(3000);
        checkEqual(1, bench.workers.size());
    }
}
