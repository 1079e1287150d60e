package sagemaker_inference;

import com.amazonaws.ml.mms.archive.ModelNotFoundException;
import com.amazonaws.ml.mms.http.BadRequestException;
import com.amazonaws.ml.mms.http.ErrorResponse;
import com.amazonaws.ml.mms.http.ServiceUnavailableException;
import com.amazonaws.ml.mms.util.JsonUtils;
import com.amazonaws.ml.mms.util.NettyUtils;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.QueryStringDecoder;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * Completes what Multi Model Server answers about models that are loaded and unloaded over HTTP.
 *
 * <ul>
 *   <li>A load that has failed: it says so and no more; the supervisor, or another client, has
 *       given the cause. A load that cannot be ({@link LoadRequest}): it tells of Java's faults.
 *   <li>DELETE: it answers when one of the model's processes has ended; here the answer waits until
 *       the supervisor has seen the end of all. It fails where another client loads or unloads the
 *       model at the same time; here it is asked again.
 *   <li>A request that a deleted model was working on: it forgets some, whose clients would wait.
 * </ul>
 *
 * <p>One for each client's connection, which has one request at a time ({@link InTurn}). The
 * supervisor's part is in loaded_model.py: it leaves a file for each model that has processes, and
 * one for each that has failed.
 */
final class ModelAnswers extends ChannelDuplexHandler {
    private static final int POLL_MILLIS = 5;
    // Longer than any process takes to be killed.
    private static final int MOST_POLLS = 2000;
    // What Multi Model Server does not forget, it answers at once.
    private static final int FORGOTTEN_MILLIS = 500;
    // Multi Model Server's words for it.
    private static final String NOT_STARTED = "Failed to save model";
    private static final int RETRY_MILLIS = 20;
    private static final int MOST_TRIES = 50;

    /** What the client waits for. */
    private enum Asked {
        LOAD,
        UNLOAD,
        PREDICTION,
        ELSE
    }

    private final Path folder;
    private final Set<ModelAnswers> all;
    private ChannelHandlerContext context;
    private Asked asked = Asked.ELSE;
    private String model = "";
    private int count;
    // Of a DELETE, and how often it was repeated.
    private String uri = "";
    private int tries;
    // The model that was deleted last since the client began to wait.
    private volatile String lastDeleted = "";

    /**
     * @param folder where the supervisor leaves its files
     * @param all those of all connections; this adds itself
     */
    ModelAnswers(Path folder, Set<ModelAnswers> all) {
        this.folder = folder;
        this.all = all;
    }

    @Override
    public void channelActive(ChannelHandlerContext context) {
        this.context = context;
        all.add(this);
        context.fireChannelActive();
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        all.remove(this);
        context.fireChannelInactive();
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        count++;
        asked = Asked.ELSE;
        model = "";
        lastDeleted = "";
        try {
            read((FullHttpRequest) message);
        } catch (BadRequestException error) {
            refuse(context, message, HttpResponseStatus.BAD_REQUEST, error);
            return;
        } catch (ModelNotFoundException error) {
            refuse(context, message, HttpResponseStatus.NOT_FOUND, error);
            return;
        } catch (IllegalArgumentException error) {
            String problem = "the request cannot be read: " + error.getMessage();
            BadRequestException told = new BadRequestException(problem);
            refuse(context, message, HttpResponseStatus.BAD_REQUEST, told);
            return;
        }
        context.fireChannelRead(message);
    }

    private static void refuse(
            ChannelHandlerContext context,
            Object message,
            HttpResponseStatus status,
            Exception error) {
        ReferenceCountUtil.release(message);
        NettyUtils.sendError(context, status, error);
    }

    private void read(FullHttpRequest request) throws ModelNotFoundException {
        QueryStringDecoder uri = new QueryStringDecoder(request.uri());
        String[] words = uri.path().split("/");
        String first = words.length > 1 ? words[1] : "";
        HttpMethod method = request.method();
        if (first.equals("models") && words.length == 2 && method.equals(HttpMethod.POST)) {
            model = LoadRequest.model(request, uri);
            asked = Asked.LOAD;
        } else if (first.equals("models") && words.length == 3) {
            model = words[2];
            if (method.equals(HttpMethod.DELETE)) {
                asked = Asked.UNLOAD;
                this.uri = request.uri();
                tries = 0;
                all.forEach(other -> other.lastDeleted = model);
            }
        } else if (words.length > 2 && (first.equals("models") || first.equals("predictions"))) {
            checkForm(request);
            asked = Asked.PREDICTION;
            model = words[2];
        } else if (first.equals("invocations")) {
            checkForm(request);
            asked = Asked.PREDICTION;
            model = NettyUtils.getParameter(uri, "model_name", "");
        }
    }

