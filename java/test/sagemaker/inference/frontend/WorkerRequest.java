package sagemaker.inference.frontend;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A request as a worker reads it. */
final class WorkerRequest {
    // Of the program, or null.
    final String path;
    final String id;
    final Map<String, String> headers = new LinkedHashMap<>();
    // "name (content type): value"
    final List<String> parts = new ArrayList<>();

    WorkerRequest(String bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes.getBytes(StandardCharsets.ISO_8859_1));
        byte command = in.get();
        path = command == 'P' ? field(in, in.getInt()) : null;
        Tests.checkEqual(path == null ? (byte) 'I' : (byte) 'P', command);
        id = field(in, in.getInt());
        for (int length = in.getInt(); length != -1; length = in.getInt()) {
            headers.put(field(in, length), field(in, in.getInt()));
        }
        for (int length = in.getInt(); length != -1; length = in.getInt()) {
            String name = field(in, length);
            String type = field(in, in.getInt());
            parts.add(name + " (" + type + "): " + field(in, in.getInt()));
        }
        Tests.checkEqual(-1, in.getInt());
        Tests.check(!in.hasRemaining(), "bytes behind the request");
    }

    String body() {
        String last = parts.get(parts.size() - 1);
        return last.substring(last.indexOf(": ") + 2);
    }

    private static String field(ByteBuffer in, int length) {
        byte[] bytes = new byte[length];
        in.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
