package sagemaker.inference.frontend;

import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;

/** What clients are told whose requests cannot be read. */
final class UnreadableRequests {
    private UnreadableRequests() {}

    /** Refuses one of them, for what was wrong with it. */
    static void refuse(Exchange exchange, Throwable cause) {
        boolean isOversized = cause instanceof OversizedRequestException;
        if (isOversized && !((OversizedRequestException) cause).isLast) {
            exchange.refuse(ErrorCode.PAYLOAD_TOO_LARGE, cause.getMessage());
            return;
        }
        if (cause instanceof RequestTargetHandler.UnreadableTargetException) {
            exchange.refuse(ErrorCode.BAD_REQUEST, cause.getMessage());
            return;
        }
        // It is unknown where the next request begins.
        HttpHeaders close =
                new DefaultHttpHeaders()
                        .set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
        if (isOversized) {
            exchange.refuse(ErrorCode.PAYLOAD_TOO_LARGE, cause.getMessage(), close);
        } else if (cause instanceof RequestGuard.NoMemoryException) {
            Router.logOutOfMemory(cause);
            exchange.refuse(ErrorCode.OUT_OF_MEMORY, cause.getMessage(), close);
        } else if (cause instanceof RequestGuard.TimeoutException) {
            exchange.refuse(ErrorCode.REQUEST_TIMEOUT, cause.getMessage(), close);
        } else if (cause instanceof TooLongHttpHeaderException) {
            String message = "The header fields have more than " + Settings.MAX_HEADERS + " bytes";
            exchange.refuse(ErrorCode.HEADER_FIELDS_TOO_LARGE, message, close);
        } else if (cause instanceof TooLongHttpLineException
                && !HttpUtil.isTransferEncodingChunked(exchange.request)) {
            String message =
                    "The request line has more than " + Settings.MAX_REQUEST_LINE + " bytes";
            exchange.refuse(ErrorCode.URI_TOO_LONG, message, close);
        } else {
            String why =
                    cause instanceof RequestGuard.BadRequestException
                            ? ": " + cause.getMessage()
                            : "";
            exchange.refuse(ErrorCode.BAD_REQUEST, "The request is not valid HTTP" + why, close);
        }
    }
}
