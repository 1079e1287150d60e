package sagemaker.inference.frontend;

import io.netty.handler.codec.http.QueryStringDecoder;
import java.util.ArrayList;
import java.util.List;

/**
 * The paths whose requests the supervisor answers. Immutable.
 *
 * <p>In a pattern, the segment {@code *} stands for exactly one segment that is not empty.
 */
final class AskedPaths {
    private static final String ANY = "*";

    private final List<String> paths;
    private final List<String[]> patterns = new ArrayList<>();

    AskedPaths(List<String> paths) {
        this.paths = List.copyOf(paths);
        paths.forEach(path -> patterns.add(segments(path)));
    }

    /**
     * Returns the pattern that a path matches, or null.
     *
     * @param rawPath not decoded: an encoded slash belongs to its segment
     */
    String find(String rawPath) {
        if (patterns.isEmpty()) {
            return null;
        }
        String[] segments = segments(rawPath);
        for (int i = 0; i < segments.length; i++) {
            if (segments[i].indexOf('%') >= 0) {
                segments[i] = new QueryStringDecoder(segments[i]).path();
            }
        }
        for (int i = 0; i < paths.size(); i++) {
            if (matches(patterns.get(i), segments)) {
                return paths.get(i);
            }
        }
        return null;
    }

    private static String[] segments(String path) {
        return path.split("/", -1);
    }

    private static boolean matches(String[] pattern, String[] segments) {
        if (pattern.length != segments.length) {
            return false;
        }
        for (int i = 0; i < pattern.length; i++) {
            boolean isMatch =
                    pattern[i].equals(ANY)
                            ? !segments[i].isEmpty()
                            : pattern[i].equals(segments[i]);
            if (!isMatch) {
                return false;
            }
        }
        return true;
    }
}
