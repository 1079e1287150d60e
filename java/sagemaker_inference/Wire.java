package sagemaker_inference;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.Map;

/**
 * What the front end and a model process say to each other, as Multi Model Server has defined it.
 *
 * <p>Lengths and numbers are int32, the most significant byte first; -1 ends a list. The other side
 * is backend/wire.py.
 */
final class Wire {
    private static final int PREDICT = 'I';
    private static final int END = -1;
    private static final int OK = 200;
    private static final int INT = 4;
    // There before it is needed: a message without its end would keep a model process waiting.
    private static final ByteBuf ENDS =
            Unpooled.unreleasableBuffer(
                    Unpooled.directBuffer(2 * INT).writeInt(END).writeInt(END));

    private Wire() {}

    /** A request up to its headers. */
    static void begin(ByteBuf out, String id, HttpHeaders headers) {
        out.writeByte(PREDICT);
        text(out, id);
        Iterator<Map.Entry<CharSequence, CharSequence>> all = headers.iteratorCharSequence();
        while (all.hasNext()) {
            Map.Entry<CharSequence, CharSequence> header = all.next();
            text(out, header.getKey());
            text(out, header.getValue());
        }
        out.writeInt(END);
    }

    /** A named piece of a request that is text. */
    static void part(ByteBuf out, String name, String value) {
        text(out, name);
        text(out, "");
        text(out, value);
    }

    /** The piece that is the body, up to its bytes. */
    static void beginBody(ByteBuf out, CharSequence type, int size) {
        text(out, "body");
        text(out, type);
        out.writeInt(size);
    }

    /** The ends of the pieces and of the list of requests, which has one. */
    static ByteBuf end() {
        return ENDS.duplicate();
    }

    private static void text(ByteBuf out, CharSequence text) {
        int start = out.writerIndex();
        out.writeInt(0);
        out.setInt(start, ByteBufUtil.writeUtf8(out, text));
    }

    /** The answer to a request. */
    static final class Answer {
        final int status;
        final String phrase;
        final String type;
        /** Names and values in turn. */
        final String[] headers;
        final ByteBuf body;

        private Answer(int status, String phrase, String type, String[] headers, ByteBuf body) {
            this.status = status;
            this.phrase = phrase;
            this.type = type;
            this.headers = headers;
            this.body = body;
        }

        /**
         * Reads one.
         *
         * @param in what has arrived so far; its indices stay
         * @return the answer, whose body is a part of {@code in} and keeps that from being released
         * @throws Incomplete when more must arrive
         * @throws IllegalStateException when no model process says this
         */
        static Answer read(ByteBuf in) throws Incomplete {
            Reader reader = new Reader(in);
            int code = reader.number();
            if (code != OK) {
                throw new IllegalStateException("a model process has said " + code);
            }
            reader.skip(); // its text
            reader.skip(); // the request's id
            String type = reader.text();
            int status = reader.number();
            String phrase = reader.text();
            String[] headers = new String[2 * reader.count()];
            for (int i = 0; i < headers.length; i++) {
                headers[i] = reader.text();
            }
            int start = reader.skip();
            int size = reader.place - start;
            if (reader.number() != END || reader.place != in.writerIndex()) {
                throw new IllegalStateException("a model process has said more than its answer");
            }
            ByteBuf body = size == 0 ? Unpooled.EMPTY_BUFFER : in.retainedSlice(start, size);
            return new Answer(status, phrase, type, headers, body);
        }
    }

    /** Thrown when more of an answer must arrive before it can be read. */
    static final class Incomplete extends Exception {
        private static final long serialVersionUID = 1;

        /** As many bytes from the start are needed to get further. */
        final int needed;

        private Incomplete(int needed) {
            super(null, null, false, false);
            this.needed = needed;
        }
    }

    private static final class Reader {
        // More than any answer has.
        private static final int MOST_HEADERS = 1 << 16;

        private final ByteBuf in;
        private final int end;
        private int place;

        Reader(ByteBuf in) {
            this.in = in;
            place = in.readerIndex();
            end = in.writerIndex();
        }

        int number() throws Incomplete {
            int start = place;
            move(INT);
            return in.getInt(start);
        }

        int count() throws Incomplete {
            int count = number();
            if (count < 0 || count > MOST_HEADERS) {
                throw new IllegalStateException("an answer with " + count + " headers");
            }
            return count;
        }

        /** Passes by a field; returns where it starts. */
        int skip() throws Incomplete {
            int length = number();
            if (length < 0) {
                throw new IllegalStateException("a field of " + length + " bytes");
            }
            int start = place;
            move(length);
            return start;
        }

        String text() throws Incomplete {
            int start = skip();
            return in.toString(start, place - start, StandardCharsets.UTF_8);
        }

        private void move(int length) throws Incomplete {
            if (end - place < length) {
                throw new Incomplete(place - in.readerIndex() + length);
            }
            place += length;
        }
    }
}
