package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;

/** Writes answers as a worker does, or the supervisor in place of one. */
final class Answers {
    private Answers() {}

    static ByteBuf write(int status, String contentType, String[] headers, String body) {
        return write("OK", status, contentType, headers, body);
    }

    static ByteBuf writeForLost(int status, String body) {
        return write("lost", status, "text/plain", new String[0], body);
    }

    private static ByteBuf write(
            String message, int status, String contentType, String[] headers, String body) {
        ByteBuf out = Unpooled.buffer();
        out.writeInt(200);
        field(out, message);
        field(out, "some id");
        field(out, contentType);
        out.writeInt(status);
        field(out, "");
        out.writeInt(headers.length / 2);
        for (String text : headers) {
            field(out, text);
        }
        field(out, body);
        return out.writeInt(-1);
    }

    private static void field(ByteBuf out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.writeInt(bytes.length).writeBytes(bytes);
    }
}
