package sagemaker_inference;

import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpMethod;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Takes what a client sends to /invocations; the rest goes on to Multi Model Server. */
final class Invocations extends ChannelInboundHandlerAdapter {
    private static final Logger LOGGER = LoggerFactory.getLogger(Invocations.class);

    private static final String PATH = "/invocations";
    // It names one of many models, of which there are none here: Multi Model Server refuses it.
    private static final String OTHER_MODEL = "model_name=";

    private final BackEnd backEnd;
    private final Replies replies;
    private ChannelHandlerContext context;
    private Call current;

    Invocations(BackEnd backEnd, Replies replies) {
        this.backEnd = backEnd;
        this.replies = replies;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        this.context = context;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        FullHttpRequest request = (FullHttpRequest) message;
        if (!isInvocation(request)) {
            context.fireChannelRead(message);
            return;
        }
        Call call = new Call(this, request, replies);
        current = call;
        try {
            call.readParts();
        } catch (OutOfMemoryError error) {
            call.refuse(507, "out_of_memory", "no memory is left for the query");
            return;
        } catch (RuntimeException error) {
            call.refuse(400, "bad_request", "the query cannot be read");
            return;
        }
        backEnd.submit(call);
    }

    private static boolean isInvocation(FullHttpRequest request) {
        String uri = request.uri();
        int rest = PATH.length();
        return uri.startsWith(PATH)
                && (uri.length() == rest
                        || uri.charAt(rest) == '?' && !uri.contains(OTHER_MODEL))
                && request.decoderResult().isSuccess()
                && !request.method().equals(HttpMethod.OPTIONS);
    }

    /** Answers the current call. */
    void reply(FullHttpResponse response) {
        current = null;
        // A client must not wait for an answer that could not be written.
        context.writeAndFlush(response).addListener(ChannelFutureListener.CLOSE_ON_FAILURE);
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        if (current != null) {
            backEnd.forget(current);
        }
        context.fireChannelInactive();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
        if (error instanceof IOException || !context.channel().isActive()) {
            context.close(); // the client has gone
            return;
        }
        if (error instanceof OutOfMemoryError) {
            LOGGER.error("no memory is left for a request: {}", error.getMessage());
        } else {
            LOGGER.error("a client's connection is given up", error);
        }
        context.fireExceptionCaught(error);
    }
}
