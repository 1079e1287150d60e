package sagemaker.inference.frontend;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Reads the request line and header fields of requests, as strictly as RFC 9112 allows, or the
 * trailer fields of a chunked body.
 *
 * <p>It keeps nothing but how the body is framed, and whether the fields are there that must be.
 * Bytes may come in any pieces.
 */
final class RequestHead {
    /** The body has no announced length. */
    static final long NO_LENGTH = -1;

    private enum State {
        METHOD,
        TARGET,
        VERSION,
        LINE_START,
        NAME,
        VALUE,
        LINE_END,
        LAST_LINE_END
    }

    private static final int SPACE = ' ';
    private static final int TAB = '\t';
    private static final int CR = '\r';
    private static final int LF = '\n';
    private static final int BYTE = 0xff;
    private static final VarHandle LONGS =
            MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    // Each of eight bytes is 1.
    private static final long EACH = 0x0101010101010101L;
    private static final int HIGHEST_BIT = 0x80;
    private static final int DELETE = 0x7f;
    private static final int TO_LOWER = 0x20;

    private static final String BAD_LINE = "the request line is not: METHOD TARGET HTTP/1.1";
    private static final String NOT_CR_LF = "a line ends without CR LF";
    private static final String VERSION = "HTTP/1.";

    // The fields that decide where a request ends, and for whom it is. The decoder takes a request
    // that has OLD_KEY for a WebSocket's of 2010, with eight bytes after its head.
    private static final String LENGTH = "content-length";
    private static final String ENCODING = "transfer-encoding";
    private static final String OLD_KEY = "sec-websocket-key1";
    private static final String HOST = "host";
    private static final String CHUNKED = "chunked";
    // More would not be a length in any case, and overflow.
    private static final int MAX_DIGITS = 18;
    private static final int DECIMAL = 10;

    /** The characters of methods and names of fields (RFC 9110, 5.6.2). */
    private static final boolean[] IS_TOKEN = new boolean[BYTE + 1];

    static {
        for (char character = '0'; character <= 'z'; character++) {
            IS_TOKEN[character] = Character.isLetterOrDigit(character);
        }
        for (char character : "!#$%&'*+-.^_`|~".toCharArray()) {
            IS_TOKEN[character] = true;
        }
    }

    private State state;
    private String problem;
    private boolean isComplete;
    private boolean isTrailer;
    // How many bytes of a part of the line have come.
    private int length;
    private boolean isOldVersion;
    // The field that a name can still be, or is, of those above; null for any other.
    private String field;
    // Whether the value of such a field is over, and the number so far.
    private boolean hasValueEnded;
    private long value;
    private boolean hasLength;
    private boolean hasEncoding;
    private boolean hasHost;
    private final HostValue host = new HostValue();

    /** Prepares for the head of a request. */
    void begin() {
        begin(State.METHOD, false);
    }

    /** Prepares for the trailer fields of a body. */
    void beginTrailer() {
        begin(State.LINE_START, true);
    }

    private void begin(State first, boolean isTrailer) {
        state = first;
        this.isTrailer = isTrailer;
        problem = null;
        isComplete = false;
        length = 0;
        value = NO_LENGTH;
        hasLength = false;
        hasEncoding = false;
        hasHost = false;
    }

    boolean isComplete() {
        return isComplete;
    }

    /** Returns what is wrong with what was read, or null. */
    String problem() {
        return problem;
    }

    boolean isChunked() {
        return hasEncoding;
    }

    /** Returns the length of the body, or {@link #NO_LENGTH}. */
    long contentLength() {
        return hasLength ? value : NO_LENGTH;
    }

    /**
     * Reads until the head is complete or wrong.
     *
     * @return where reading stopped
     */
    int read(byte[] data, int start, int end) {
        int position = start;
        while (position < end && !isComplete && problem == null) {
            if (state == State.VALUE && field == null) {
                position = skipValue(data, position, end);
            } else if (state == State.NAME && field == null) {
                position = skipName(data, position, end);
            } else if (state == State.TARGET) {
                position = skipTarget(data, position, end);
            } else {
                read(data[position] & BYTE);
                position++;
            }
        }
        return position;
    }

    /** Reads most bytes of a request: the values of fields that do not frame it. */
    private int skipValue(byte[] data, int start, int end) {
        int position = start;
        while (end - position >= Long.BYTES && !hasControl((long) LONGS.get(data, position))) {
            position += Long.BYTES;
        }
        while (position < end) {
            int character = data[position] & BYTE;
            position++;
            if (isControl(character)) {
                endLine(character);
                break;
            }
        }
        return position;
    }

    /** Returns whether one of eight bytes is a control character, or a tabulator. */
    private static boolean hasControl(long bytes) {
        // The highest bit of each byte that is less than a space, or that is DELETE.
        long delete = bytes ^ EACH * DELETE;
        long small = (bytes - EACH * SPACE) & ~bytes | (delete - EACH) & ~delete;
        return (small & EACH * HIGHEST_BIT) != 0;
    }

    private int skipName(byte[] data, int start, int end) {
        int position = start;
        int character = 0;
        while (position < end && IS_TOKEN[character = data[position] & BYTE]) {
            position++;
        }
        length += position - start;
        if (position < end) {
            readName(character);
            position++;
        }
        return position;
    }

    private int skipTarget(byte[] data, int start, int end) {
        int position = start;
        while (position < end && data[position] > SPACE && data[position] != DELETE) {
            position++;
        }
        length += position - start;
        if (position < end) {
            readTarget(data[position] & BYTE);
            position++;
        }
        return position;
    }

