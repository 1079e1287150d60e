package sagemaker.inference.frontend;

import static sagemaker.inference.frontend.Tests.check;
import static sagemaker.inference.frontend.Tests.checkContains;
import static sagemaker.inference.frontend.Tests.checkEqual;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

final class WorkerProtocolTests {
    private WorkerProtocolTests() {}

    static void addTo(Tests tests) {
        tests.add("protocol: a request has these bytes", WorkerProtocolTests::request);
        tests.add("protocol: a request says what it is for", WorkerProtocolTests::targets);
        tests.add("protocol: an answer is read however it arrives", WorkerProtocolTests::split);
        tests.add("protocol: an answer's fields are read", WorkerProtocolTests::fields);
        tests.add("protocol: what is not an answer is refused", WorkerProtocolTests::refused);
        tests.add("protocol: each byte of an answer may come alone", WorkerProtocolTests::bytewise);
    }

    private static void request() {
        ByteBuf out = Unpooled.buffer();
        HttpHeaders headers = new DefaultHttpHeaders(false);
        headers.add("a", "\u00e9");
        WorkerProtocol.writeTarget(out, null);
        WorkerProtocol.writeHead(out, "id", headers);
        WorkerProtocol.writePart(out, "q", "1");
        WorkerProtocol.writeBodyHead(out, "t/x", 2);
        out.writeBytes(new byte[] {7, 8}).writeBytes(WorkerProtocol.end());
        byte[] expected = {
            'I',
            0,
            0,
            0,
            2,
            'i',
            'd',
            0,
            0,
            0,
            1,
            'a',
            0,
            0,
            0,
            2,
            (byte) 0xc3,
            (byte) 0xa9,
            -1,
            -1,
            -1,
            -1,
            0,
            0,
            0,
            1,
            'q',
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            1,
            '1',
            0,
            0,
            0,
            4,
            'b',
            'o',
            'd',
            'y',
            0,
            0,
            0,
            3,
            't',
            '/',
            'x',
            0,
            0,
            0,
            2,
            7,
            8,
            -1,
            -1,
            -1,
            -1,
            -1,
            -1,
            -1,
            -1
        };
        byte[] actual = Arrays.copyOf(out.array(), out.readableBytes());
        check(Arrays.equals(expected, actual), Arrays.toString(actual));
    }

    private static ByteBuf answer() {
        return Answers.write(201, "text/plain", new String[] {"x-a", "1", "x-b", "\u00e9"}, "body");
    }

    private static void split() {
        ByteBuf whole = answer();
        for (int size = 0; size < whole.readableBytes(); size++) {
            try {
                WorkerProtocol.Answer.read(whole.slice(0, size));
                check(false, "it is incomplete with", size);
            } catch (WorkerProtocol.Incomplete incomplete) {
                check(incomplete.needed > size, incomplete.needed, size);
                check(incomplete.needed <= whole.readableBytes(), incomplete.needed);
            }
        }
    }

    private static void targets() {
        ByteBuf out = Unpooled.buffer();
        WorkerProtocol.writeTarget(out, "/v1/a");
        WorkerProtocol.writeUpgrade(out, "/v1/\u00e9", "a=b");
        String expected = "P\0\0\0\5/v1/aW\0\0\0\6/v1/\u00e9\0\0\0\3a=b";
        checkEqual(expected, out.toString(StandardCharsets.UTF_8));
    }

    private static void fields() throws Exception {
        ByteBuf in = answer();
        WorkerProtocol.Answer answer = WorkerProtocol.Answer.read(in);
        checkEqual(201, answer.status);
        checkEqual("", answer.phrase);
        checkEqual("text/plain", answer.contentType);
        checkEqual("[x-a, 1, x-b, \u00e9]", Arrays.toString(answer.headers));
        checkEqual("body", answer.body.toString(StandardCharsets.UTF_8));
        checkEqual(2, in.refCnt());
        check(answer.isOfWorker);
        check(!WorkerProtocol.Answer.read(Answers.writeForLost(500, "")).isOfWorker);
    }

    private static void refused() throws Exception {
        ByteBuf more = answer().writeByte(0);
        ByteBuf failed = answer().setInt(0, 500);
        ByteBuf negative = answer().setInt(4, -5);
        for (ByteBuf bytes : new ByteBuf[] {more, failed, negative}) {
            try {
                WorkerProtocol.Answer.read(bytes);
                check(false, "it was read");
            } catch (IllegalStateException error) {
                check(!error.getMessage().isEmpty());
            }
        }
    }

    private static void bytewise() {
        Bench bench = new Bench(1);
        bench.deploy(1, "/invocations");
        bench.send(Bench.post("/invocations", "[1]"));
        bench.workerRequest(0);
        ByteBuf answer = answer();
        while (answer.isReadable()) {
            checkEqual("", bench.receive(0));
            bench.workers.get(0).writeInbound(answer.readBytes(1));
        }
        String response = bench.receive(0);
        checkContains(response, "HTTP/1.1 201 Created\r\n");
        checkContains(response, "x-a: 1\r\n");
        checkContains(response, "\r\n\r\nbody");
    }
}
