package sagemaker.inference.frontend;

import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.util.AsciiString;
import java.util.regex.Pattern;

/** What the body of an error is; {@code error_response.py} has the same forms. */
enum ErrorForm {
    /** A code, a message and the request's id. */
    JSON {
        @Override
        String write(ErrorCode code, String message, String id) {
            return String.format(
                    "{\"error\": {\"code\": \"%s\", \"message\": \"%s\", \"request_id\": \"%s\"}}",
                    code.code, escape(message), id);
        }
    },
    /** The message. */
    TEXT {
        @Override
        String write(ErrorCode code, String message, String id) {
            return message;
        }
    },
    /** As OpenAI's API has it, with the request's id in the message where the log knows more. */
    OPENAI {
        @Override
        String write(ErrorCode code, String message, String id) {
            boolean isOurs = code.status >= ErrorCode.INTERNAL_ERROR.status;
            return String.format(
                    "{\"error\": {\"message\": \"%s\", \"type\": \"%s\", "
                            + "\"param\": null, \"code\": \"%s\"}}",
                    escape(isOurs ? message + " (request " + id + ")" : message),
                    isOurs ? "server_error" : "invalid_request_error",
                    code.code);
        }
    };

    private static final String OPENAI_PATHS = "/v1/";
    private static final AsciiString PLAIN_TEXT = AsciiString.cached("text/plain; charset=utf-8");
    private static final Pattern TEXTS = Pattern.compile("(?i)text/(plain|\\*)");
    private static final Pattern JSONS =
            Pattern.compile("(?i)application/(json|\\*)|\\*/\\*");

    /** Writes the body. */
    abstract String write(ErrorCode code, String message, String id);

    /** Returns the Content-Type of the body. */
    AsciiString contentType() {
        return this == TEXT ? PLAIN_TEXT : HttpHeaderValues.APPLICATION_JSON;
    }

    /** Returns the form for a request. */
    static ErrorForm of(HttpRequest request) {
        if (request.uri().startsWith(OPENAI_PATHS)) {
            return OPENAI;
        }
        return wantsText(request.headers()) ? TEXT : JSON;
    }

    private static boolean wantsText(HttpHeaders request) {
        String accept = String.join(",", request.getAll(HttpHeaderNames.ACCEPT));
        return TEXTS.matcher(accept).find() && !JSONS.matcher(accept).find();
    }

    /** Returns the inside of a JSON string; messages may quote what a client has sent. */
    private static String escape(String text) {
        StringBuilder escaped = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char character = text.charAt(i);
            if (character == '"' || character == '\\') {
                escaped.append('\\').append(character);
            } else if (character < ' ') {
                escaped.append(String.format("\\u%04x", (int) character));
            } else {
                escaped.append(character);
            }
        }
        return escaped.toString();
    }
}
