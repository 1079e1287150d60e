package sagemaker.inference.frontend;

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

    /** The fields that decide where a request ends, and for whom it is. */
    private enum Field {
        LENGTH("content-length"),
        ENCODING("transfer-encoding"),
        // The decoder takes such a request for a WebSocket's of 2010, with eight bytes after its
        // head.
        OLD_KEY("sec-websocket-key1"),
        HOST("host");

        private final String text;

        Field(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    private static final int SPACE = ' ';
    private static final int TAB = '\t';
    private static final int CR = '\r';
    private static final int LF = '\n';
    private static final int BYTE = 0xff;
    private static final int DELETE = 0x7f;
    private static final int TO_LOWER = 0x20;

    private static final String BAD_LINE = "the request line is not: METHOD TARGET HTTP/1.1";
    private static final String NOT_CR_LF = "a line ends without CR LF";
    private static final String VERSION = "HTTP/1.";
    private static final long HTTP_1_0 = EightBytes.of(VERSION + '0');
    private static final long HTTP_1_1 = EightBytes.of(VERSION + '1');

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
    private Field field;
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
            switch (state) {
                case METHOD:
                    position = readMethod(data, position, end);
                    break;
                case TARGET:
                    position = readTarget(data, position, end);
                    break;
                case VERSION:
                    position = readVersion(data, position, end);
                    break;
                case NAME:
                    position = readName(data, position, end);
                    break;
                case VALUE:
                    position =
                            field == null
                                    ? skipValue(data, position, end)
                                    : readValue(data, position, end);
                    break;
                case LINE_START:
                    position = beginLine(data[position] & BYTE, position);
                    break;
                default:
                    readLineEnd(data[position] & BYTE);
                    position++;
                    break;
            }
        }
        return position;
    }

    private int readMethod(byte[] data, int start, int end) {
        int position = endOfToken(data, start, end);
        if (position < end) {
            if (data[position] == SPACE && length > 0) {
                next(State.TARGET);
            } else {
                problem = BAD_LINE;
            }
            position++;
        }
        return position;
    }

    /** Returns where the next byte is that is no part of a token; those before it are counted. */
    private int endOfToken(byte[] data, int start, int end) {
        int position = start;
        while (position < end && IS_TOKEN[data[position] & BYTE]) {
            position++;
        }
        length += position - start;
        return position;
    }

    private int readTarget(byte[] data, int start, int end) {
        int position = start;
        while (position < end && data[position] > SPACE && data[position] != DELETE) {
            position++;
        }
        length += position - start;
        if (position < end) {
            int character = data[position] & BYTE;
            if (character == SPACE && length > 0) {
                next(State.VERSION);
            } else if (character > DELETE) {
                problem = "the URL has bytes beyond ASCII, which belong percent-encoded";
            } else {
                problem = BAD_LINE;
            }
            position++;
        }
        return position;
    }

    /** Reads a version at once where all of it is there. */
    private int readVersion(byte[] data, int start, int end) {
        if (length == 0 && end - start >= Long.BYTES) {
            long bytes = EightBytes.at(data, start);
            if (bytes == HTTP_1_1 || bytes == HTTP_1_0) {
                isOldVersion = bytes == HTTP_1_0;
                length = Long.BYTES;
                return start + Long.BYTES;
            }
        }
        readVersion(data[start] & BYTE);
        return start + 1;
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

    private int beginLine(int character, int position) {
        if (character == CR) {
            state = State.LAST_LINE_END;
            return position + 1;
        }
        if (character == SPACE || character == TAB) {
            problem = "a header field goes on in another line";
        }
        next(State.NAME);
        switch (character | TO_LOWER) {
            case 'c':
                field = Field.LENGTH;
                break;
            case 't':
                field = Field.ENCODING;
                break;
            case 'h':
                field = Field.HOST;
                break;
            case 's':
                field = Field.OLD_KEY;
                break;
            default:
                field = null;
                break;
        }
        return position;
    }

    private void readLineEnd(int character) {
        if (character != LF) {
            problem = NOT_CR_LF;
        } else if (state == State.LAST_LINE_END) {
            isComplete = true;
            problem = isTrailer ? null : conflict();
        } else {
            state = State.LINE_START;
        }
    }

    private int readName(byte[] data, int start, int end) {
        int position = start;
        while (field != null && position < end && IS_TOKEN[data[position] & BYTE]) {
            if (!isNext(field.text, data[position])) {
                field = null;
            }
            length++;
            position++;
        }
        position = endOfToken(data, position, end);
        if (position < end) {
            endName(data[position] & BYTE);
            position++;
        }
        return position;
    }

    /** Returns whether a character continues a text of small letters, be it small or large. */
    private boolean isNext(String text, int character) {
        return length < text.length() && text.charAt(length) == (character | TO_LOWER);
    }

    private void endName(int character) {
        if (character == ':' && length > 0) {
            if (field != null && length != field.text.length()) {
                field = null;
            }
            beginValue();
        } else {
            problem = character == LF ? NOT_CR_LF : "the name of a header field is not a token";
        }
    }

    private void beginValue() {
        next(State.VALUE);
        if (field == null) {
            return;
        }
        hasValueEnded = false;
        if (isTrailer) {
            problem = "the trailer has the field " + field;
        } else if (field == Field.OLD_KEY) {
            problem = "the field " + field + " is not supported";
        } else if (field == Field.LENGTH) {
            problem = twice(hasLength);
            hasLength = true;
            value = 0;
        } else if (field == Field.HOST) {
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

    /** Reads most bytes of a request: the values of fields that do not frame it. */
    private int skipValue(byte[] data, int start, int end) {
        int position = start;
        int step = Long.BYTES;
        while (step == Long.BYTES && end - position >= Long.BYTES) {
            step = EightBytes.beforeControl(EightBytes.at(data, position));
            position += step;
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

    private int readValue(byte[] data, int start, int end) {
        int position = start;
        while (position < end && state == State.VALUE && problem == null) {
            readValue(data[position] & BYTE);
            position++;
        }
        return position;
    }

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
        if (field == Field.ENCODING) {
            return isNext(CHUNKED, character);
        }
        if (field == Field.HOST) {
            return host.read(character);
        }
        boolean isDigit = character >= '0' && character <= '9' && length < MAX_DIGITS;
        value = value * DECIMAL + (character - '0');
        return isDigit;
    }

    private void checkValue() {
        boolean isWhole;
        if (field == Field.ENCODING) {
            isWhole = length == CHUNKED.length();
        } else {
            isWhole = field == Field.HOST ? host.isWhole() : length > 0;
        }
        if (!isWhole) {
            problem = badValue();
        }
    }

    private String badValue() {
        if (field == Field.HOST) {
            return field + " is not a name or an address, and perhaps a port";
        }
        return field + (field == Field.ENCODING ? " is not " + CHUNKED : " is not one number");
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
            return "there are both " + Field.LENGTH + " and " + Field.ENCODING;
        }
        if (hasEncoding && isOldVersion) {
            return "HTTP/1.0 has no " + Field.ENCODING;
        }
        if (!hasHost && !isOldVersion) {
            return "the field " + Field.HOST + " is missing";
        }
        return null;
    }
}
