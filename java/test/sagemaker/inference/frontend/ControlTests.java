package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.concurrent.ImmediateEventExecutor;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

final class ControlTests {
    private ControlTests() {}

    static void addTo(Tests tests) {
        tests.add("control: lines may be split anywhere", ControlTests::split);
        tests.add("control: a line that says nothing ends the connection", ControlTests::badLines);
        tests.add("control: orders are carried out and answered", ControlTests::orders);
    }

    private static EmbeddedChannel reading(List<String> messages) {
        return new EmbeddedChannel(
                ControlChannel.lines(1 << 10),
                new ControlChannel.Reader(message -> messages.add(message.toString())));
    }

    private static void split() {
        String first = "{\"type\":\"a\",\"x\":\"\u00e9\\n\"}";
        String second = "{\"type\":\"b\"}";
        byte[] bytes = (first + "\n" + second + "\n").getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i <= bytes.length; i++) {
            List<String> messages = new ArrayList<>();
            EmbeddedChannel channel = reading(messages);
            channel.writeInbound(Unpooled.copiedBuffer(Arrays.copyOf(bytes, i)));
            channel.writeInbound(Unpooled.copiedBuffer(Arrays.copyOfRange(bytes, i, bytes.length)));
            checkEqual(List.of(first, second), messages);
        }
        List<String> messages = new ArrayList<>();
        EmbeddedChannel channel = reading(messages);
        for (byte value : bytes) {
            channel.writeInbound(Unpooled.copiedBuffer(new byte[] {value}));
        }
        checkEqual(List.of(first, second), messages);
    }

    private static void badLines() {
        for (String line : List.of("nonsense", "[]", "", "{\"type\":", "{\"id\":1}")) {
            EmbeddedChannel channel =
                    new EmbeddedChannel(
                            ControlChannel.lines(1 << 10),
                            new ControlChannel.Reader(message -> message.get("type").getAsInt()));
            channel.writeInbound(Unpooled.copiedBuffer(line + "\n", StandardCharsets.UTF_8));
            check(!channel.isActive(), line);
        }
        EmbeddedChannel channel = reading(new ArrayList<>());
        channel.writeInbound(Unpooled.copiedBuffer(new byte[2000]));
        check(!channel.isActive());
    }

    private static void order(ControlCommands commands, String text) {
        JsonObject message = JsonParser.parseString(text.replace('\'', '"')).getAsJsonObject();
        commands.accept(message);
    }

    private static void orders() {
        Bench bench = new Bench(1);
        List<String> answers = new ArrayList<>();
        ControlCommands commands =
                new ControlCommands(
                        answer -> answers.add(answer.toString()),
                        null,
                        bench.handlers,
                        bench.deployments,
                        bench.requests,
                        ImmediateEventExecutor.INSTANCE);
        order(commands, "{'type':'health','status':204,'content_type':'','body':'','more':1}");
        checkContains(bench.send(Bench.get("/ping")), "HTTP/1.1 204 ");
        order(commands, "{'type':'ask','paths':['/models']}");
        bench.send(Bench.get("/models"));
        checkEqual("request", bench.sent.get(0).get("type").getAsString());
        long id = bench.sent.get(0).get("id").getAsLong();
        order(commands, "{'type':'reply','id':" + id + ",'status':200,'headers':[],'body':'aGk='}");
        checkContains(bench.receive(0), "\r\n\r\nhi");
        order(
                commands,
                "{'type':'deploy','id':3,'socket':'/x','connections':2,'routes':['/a'],"
                        + "'wait_limit':1.5}");
        bench.run();
        order(commands, "{'type':'retire','id':3,'cause':'the end'}");
        bench.run();
        bench.areWorkersReachable = false;
        order(
                commands,
                "{'type':'deploy','id':4,'socket':'/x','connections':2,'routes':['/a'],"
                        + "'wait_limit':1.5}");
        bench.run();
        order(commands, "{'type':'something new'}");
        List<String> expected =
                List.of(
                        "{\"type\":\"deployed\",\"id\":3}",
                        "{\"type\":\"retired\",\"id\":3}",
                        "{\"type\":\"deploy_failed\",\"id\":4,"
                                + "\"error\":\"cannot connect to /x: refused\"}");
        checkEqual(expected, answers);
    }
}
