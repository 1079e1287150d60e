package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import io.netty.buffer.Unpooled;
import io.netty.channel.DefaultChannelId;
import io.netty.channel.embedded.EmbeddedChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Limits for clients: of time (10 s a head, 75 idle, 60 a body, 40 a response) and of number. */
final class ClientTests {
    private static final String INVOKE = Bench.post("/invocations", "[1]");
    private static final String HEAD = INVOKE.substring(0, INVOKE.length() - 3);

    private ClientTests() {}

    static void addTo(Tests tests) {
        tests.add("clients: an idle connection is closed", ClientTests::idle);
        tests.add("clients: half a head is closed", ClientTests::halfHead);
        tests.add("clients: half a body is 408", ClientTests::halfBody);
        tests.add("clients: half a chunk is 408", ClientTests::halfChunk);
        tests.add("clients: a slow body goes on", ClientTests::slowBody);
        tests.add("clients: the rest of a refused body", ClientTests::refusedBody);
        tests.add("clients: a prediction may take its time", ClientTests::longPrediction);
        tests.add("clients: a head is not late while its client waits", ClientTests::pipelined);
        tests.add("clients: a response that nobody reads", ClientTests::unread);
        tests.add("clients: each request has its limits to itself", ClientTests::anew);
        tests.add("clients: the longest idle one makes room", ClientTests::room);
        tests.add("clients: over the limit if none is idle", ClientTests::extra);
        tests.add("client: room on other event loops", ClientTests::roomOnOtherLoops);
        tests.add("client: no room on any event loop", ClientTests::noRoomOnAnyLoop);
    }

