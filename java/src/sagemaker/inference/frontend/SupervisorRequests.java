package sagemaker.inference.frontend;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.EventLoop;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaders;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The requests that the supervisor answers.
 *
 * <p>They come from all event loops, and the answers from the control connection's.
 */
final class SupervisorRequests {
    private static final Logger LOGGER = LoggerFactory.getLogger(SupervisorRequests.class);

    // In base64, it has to fit into a line of the control protocol (16 MiB) beside the headers.
    static final int MAX_BODY = 8 << 20;
    private static final int MIN_STATUS = 200;
    private static final int MAX_STATUS = 599;

    /** Sends messages to the supervisor. */
    interface Control {
        void send(JsonObject message);

        /** Returns whether the supervisor reads what is sent to it. */
        boolean isWritable();
    }

    private final Control control;
    private final Settings settings;
    private final Map<Long, Asked> pending = new ConcurrentHashMap<>();
    private final AtomicLong lastId = new AtomicLong();
    private volatile AskedPaths paths = new AskedPaths(List.of());

    SupervisorRequests(Control control, Settings settings) {
        this.control = control;
        this.settings = settings;
    }

    Control control() {
        return control;
    }

    AskedPaths paths() {
        return paths;
    }

    void setPaths(AskedPaths paths) {
        this.paths = paths;
    }

    /** Creates an exchange; its {@link Asked#submit()} asks the supervisor. */
    Asked exchange(Router client, FullHttpRequest request, Responses responses, EventLoop loop) {
        return new Asked(client, request, responses, loop);
    }

    /** Passes a reply on to its client; may be called on any thread. */
    void onReply(JsonObject reply) {
        Asked asked = pending.remove(reply.get("id").getAsLong());
        if (asked != null) {
            asked.loop.execute(() -> asked.complete(reply));
        }
    }

    /** A request to the supervisor. */
    final class Asked extends Exchange {
        private final EventLoop loop;
        private final long number = lastId.incrementAndGet();
        private ScheduledFuture<?> timeout;
        private boolean isOver;

        private Asked(Router client, FullHttpRequest request, Responses responses, EventLoop loop) {
            super(client, request, responses);
            this.loop = loop;
        }

        void submit() {
            int size = request.content().readableBytes();
            if (size > MAX_BODY) {
                String message =
                        "The body has "
                                + size
                                + " bytes; at most "
                                + MAX_BODY
                                + " bytes are allowed on this path";
                refuse(ErrorCode.PAYLOAD_TOO_LARGE, message);
            } else if (!control.isWritable() || pending.size() >= settings.queueLimit) {
                // Requests that a busy supervisor does not read would fill the memory.
                refuse(ErrorCode.SERVICE_UNAVAILABLE, "The server is busy; try again later");
            } else {
                // First, since the reply may be there before this returns.
                pending.put(number, this);
                try {
                    control.send(message());
                } catch (Throwable error) {
                    pending.remove(number);
                    throw error;
                }
                release();
                timeout = loop.schedule(this::expire, settings.timeoutNanos, TimeUnit.NANOSECONDS);
            }
        }

        private JsonObject message() {
            JsonArray headers = new JsonArray();
            for (Map.Entry<String, String> header : request.headers()) {
                JsonArray pair = new JsonArray();
                pair.add(header.getKey());
                pair.add(header.getValue());
                headers.add(pair);
            }
            byte[] body = ByteBufUtil.getBytes(request.content());
            JsonObject message = ControlChannel.message("request", number);
            message.addProperty("request_id", id);
            message.addProperty("method", request.method().name());
            message.addProperty("target", request.uri());
            message.add("headers", headers);
            message.addProperty("body", Base64.getEncoder().encodeToString(body));
            return message;
        }

        private void complete(JsonObject reply) {
            if (isOver) {
                return;
            }
            finish();
            FullHttpResponse response;
            try {
                response = read(reply);
            } catch (RuntimeException error) {
                LOGGER.error("the supervisor's reply is not an HTTP response", error);
                fail(ErrorCode.INTERNAL_ERROR, "The server failed to answer");
                return;
            }
            logRefusal(response);
            respond(response);
        }

        private FullHttpResponse read(JsonObject reply) {
            int status = reply.get("status").getAsInt();
            if (status < MIN_STATUS || status > MAX_STATUS) {
                throw new IllegalArgumentException("status " + status);
            }
            HttpHeaders headers = new DefaultHttpHeaders();
            for (JsonElement header : reply.getAsJsonArray("headers")) {
                JsonArray pair = header.getAsJsonArray();
                headers.add(pair.get(0).getAsString(), pair.get(1).getAsString());
            }
            byte[] body = Base64.getDecoder().decode(reply.get("body").getAsString());
            ByteBuf content = Unpooled.wrappedBuffer(body);
            return responses.response(status, headers, content, id);
        }

        private void expire() {
            String message = "No answer within " + settings.timeoutSeconds() + " s";
            fail(ErrorCode.PREDICTION_TIMEOUT, message);
            cancel();
        }

        @Override
        void cancel() {
            finish();
            if (pending.remove(number) != null) {
                control.send(ControlChannel.message("cancel", number));
            }
        }

        private void finish() {
            isOver = true;
            timeout.cancel(false);
        }
    }
}
