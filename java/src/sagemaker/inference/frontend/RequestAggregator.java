package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPipeline;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.EmptyHttpHeaders;
import io.netty.handler.codec.http.FullHttpMessage;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpUtil;
import java.util.List;

/**
 * Collects requests with their bodies.
 *
 * <p>Netty's aggregator refuses a body over the limit by itself: with an empty response, which may
 * overtake the answers to earlier requests. This one passes such a request on without its body, as
 * one that failed with {@link OversizedRequestException}, so that it is refused in its turn like
 * any other. The body is discarded as it arrives.
 */
final class RequestAggregator extends HttpObjectAggregator {
    private final int payloadLimit;
    private boolean isReceiving;
    // The client waits for a response to the head before it sends the body, or it may.
    private boolean isBodyWithheld;

    RequestAggregator(Settings settings) {
        super(settings.maxRequestSize);
        payloadLimit = settings.payloadLimit;
    }

    @Override
    protected FullHttpMessage beginAggregation(HttpMessage start, ByteBuf content)
            throws Exception {
        isReceiving = true;
        return super.beginAggregation(start, content);
    }

    @Override
    protected void decode(ChannelHandlerContext context, HttpObject message, List<Object> out)
            throws Exception {
        boolean isFailed = !message.decoderResult().isSuccess();
        if (isFailed && !isReceiving && !(message instanceof HttpRequest)) {
            // The rest of a body that was refused already.
            context.fireUserEventTriggered(Clients.NO_MORE);
        }
        super.decode(context, message, out);
    }

    @Override
    protected void finishAggregation(FullHttpMessage aggregated) throws Exception {
        isReceiving = false;
        boolean isFailed = !aggregated.decoderResult().isSuccess();
        if (isFailed && aggregated.content() instanceof CompositeByteBuf) {
            // It may wait for its turn, and would take memory.
            drop((CompositeByteBuf) aggregated.content());
        }
        super.finishAggregation(aggregated);
    }

    private static void drop(CompositeByteBuf body) {
        body.clear();
        body.removeComponents(0, body.numComponents());
    }

    @Override
    protected Object newContinueResponse(HttpMessage start, int limit, ChannelPipeline pipeline) {
        isBodyWithheld = HttpUtil.is100ContinueExpected(start);
        if (isBodyWithheld && HttpUtil.getContentLength(start, 0L) <= limit) {
            return super.newContinueResponse(start, limit, pipeline);
        }
        // Netty would refuse other expectations. There are none, and a server may ignore them (RFC
        // 9110, 10.1.1). And it would take what follows a body that is too large for a request,
        // though a client need not wait before it sends the body.
        start.headers().remove(HttpHeaderNames.EXPECT);
        return null;
    }

    @Override
    protected void handleOversizedMessage(ChannelHandlerContext context, HttpMessage oversized) {
        isReceiving = false;
        HttpRequest start = (HttpRequest) oversized;
        FullHttpRequest request =
                new DefaultFullHttpRequest(
                        start.protocolVersion(),
                        start.method(),
                        start.uri(),
                        Unpooled.EMPTY_BUFFER,
                        start.headers(),
                        EmptyHttpHeaders.INSTANCE);
        long size = HttpUtil.getContentLength(start, -1L);
        boolean isLast = isBodyWithheld || size > payloadLimit + LingeringClose.MAX_BYTES;
        Throwable failure = new OversizedRequestException(size, payloadLimit, isLast);
        request.setDecoderResult(DecoderResult.failure(failure));
        context.fireChannelRead(request);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
        // A connection is not idle while a request arrives.
        if (event != Clients.DRAIN || !isReceiving) {
            super.userEventTriggered(context, event);
        }
    }
}