    private static Bench deployed() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.handlers.setHealth(new Health(200, "text/plain", "fine"));
        return bench;
    }

    private static boolean isOpen(Bench bench) {
        return bench.clients.get(0).isActive();
    }

    private static void idle() {
        Bench bench = deployed();
        bench.advance(75_000);
        check(isOpen(bench));
        bench.advance(1_500);
        check(!isOpen(bench));
        bench = deployed();
        bench.advance(70_000);
        bench.send(Bench.get("/ping"));
        bench.advance(75_000);
        check(isOpen(bench));
        bench.send("\r\n");
        bench.advance(1_500);
        check(!isOpen(bench));
        checkEqual("", bench.receive(0));
    }

    private static void halfHead() {
        Bench bench = deployed();
        bench.advance(5_000);
        bench.send("POST /invoc");
        for (int i = 0; i < 10; i++) {
            bench.advance(1_000);
            check(isOpen(bench));
            bench.send("a");
        }
        bench.advance(1_000);
        check(!isOpen(bench));
        checkEqual("", bench.receive(0));
    }

    private static void checkLate(Bench bench) {
        bench.advance(60_000);
        check(isOpen(bench));
        checkEqual("", bench.receive(0));
        bench.advance(1_500);
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 408 ");
        checkContains(response, "\"code\": \"request_timeout\"");
        checkContains(response, "No byte of the body came for 60 s");
        checkContains(response, "connection: close");
        bench.advance(10_000);
        check(!isOpen(bench));
        checkEqual("", Bench.text(bench.workers.get(0)));
    }

    private static void halfBody() {
        Bench bench = deployed();
        bench.send(HEAD + "[");
        checkLate(bench);
    }

    private static void halfChunk() {
        Bench bench = deployed();
        String head = Bench.request("POST", "/invocations", "Transfer-Encoding: chunked");
        bench.send(head + "3\r\n[");
        checkLate(bench);
    }

    private static void slowBody() {
        Bench bench = deployed();
        bench.send(HEAD);
        for (String part : "[1]".split("")) {
            bench.advance(59_000);
            bench.send(part);
        }
        checkEqual("[1]", bench.workerRequest(0).body());
    }

    private static void refusedBody() {
        Bench bench = deployed();
        int size = Bench.MAX_REQUEST_SIZE + 1;
        String head = Bench.request("POST", "/invocations", "Content-Length: " + size);
        checkContains(bench.send(head), "HTTP/1.1 413 ");
        bench.advance(59_000);
        bench.send("x");
        bench.advance(59_000);
        check(isOpen(bench));
        bench.advance(20_000);
        check(!isOpen(bench));
        checkEqual("", bench.receive(0));
    }

    private static void longPrediction() {
        Bench bench = deployed();
        bench.send(INVOKE);
        bench.advance(3_600_000);
        check(isOpen(bench));
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
        bench.advance(75_000);
        check(isOpen(bench));
    }

    private static void pipelined() {
        Bench bench = deployed();
        bench.send(INVOKE + HEAD.substring(0, 20));
        bench.advance(60_000);
        bench.answer(0, "first");
        checkContains(bench.receive(0), "first");
        bench.advance(9_000);
        check(isOpen(bench));
        bench.send(INVOKE.substring(20, INVOKE.length() - 1));
        bench.advance(59_000);
        bench.send("]");
        bench.answer(0, "second");
        checkContains(bench.receive(0), "second");
    }

    private static void unread() {
        Bench bench = deployed();
        bench.send(INVOKE);
        bench.areClientsReading = false;
        bench.answer(0, "first");
        bench.advance(40_000);
        check(isOpen(bench));
        bench.advance(1_500);
        check(!isOpen(bench));
        bench = deployed();
        bench.send(INVOKE + INVOKE);
        bench.areClientsReading = false;
        bench.answer(0, "first");
        bench.advance(39_000);
        // There is something else to read: the client has time for that.
        bench.answer(0, "second");
        bench.advance(39_000);
        bench.areClientsReading = true;
        bench.clients.get(0).flush();
        checkContains(bench.receive(0), "second");
        check(isOpen(bench));
    }

    private static void anew() {
        Bench bench = deployed();
        for (int i = 0; i < 20; i++) {
            bench.send(HEAD.substring(0, 20));
            bench.advance(9_000);
            bench.send(HEAD.substring(20) + "[");
            bench.advance(50_000);
            bench.send("1]");
            bench.answer(0, "next");
            checkContains(bench.receive(0), "next");
        }
    }

    /** Clients of a loop that has room for two. */
    private static final class Few {
        final LoopClients loop;
        final EmbeddedChannel timer = new EmbeddedChannel();
        private final ClientLimits limits = new ClientLimits(10, 75, 60, 40, 2);
        final ClientCounts counts = new ClientCounts(limits);
        private final Bench bench = deployed();

        Few() {
            timer.freezeTime();
            loop = new LoopClients(timer.eventLoop(), counts);
        }

        EmbeddedChannel connect() {
            RequestGuard guard = new RequestGuard(bench.handlers.settings());
            HttpPipeliningHandler pipelining = new HttpPipeliningHandler(bench.handlers);
            EmbeddedChannel channel = new EmbeddedChannel(guard);
            ClientWatch watch =
                    new ClientWatch(
                            channel, guard, pipelining, limits, loop, counts, loop.makeRoom());
            loop.add(watch);
            channel.closeFuture().addListener(closed -> loop.remove(watch));
            advance();
            return channel;
        }

        void advance() {
            timer.advanceTimeBy(1, TimeUnit.SECONDS);
        }
    }

    private static void room() {
        Few few = new Few();
        EmbeddedChannel first = few.connect();
        EmbeddedChannel second = few.connect();
        check(first.isActive());
        EmbeddedChannel third = few.connect();
        check(!first.isActive());
        check(second.isActive());
        check(third.isActive());
        check(!few.counts.isFull());
    }

    private static void extra() {
        Few few = new Few();
        List<EmbeddedChannel> clients = new ArrayList<>();
        for (int i = 0; i < 2 + ClientCounts.MAX_EXTRA; i++) {
            EmbeddedChannel client = few.connect();
            checkEqual(i >= 2, few.counts.isFull());
            client.writeInbound(Unpooled.copiedBuffer("GET", StandardCharsets.US_ASCII));
            clients.add(client);
        }
        clients.forEach(client -> check(client.isActive()));
        // The oldest of those over the limit gives way.
        EmbeddedChannel last = few.connect();
        check(last.isActive());
        for (int i = 0; i < clients.size(); i++) {
            checkEqual(i != 2, clients.get(i).isActive());
        }
    }

    private static void roomOnOtherLoops() {
        Bench bench = new Bench(3, 2);
        bench.deploy(1, "/invocations");
        // The last one has come when two were idle, each on another event loop.
        int open = 0;
        for (EmbeddedChannel client : bench.clients) {
            open += client.isActive() ? 1 : 0;
        }
        checkEqual(2, open);
        EmbeddedChannel last = bench.clients.get(2);
        check(last.isActive() && last.config().isAutoRead());
        checkEqual("", bench.send(2, INVOKE));
        bench.answer(2, "first");
        checkContains(bench.receive(2), "first");
    }

    private static void noRoomOnAnyLoop() {
        Bench bench = new Bench(2, 2);
        bench.deploy(1, "/invocations");
        bench.send(0, INVOKE);
        bench.send(1, INVOKE);
        EmbeddedChannel late = new EmbeddedChannel(DefaultChannelId.newInstance());
        bench.clients.add(late);
        late.pipeline().addLast(bench.handlers);
        check(!late.config().isAutoRead());
        bench.run();
        check(late.config().isAutoRead());
        checkContains(bench.send(2, Bench.get("/ping")), "connection: keep-alive");
        bench.clients.get(0).close();
        bench.run();
        // There is room by now.
        checkContains(bench.send(2, Bench.get("/nothing")), "HTTP/1.1 404 ");
        EmbeddedChannel later = new EmbeddedChannel(DefaultChannelId.newInstance());
        bench.clients.add(later);
        later.pipeline().addLast(bench.handlers);
        bench.run();
        check(!late.isActive());
        checkContains(bench.send(3, Bench.get("/nothing")), "HTTP/1.1 404 ");
        // Nobody is idle now.
        bench.send(3, "GET");
        EmbeddedChannel last = new EmbeddedChannel(DefaultChannelId.newInstance());
        bench.clients.add(last);
        last.pipeline().addLast(bench.handlers);
        bench.run();
        checkContains(bench.send(4, Bench.get("/nothing")), "HTTP/1.1 503 ");
        check(bench.clients.get(1).isActive() && later.isActive());
    }
}
