package sagemaker_inference;

import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Looks at what a request is for before anyone else does (RFC 9112, 3.2): a whole URL, which
 * proxies send, becomes its path; what cannot be read, which Multi Model Server fails at, is
 * refused.
 */
@ChannelHandler.Sharable
final class Target extends ChannelInboundHandlerAdapter {
    private static final Pattern URL = Pattern.compile("(?i)https?://[^/?]*([^#]*).*");

    private final Replies replies;

    Target(Replies replies) {
        this.replies = replies;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        FullHttpRequest request = (FullHttpRequest) message;
        if (request.decoderResult().isSuccess() && !canBeRead(request)) {
            request.release();
            String problem = "the URL cannot be read";
            context.writeAndFlush(replies.refusal(400, "bad_request", problem, Replies.newId()));
            return;
        }
        context.fireChannelRead(request);
    }

    private static boolean canBeRead(FullHttpRequest request) {
        String uri = request.uri();
        if (!uri.startsWith("/")) {
            Matcher url = URL.matcher(uri);
            if (!url.matches()) {
                return false;
            }
            String path = url.group(1);
            uri = path.startsWith("/") ? path : "/" + path;
            request.setUri(uri);
        }
        if (uri.indexOf('%') >= 0) {
            try {
                QueryStringDecoder decoder = new QueryStringDecoder(uri);
                decoder.path();
                decoder.parameters();
            } catch (IllegalArgumentException error) {
                return false;
            }
        }
        return true;
    }
}
