package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.Map;

/**
 * The bytes between the front end and a worker, as Multi Model Server defines them.
 *
 * <p>Lengths and numbers are int32, most significant byte first; -1 ends a list. The Python side is
 * {@code wire.py}.
 */
final class WorkerProtocol {
    private static final int PREDICT = 'I';
    private static final int PREDICT_AT = 'P';
    private static final int UPGRADE = 'W';
    private static final int END = -1;
    private static final int OK = 200;
    private static final String OK_TEXT = "OK";
    private static final int STREAM = 206;
    private static final int CANCEL = 'C';
    /** Begins what a client says on a WebSocket. */
    static final int MESSAGE = 'M';

    /** The status of the head of a WebSocket. */
    static final int SWITCHING = 101;

    private static final int INT = 4;
    // Allocated in advance: a message without its end would keep a worker waiting.
    private static final ByteBuf ENDS =
            Unpooled.unreleasableBuffer(Unpooled.directBuffer(2 * INT).writeInt(END).writeInt(END));
    private static final ByteBuf CANCELLATION =
            Unpooled.unreleasableBuffer(Unpooled.directBuffer(1).writeByte(CANCEL));

    private WorkerProtocol() {}

    /**
     * Writes what a request is.
     *
     * @param path the path that the program has added, or null
     */
    static void writeTarget(ByteBuf out, String path) {
        if (path == null) {
            out.writeByte(PREDICT);
        } else {
            out.writeByte(PREDICT_AT);
            writeText(out, path);
        }
    }

    /** Writes that a request is for a WebSocket. */
    static void writeUpgrade(ByteBuf out, String path, String query) {
        out.writeByte(UPGRADE);
        writeText(out, path);
        writeText(out, query);
    }

    /** Writes the id and the headers of a request, behind its target. */
    static void writeHead(ByteBuf out, String id, HttpHeaders headers) {
        writeText(out, id);
        Iterator<Map.Entry<CharSequence, CharSequence>> all = headers.iteratorCharSequence();
        while (all.hasNext()) {
            Map.Entry<CharSequence, CharSequence> header = all.next();
            writeText(out, header.getKey());
            writeText(out, header.getValue());
        }
        out.writeInt(END);
    }

    /** Writes a named part that is text. */
    static void writePart(ByteBuf out, String name, String value) {
        writeText(out, name);
        writeText(out, "");
        writeText(out, value);
    }

    /** Writes the part that is the body, up to its bytes. */
    static void writeBodyHead(ByteBuf out, CharSequence contentType, int size) {
        writeText(out, "body");
        writeText(out, contentType);
        out.writeInt(size);
    }

    /** Returns the ends of the list of parts and of the list of requests, which has one. */
    static ByteBuf end() {
        return ENDS.duplicate();
    }

    /** Returns what a worker gets to read when the client of a stream has gone. */
    static ByteBuf cancellation() {
        return CANCELLATION.duplicate();
    }

    /** Returns whether an answer that begins so is a stream. */
    static boolean isStream(ByteBuf in) {
        return in.readableBytes() >= INT && in.getInt(in.readerIndex()) == STREAM;
    }

    private static void writeText(ByteBuf out, CharSequence text) {
        int start = out.writerIndex();
        out.writeInt(0);
        out.setInt(start, ByteBufUtil.writeUtf8(out, text));
    }

    /** A worker's answer up to its body. */
    static class Head {
        final int status;
        final String phrase;
        final String contentType;

        /** Names and values in turn. */
        final String[] headers;

        /** Whether a worker has written an answer; else the supervisor has, in place of one. */
        final boolean isOfWorker;

        private Head(Reader reader, int expected) throws Incomplete {
            int code = reader.readInt();
            if (code != expected) {
                throw new IllegalStateException("a worker answered with code " + code);
            }
            // Its length tells enough: no text is made of it for each answer.
            int text = reader.skip();
            isOfWorker = reader.position - text == OK_TEXT.length();
            reader.skip(); // the request's id
            contentType = reader.readText();
            status = reader.readInt();
            phrase = reader.readText();
            headers = new String[2 * reader.readCount()];
            for (int i = 0; i < headers.length; i++) {
                headers[i] = reader.readText();
            }
        }

        /**
         * Reads the head of a stream; what follows is for a {@link StreamReader}.
         *
         * @param in what has arrived so far; the head is taken from it once all of it is there
         * @throws Incomplete if more must arrive
         * @throws IllegalStateException if this is not the head of a stream
         */
        static Head read(ByteBuf in) throws Incomplete {
            Reader reader = new Reader(in);
            Head head = new Head(reader, STREAM);
            in.readerIndex(reader.position);
            return head;
        }
    }

    /** A worker's answer to a request. */
    static final class Answer extends Head {
        final ByteBuf body;

        private Answer(Reader reader, ByteBuf in) throws Incomplete {
            super(reader, OK);
            int start = reader.skip();
            int size = reader.position - start;
            if (reader.readInt() != END || reader.position != in.writerIndex()) {
                throw new IllegalStateException("a worker sent more than its answer");
            }
            body = size == 0 ? Unpooled.EMPTY_BUFFER : in.retainedSlice(start, size);
        }

        /**
         * Reads an answer.
         *
         * @param in what has arrived so far; its indices do not change
         * @return the answer; its body is a slice of {@code in} that holds a reference to it
         * @throws Incomplete if more must arrive
         * @throws IllegalStateException if this is not an answer
         */
        static Answer read(ByteBuf in) throws Incomplete {
            return new Answer(new Reader(in), in);
        }
    }

    /** Thrown if more of an answer must arrive before it can be read. */
    static final class Incomplete extends Exception {
        private static final long serialVersionUID = 1;

        /** How many bytes, from the start, are needed to read further. */
        final int needed;

        private Incomplete(int needed) {
            super(null, null, false, false);
            this.needed = needed;
        }
    }

    private static final class Reader {
        // More than any answer has.
        private static final int MAX_HEADERS = 1 << 16;

        private final ByteBuf in;
        private final int end;
        private int position;

        Reader(ByteBuf in) {
            this.in = in;
            position = in.readerIndex();
            end = in.writerIndex();
        }

        int readInt() throws Incomplete {
            int start = position;
            advance(INT);
            return in.getInt(start);
        }

        int readCount() throws Incomplete {
            int count = readInt();
            if (count < 0 || count > MAX_HEADERS) {
                throw new IllegalStateException("a worker's answer with " + count + " headers");
            }
            return count;
        }

        /** Skips a field and returns where it starts. */
        int skip() throws Incomplete {
            int length = readInt();
            if (length < 0) {
                throw new IllegalStateException("a field of " + length + " bytes");
            }
            int start = position;
            advance(length);
            return start;
        }

        String readText() throws Incomplete {
            int start = skip();
            return in.toString(start, position - start, StandardCharsets.UTF_8);
        }

        private void advance(int length) throws Incomplete {
            if (end - position < length) {
                throw new Incomplete(position - in.readerIndex() + length);
            }
            position += length;
        }
    }
}
