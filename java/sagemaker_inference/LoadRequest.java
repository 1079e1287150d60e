package sagemaker_inference;

import com.amazonaws.ml.mms.archive.ModelNotFoundException;
import com.amazonaws.ml.mms.http.BadRequestException;
import com.amazonaws.ml.mms.http.messages.RegisterModelRequest;
import com.amazonaws.ml.mms.util.JsonUtils;
import com.google.gson.JsonParseException;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Reads POST /models before Multi Model Server does, which fails at some requests, and loads some
 * models that it cannot find again.
 */
final class LoadRequest {
    private static final String FORM =
            "{\"model_name\": \"NAME\", \"url\": \"/DIRECTORY\"} as application/json";

    // With four bytes a character, each percent-encoded, it has to fit a request line.
    private static final int LONGEST_NAME = 3000;

    private static final int UNSET = -1;
    // The interpreter that the server runs in; others would be looked for on PATH.
    private static final String PYTHON = "python";

    private LoadRequest() {}

    /**
     * Reads the name of the model that is to be loaded.
     *
     * @throws BadRequestException where it cannot be loaded, whatever it is
     * @throws ModelNotFoundException where there is no such directory
     */
    static String model(FullHttpRequest request, QueryStringDecoder uri)
            throws ModelNotFoundException {
        RegisterModelRequest read = read(request, uri);
        String name = read.getModelName();
        String url = read.getModelUrl();
        if (url == null || url.isEmpty()) {
            throw new BadRequestException("the model's url is missing; send " + FORM);
        }
        if (url.contains("://")) {
            throw new BadRequestException("url has to be a directory on this machine: " + url);
        }
        int timeout = read.getResponseTimeoutSeconds();
        if (read.getInitialWorkers() < 0 || timeout == 0 || timeout < UNSET) {
            throw new BadRequestException("initial_workers or response_timeout is too small");
        }
        if (read.getRuntime() != null && !read.getRuntime().equals(PYTHON)) {
            throw new BadRequestException("runtime has to be " + PYTHON);
        }
        check(name == null ? "" : name);
        // Where its process cannot be started, the load would hang, and hold others up.
        Path folder = url.indexOf(0) >= 0 ? null : Path.of("/", url);
        if (folder == null || !Files.isDirectory(folder) || !Files.isExecutable(folder)) {
            throw new ModelNotFoundException("no such directory, or no access to it: " + url);
        }
        return name == null ? "" : name;
    }

    /** Looks that a model will be found by its own URL. */
    private static void check(String name) {
        if (name.contains("/")) {
            throw new BadRequestException("model_name has a slash: " + name);
        }
        if (name.indexOf(0) >= 0 || !StandardCharsets.UTF_8.newEncoder().canEncode(name)) {
            throw new BadRequestException("model_name has a character that cannot be used");
        }
        if (URLEncoder.encode(name, StandardCharsets.UTF_8).length() > LONGEST_NAME) {
            throw new BadRequestException("model_name is too long");
        }
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
