package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpVersion;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;

/** How an HTTP request becomes a WebSocket (RFC 6455, 4.2). */
final class SocketHandshake {
    /** The version of the protocol. */
    static final String VERSION = "13";

    private static final String WEBSOCKET = "websocket";
    private static final String UPGRADE = "upgrade";
    private static final String GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    private static final int KEY_BYTES = 16;

    private SocketHandshake() {}

    /** Returns whether a client asks for a WebSocket. */
    static boolean isAsked(FullHttpRequest request) {
        HttpHeaders headers = request.headers();
        return request.method().equals(HttpMethod.GET)
                && headers.containsValue(HttpHeaderNames.UPGRADE, WEBSOCKET, true)
                && headers.containsValue(HttpHeaderNames.CONNECTION, UPGRADE, true)
                && request.protocolVersion().equals(HttpVersion.HTTP_1_1);
    }

    /** Returns what is wrong with the request, or null. */
    static String problem(HttpHeaders headers) {
        if (!VERSION.equals(headers.get(HttpHeaderNames.SEC_WEBSOCKET_VERSION))) {
            return "The header field sec-websocket-version is not " + VERSION;
        }
        String key = headers.get(HttpHeaderNames.SEC_WEBSOCKET_KEY);
        try {
            if (key != null && Base64.getDecoder().decode(key).length == KEY_BYTES) {
                return null;
            }
        } catch (IllegalArgumentException error) {
            // As a key of another length.
        }
        return "The header field sec-websocket-key is not " + KEY_BYTES + " bytes in base64";
    }

    /**
     * Returns the response that ends HTTP on the connection.
     *
     * @param more names and values in turn, which the worker has checked
     */
    static ByteBuf response(HttpHeaders request, String id, String[] more) {
        StringBuilder headers = new StringBuilder();
        for (int i = 0; i < more.length; i += 2) {
            headers.append(more[i]).append(": ").append(more[i + 1]).append("\r\n");
        }
        String head =
                "HTTP/1.1 101 Switching Protocols\r\n"
                        + "upgrade: websocket\r\n"
                        + "connection: upgrade\r\n"
                        + "sec-websocket-accept: "
                        + accept(request.get(HttpHeaderNames.SEC_WEBSOCKET_KEY))
                        + "\r\nx-request-id: "
                        + id
                        + "\r\n"
                        + headers
                        + "\r\n";
        return Unpooled.copiedBuffer(head, StandardCharsets.US_ASCII);
    }

    private static String accept(String key) {
        try {
            byte[] text = (key + GUID).getBytes(StandardCharsets.US_ASCII);
            return Base64.getEncoder()
                    .encodeToString(MessageDigest.getInstance("SHA-1").digest(text));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java has it
        }
    }
}