    private void read(int character) {
        switch (state) {
            case METHOD:
                readMethod(character);
                break;
            case TARGET:
                readTarget(character);
                break;
            case VERSION:
                readVersion(character);
                break;
            case LINE_START:
                if (character == CR) {
                    state = State.LAST_LINE_END;
                } else {
                    beginName(character);
                }
                break;
            case NAME:
                readName(character);
                break;
            case VALUE:
                readValue(character);
                break;
            default:
                if (character != LF) {
                    problem = NOT_CR_LF;
                } else if (state == State.LAST_LINE_END) {
                    isComplete = true;
                    problem = isTrailer ? null : conflict();
                } else {
                    state = State.LINE_START;
                }
                break;
        }
    }

    private void readMethod(int character) {
        if (character == SPACE && length > 0) {
            next(State.TARGET);
        } else if (IS_TOKEN[character]) {
            length++;
        } else {
            problem = BAD_LINE;
        }
    }

    private void readTarget(int character) {
        if (character == SPACE && length > 0) {
            next(State.VERSION);
        } else if (character == SPACE || character == TAB || isControl(character)) {
            problem = BAD_LINE;
        } else {
            length++;
        }
    }

    private void readVersion(int character) {
        int minor = VERSION.length();
        if (length < minor && character == VERSION.charAt(length)) {
            length++;
        } else if (length == minor && (character == '0' || character == '1')) {
            isOldVersion = character == '0';
            length++;
        } else if (length > minor && character == CR) {
            state = State.LINE_END;
        } else {
            problem = character == LF ? NOT_CR_LF : BAD_LINE;
        }
    }

    private void next(State next) {
        state = next;
        length = 0;
    }

    private void beginName(int character) {
        next(State.NAME);
        switch (character | TO_LOWER) {
            case 'c':
                field = LENGTH;
                break;
            case 't':
                field = ENCODING;
                break;
            case 'h':
                field = HOST;
                break;
            case 's':
                field = OLD_KEY;
                break;
            default:
                field = null;
                break;
        }
        if (character == SPACE || character == TAB) {
            problem = "a header field goes on in another line";
        } else {
            readName(character);
        }
    }

    private void readName(int character) {
        if (character == ':' && length > 0) {
            if (field != null && length != field.length()) {
                field = null;
            }
            beginValue();
        } else if (IS_TOKEN[character]) {
            if (field != null && !isNext(field, character)) {
                field = null;
            }
            length++;
        } else {
            problem = character == LF ? NOT_CR_LF : "the name of a header field is not a token";
        }
    }

    /** Returns whether a letter, small or large, or another character continues a text. */
    private boolean isNext(String text, int character) {
        if (length >= text.length()) {
            return false;
        }
        char expected = text.charAt(length);
        boolean isLetter = expected >= 'a' && expected <= 'z';
        return expected == (isLetter ? character | TO_LOWER : character);
    }

    private void beginValue() {
        next(State.VALUE);
        if (field == null) {
            return;
        }
        hasValueEnded = false;
        if (isTrailer) {
            problem = "the trailer has the field " + field;
        } else if (field.equals(OLD_KEY)) {
            problem = "the field " + field + " is not supported";
        } else if (field.equals(LENGTH)) {
            problem = twice(hasLength);
            hasLength = true;
            value = 0;
        } else if (field.equals(HOST)) {
            problem = twice(hasHost);
            hasHost = true;
            host.begin();
        } else {
            problem = twice(hasEncoding);
            hasEncoding = true;
        }
    }

    private String twice(boolean isSecond) {
        return isSecond ? "there are two fields " + field : null;
    }

    /** Reads the value of a field that is not skipped. */
    private void readValue(int character) {
        if (character == CR) {
            checkValue();
            endLine(character);
        } else if (character == SPACE || character == TAB) {
            hasValueEnded = length > 0;
        } else if (isControl(character)) {
            endLine(character);
        } else if (hasValueEnded || !isValue(character)) {
            problem = badValue();
        } else {
            length++;
        }
    }

    private boolean isValue(int character) {
        if (field.equals(ENCODING)) {
            return isNext(CHUNKED, character);
        }
        if (field.equals(HOST)) {
            return host.read(character);
        }
        boolean isDigit = character >= '0' && character <= '9' && length < MAX_DIGITS;
        value = value * DECIMAL + (character - '0');
        return isDigit;
    }

    private void checkValue() {
        boolean isWhole;
        if (field.equals(ENCODING)) {
            isWhole = length == CHUNKED.length();
        } else {
            isWhole = field.equals(HOST) ? host.isWhole() : length > 0;
        }
        if (!isWhole) {
            problem = badValue();
        }
    }

    private String badValue() {
        if (field.equals(HOST)) {
            return HOST + " is not a name or an address, and perhaps a port";
        }
        return field.equals(ENCODING)
                ? ENCODING + " is not " + CHUNKED
                : LENGTH + " is not one number";
    }

    private void endLine(int character) {
        if (character == CR) {
            state = State.LINE_END;
        } else {
            problem = character == LF ? NOT_CR_LF : "a header field has a control character";
        }
    }

    private static boolean isControl(int character) {
        return character < SPACE && character != TAB || character == DELETE;
    }

    /** Returns what is wrong with fields that are right each. */
    private String conflict() {
        if (hasEncoding && hasLength) {
            return "there are both " + LENGTH + " and " + ENCODING;
        }
        if (hasEncoding && isOldVersion) {
            return "HTTP/1.0 has no " + ENCODING;
        }
        if (!hasHost && !isOldVersion) {
            return "the field " + HOST + " is missing";
        }
        return null;
    }
}