    /**
     * Looks that a form can be read, which Multi Model Server fails at otherwise.
     *
     * @throws IllegalArgumentException it cannot
     */
    private static void checkForm(FullHttpRequest request) {
        if (HttpHeaderValues.APPLICATION_X_WWW_FORM_URLENCODED.contentEqualsIgnoreCase(
                HttpUtil.getMimeType(request))) {
            String form = request.content().toString(StandardCharsets.UTF_8);
            new QueryStringDecoder(form, false).parameters();
        }
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
        if (!(message instanceof FullHttpResponse)) {
            context.write(message, promise);
            return;
        }
        FullHttpResponse response = (FullHttpResponse) message;
        Asked answered = asked;
        asked = Asked.ELSE;
        if (answered == Asked.LOAD && response.status().code() >= 500) {
            tellCause(response);
        }
        if (answered == Asked.UNLOAD && response.status().code() >= 500 && tries < MOST_TRIES) {
            // Nor is the promise kept: who waits for it would close the connection.
            ReferenceCountUtil.release(response);
            context.executor().schedule(() -> unload(context), RETRY_MILLIS, TimeUnit.MILLISECONDS);
        } else if (answered == Asked.UNLOAD && response.status().code() == 200) {
            forget();
            await(context, response, promise, 0);
        } else {
            context.write(response, promise);
        }
    }

    /** Asks again: it was interrupted by another who loads or unloads that model. */
    private void unload(ChannelHandlerContext context) {
        tries++;
        asked = Asked.UNLOAD;
        context.fireChannelRead(
                new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.DELETE, uri));
    }

    private void tellCause(FullHttpResponse response) {
        Path file = file(".failed");
        String cause;
        try {
            cause = Files.readString(file);
            Files.delete(file);
        } catch (IOException error) {
            if (lastDeleted.equals(model)) {
                cause = "model " + model + " was deleted while it was loading";
            } else if (response.content().toString(StandardCharsets.UTF_8).contains(NOT_STARTED)) {
                cause = "model " + model + " could not be loaded: its process could not be started";
            } else {
                return; // it was not a process of ours that failed
            }
        }
        HttpResponseStatus status = response.status();
        String text =
                JsonUtils.GSON_PRETTY.toJson(
                        new ErrorResponse(status.code(), "InternalServerException", cause));
        byte[] body = text.concat("\n").getBytes(StandardCharsets.UTF_8);
        response.content().clear().writeBytes(body);
        HttpUtil.setContentLength(response, body.length);
    }

    /** Holds the answer back until none of the model's processes is left. */
    private void await(
            ChannelHandlerContext context,
            FullHttpResponse response,
            ChannelPromise promise,
            int polls) {
        if (polls == MOST_POLLS || !Files.exists(file(".served"))) {
            context.writeAndFlush(response, promise);
            return;
        }
        context.executor()
                .schedule(
                        () -> await(context, response, promise, polls + 1),
                        POLL_MILLIS,
                        TimeUnit.MILLISECONDS);
    }

    /** Answers what Multi Model Server has forgotten. */
    private void forget() {
        String deleted = model;
        for (ModelAnswers other : all) {
            other.context.executor().execute(() -> other.awaitAnswer(deleted));
        }
    }

    private void awaitAnswer(String deleted) {
        if (asked != Asked.PREDICTION || !model.equals(deleted)) {
            return;
        }
        int waited = count;
        context.executor()
                .schedule(
                        () -> {
                            if (count == waited && asked == Asked.PREDICTION) {
                                NettyUtils.sendError(
                                        context,
                                        HttpResponseStatus.SERVICE_UNAVAILABLE,
                                        new ServiceUnavailableException(
                                                "the model was deleted meanwhile: " + deleted));
                            }
                        },
                        FORGOTTEN_MILLIS,
                        TimeUnit.MILLISECONDS);
    }

    /** The supervisor's file about the model; any string can be a model's name. */
    private Path file(String suffix) {
        byte[] name = model.getBytes(StandardCharsets.UTF_8);
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(name);
            return folder.resolve(String.format("%064x", new BigInteger(1, digest)) + suffix);
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError(error); // every Java has it
        }
    }
}
