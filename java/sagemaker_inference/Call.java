package sagemaker_inference;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** A request between the client that has sent it and the model process that answers. */
final class Call {
    // A copy of so much costs less than a further piece for the system call that sends it.
    private static final int COPIED = 16384;
    private static final int HEAD = 1024;
    private static final Pattern TEXT = Pattern.compile("(?i)text/(plain|\\*)");
    private static final Pattern JSON = Pattern.compile("(?i)application/(json|\\*)|\\*/\\*");

    private final Invocations client;
    private final FullHttpRequest request;
    private final Replies replies;
    private final String id;
    private CharSequence type = "";
    // Parameters of the query, as they will be sent; most requests have none.
    private ByteBuf parts = Unpooled.EMPTY_BUFFER;

    Call(Invocations client, FullHttpRequest request, Replies replies) {
        this.client = client;
        this.request = request;
        this.replies = replies;
        id = Replies.newId();
    }

    /**
     * Reads the parameters of the query.
     *
     * @throws RuntimeException of any kind, where they cannot be read
     */
    void readParts() {
        CharSequence mime = HttpUtil.getMimeType(request);
        type = mime == null ? "" : mime;
        if (request.uri().indexOf('?') >= 0) {
            parts = Unpooled.buffer();
            Map<String, List<String>> query = new QueryStringDecoder(request.uri()).parameters();
            query.forEach((name, values) -> values.forEach(value -> Wire.part(parts, name, value)));
        }
    }

    /**
     * Sends it to a model process.
     *
     * @throws OutOfMemoryError before anything is sent
     */
    void send(ChannelHandlerContext context) {
        ByteBuf body = request.content();
        int size = body.readableBytes();
        boolean isCopied = size <= COPIED;
        int room = HEAD + parts.readableBytes() + (isCopied ? size : 0);
        ByteBuf message = context.alloc().directBuffer(room);
        try {
            Wire.begin(message, id, request.headers());
            message.writeBytes(parts);
            Wire.beginBody(message, type, size);
            if (isCopied) {
                message.writeBytes(body).writeBytes(Wire.end());
            }
        } catch (Throwable error) {
            message.release();
            throw error;
        }
        if (isCopied) {
            release();
            context.writeAndFlush(message, context.voidPromise());
        } else {
            context.write(message, context.voidPromise());
            context.write(body, context.voidPromise()); // which releases it
            context.writeAndFlush(Wire.end(), context.voidPromise());
        }
    }

    /** Passes a model process's answer on. */
    void answer(Wire.Answer answer) {
        FullHttpResponse response;
        try {
            response = replies.answer(answer, id);
        } catch (RuntimeException error) {
            answer.body.release();
            fail(500, "unencodable_prediction", "the model process's answer is no HTTP response");
            return;
        }
        client.reply(response);
    }

    /** Answers instead of a model process, to which it has been sent. */
    void fail(int status, String code, String message) {
        FullHttpResponse response =
                wantsText()
                        ? replies.refusalAsText(status, message, id)
                        : replies.refusal(status, code, message, id);
        client.reply(response);
    }

    /** Whether the client takes the message alone, and no JSON (requests.error_response). */
    private boolean wantsText() {
        String accept = String.join(",", request.headers().getAll(HttpHeaderNames.ACCEPT));
        return TEXT.matcher(accept).find() && !JSON.matcher(accept).find();
    }

    /** Answers without having sent it. */
    void refuse(int status, String code, String message) {
        release();
        fail(status, code, message);
    }

    /** Gives its memory back, where it will not be sent. */
    void release() {
        request.release();
    }
}
