package sagemaker_inference;

import com.amazonaws.ml.mms.http.BadRequestException;
import com.amazonaws.ml.mms.http.messages.RegisterModelRequest;
import com.amazonaws.ml.mms.util.JsonUtils;
import com.google.gson.JsonParseException;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.nio.charset.StandardCharsets;

/**
 * Reads POST /models before Multi Model Server does, which fails at some requests, and loads some
 * models that it cannot find again.
 */
final class LoadRequest {
    private static final String FORM =
            "{\"model_name\": \"NAME\", \"url\": \"/DIRECTORY\"} as application/json";

    private LoadRequest() {}

    /**
     * Reads the name of the model that is to be loaded.
     *
     * @throws BadRequestException where it cannot be loaded, whatever it is
     */
    static String model(FullHttpRequest request, QueryStringDecoder uri) {
        RegisterModelRequest read = read(request, uri);
        String name = read.getModelName();
        String url = read.getModelUrl();
        if (url == null || url.isEmpty()) {
            throw new BadRequestException("the model's url is missing; send " + FORM);
        }
        if (url.contains("://")) {
            throw new BadRequestException("url has to be a directory on this machine: " + url);
        }
        if (name != null && name.contains("/")) {
            // Its own URL would have a part too many.
            throw new BadRequestException("model_name has a slash: " + name);
        }
        return name == null ? "" : name;
    }

    private static RegisterModelRequest read(FullHttpRequest request, QueryStringDecoder uri) {
        if (!HttpHeaderValues.APPLICATION_JSON.contentEqualsIgnoreCase(
                HttpUtil.getMimeType(request))) {
            return new RegisterModelRequest(uri);
        }
        String body = request.content().toString(StandardCharsets.UTF_8);
        RegisterModelRequest read;
        try {
            read = JsonUtils.GSON.fromJson(body, RegisterModelRequest.class);
        } catch (JsonParseException error) {
            read = null;
        }
        if (read == null) {
            throw new BadRequestException("the body cannot be read; send " + FORM);
        }
        return read;
    }
}
