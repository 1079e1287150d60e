package sagemaker.inference.frontend;

import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Normalizes the target of requests (RFC 9112, 3.2).
 *
 * <p>A complete URL, which proxies send, becomes its path and query. A target that cannot be read
 * is marked with {@link UnreadableTargetException}.
 */
@ChannelHandler.Sharable
final class RequestTargetHandler extends ChannelInboundHandlerAdapter {
    private static final Pattern URL = Pattern.compile("(?i)https?://[^/?]*([^#]*).*");

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        FullHttpRequest request = (FullHttpRequest) message;
        // Those that are refused are logged and counted by their path, too.
        if (!normalize(request) && request.decoderResult().isSuccess()) {
            request.setDecoderResult(DecoderResult.failure(new UnreadableTargetException()));
        }
        context.fireChannelRead(request);
    }

    private static boolean normalize(FullHttpRequest request) {
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
        return isReadable(uri);
    }

    private static boolean isReadable(String uri) {
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

    /** Returns what of a target can be read: all of it, its path, or nothing. */
    static String readable(String uri) {
        if (isReadable(uri)) {
            return uri;
        }
        int query = uri.indexOf('?');
        String path = query < 0 ? uri : uri.substring(0, query);
        return isReadable(path) ? path : "";
    }

    /** Why a request is passed on as one that failed: its target cannot be read. */
    static final class UnreadableTargetException extends Exception {
        private static final long serialVersionUID = 1;

        UnreadableTargetException() {
            super("The URL cannot be read", null, false, false);
        }
    }
}
