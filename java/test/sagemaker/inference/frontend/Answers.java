package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;

/** Writes answers as a worker does. */
final class Answers {
    private Answers() {}

    static ByteBuf write(int status, String contentType, String[] headers, String body) {
        ByteBuf out = Unpooled.buffer();
        out.writeInt(200);
        field(out, "OK");
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
