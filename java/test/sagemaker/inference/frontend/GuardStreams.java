package sagemaker.inference.frontend;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeSet;

/**
 * What the guard and Netty's decoder make of streams of bytes: reads them from standard input, each
 * behind its length, and writes a line of JSON for each.
 *
 * <p>Each stream is read at once, in single bytes, and in two pieces; a difference is an error.
 */
public final class GuardStreams {
    private static final int BYTE = 0xff;
    private static final Settings SETTINGS =
            new Settings(
                    1,
                    1,
                    0,
                    1 << 20,
                    1 << 20,
                    new ClientLimits(10, 75, 60, 40, 100),
                    SocketLimits.NONE,
                    new String[] {null, null, null});

    private GuardStreams() {}

    /**
     * Reads the streams.
     *
     * @param args none
     */
    public static void main(String[] args) throws IOException {
        DataInputStream input = new DataInputStream(System.in);
        PrintStream output =
                new PrintStream(new BufferedOutputStream(System.out), false, "US-ASCII");
        int count = input.readInt();
        for (int i = 0; i < count; i++) {
            byte[] stream = new byte[input.readInt()];
            input.readFully(stream);
            String read = read(stream, stream.length);
            for (int size : new TreeSet<>(java.util.Arrays.asList(1, 1 + stream.length / 2))) {
                String again = read(stream, size);
                if (!again.equals(read)) {
                    String text = new String(stream, StandardCharsets.ISO_8859_1);
                    throw new IllegalStateException(text + "\n" + read + "\n" + again);
                }
            }
            output.println(read);
        }
        output.flush();
    }

    private static String read(byte[] stream, int size) {
        EmbeddedChannel channel = new EmbeddedChannel();
        channel.pipeline()
                .addLast(new RequestGuard(SETTINGS))
                .addLast(
                        Clients.DECODER,
                        new HttpRequestDecoder(
                                Settings.MAX_REQUEST_LINE,
                                Settings.MAX_HEADERS,
                                Settings.MAX_READ,
                                false));
        JsonArray messages = new JsonArray();
        JsonObject message = null;
        StringBuilder body = new StringBuilder();
        boolean isRefused = false;
        for (int start = 0; start < stream.length && !isRefused; start += size) {
            int length = Math.min(size, stream.length - start);
            ByteBuf piece = Unpooled.copiedBuffer(stream, start, length);
            channel.writeInbound(piece);
            Object next = channel.readInbound();
            while (next != null) {
                HttpObject object = (HttpObject) next;
                isRefused |= !object.decoderResult().isSuccess();
                if (!isRefused && object instanceof HttpRequest) {
                    HttpRequest request = (HttpRequest) object;
                    message = new JsonObject();
                    message.addProperty("method", request.method().name());
                    message.addProperty("target", request.uri());
                    message.addProperty("version", request.protocolVersion().text());
                    message.add("headers", fields(request.headers()));
                    body.setLength(0);
                }
                if (!isRefused && object instanceof HttpContent) {
                    ByteBuf content = ((HttpContent) object).content();
                    while (content.isReadable()) {
                        body.append((char) (content.readByte() & BYTE));
                    }
                }
                if (!isRefused && object instanceof LastHttpContent) {
                    message.addProperty("body", body.toString());
                    HttpHeaders trailer = ((LastHttpContent) object).trailingHeaders();
                    message.add("trailer", fields(trailer));
                    messages.add(message);
                }
                ReferenceCountUtil.release(next);
                next = channel.readInbound();
            }
        }
        channel.finishAndReleaseAll();
        JsonObject result = new JsonObject();
        result.add("messages", messages);
        result.addProperty("refused", isRefused);
        return ascii(result.toString());
    }

    private static JsonArray fields(HttpHeaders headers) {
        JsonArray all = new JsonArray();
        for (Map.Entry<String, String> header : headers) {
            JsonArray field = new JsonArray();
            field.add(header.getKey().toLowerCase(java.util.Locale.ROOT));
            field.add(header.getValue());
            all.add(field);
        }
        return all;
    }

    private static String ascii(String text) {
        StringBuilder escaped = new StringBuilder(text.length());
        for (char character : text.toCharArray()) {
            if (character < 0x7f) {
                escaped.append(character);
            } else {
                escaped.append(String.format("\\u%04x", (int) character));
            }
        }
        return escaped.toString();
    }
}
