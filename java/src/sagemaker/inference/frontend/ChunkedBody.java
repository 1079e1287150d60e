package sagemaker.inference.frontend;

/**
 * Reads the framing of chunked bodies, as strictly as RFC 9112 (7.1) allows.
 *
 * <p>It keeps nothing of the data. Bytes may come in any pieces.
 */
final class ChunkedBody {
    private enum State {
        SIZE,
        EXTENSION,
        SIZE_END,
        DATA,
        DATA_CR,
        DATA_LF,
        TRAILER
    }

    private static final int CR = '\r';
    private static final int LF = '\n';
    private static final int SPACE = ' ';
    private static final int TAB = '\t';
    private static final int BYTE = 0xff;
    private static final int HEX = 16;
    // The decoder reads sizes as numbers of 32 bits.
    private static final int MAX_DIGITS = 16;
    // Extensions mean nothing here. They must not be a way to send much for a byte of a body.
    private static final int MAX_EXTENSION = 256;

    private final RequestHead trailer = new RequestHead();
    private State state;
    private String problem;
    private int digits;
    private int extension;
    private long left;

    /** Prepares for a body. */
    void begin() {
        problem = null;
        beginChunk();
    }

    private void beginChunk() {
        state = State.SIZE;
        digits = 0;
        extension = 0;
        left = 0;
    }

    boolean isComplete() {
        return state == State.TRAILER && trailer.isComplete();
    }

    /** Returns what is wrong with what was read, or null. */
    String problem() {
        return problem;
    }

    /** Skips data of a chunk; returns how many of these bytes are such data. */
    int skip(int available) {
        int size = state == State.DATA ? (int) Math.min(left, available) : 0;
        left -= size;
        if (size > 0 && left == 0) {
            state = State.DATA_CR;
        }
        return size;
    }

    /**
     * Reads until data of a chunk, or until the body is complete or wrong.
     *
     * @return where reading stopped
     */
    int read(byte[] data, int start, int end) {
        int position = start;
        while (position < end && problem == null && state != State.DATA) {
            if (state == State.TRAILER) {
                position = trailer.read(data, position, end);
                problem = trailer.problem();
                if (trailer.isComplete()) {
                    break;
                }
            } else {
                read(data[position] & BYTE);
                position++;
            }
        }
        return position;
    }

    private void read(int character) {
        switch (state) {
            case SIZE:
                readSize(character);
                break;
            case EXTENSION:
                readExtension(character);
                break;
            case SIZE_END:
                endSize(character);
                break;
            case DATA_CR:
                problem = character == CR ? null : "a chunk has more bytes than its size says";
                state = State.DATA_LF;
                break;
            default:
                problem = character == LF ? null : "a chunk ends without CR LF";
                beginChunk();
                break;
        }
    }

    private void readSize(int character) {
        int digit = character > 'f' ? -1 : Character.digit(character, HEX);
        if (digit >= 0) {
            left = left * HEX + digit;
            digits++;
            if (digits > MAX_DIGITS || left > Integer.MAX_VALUE) {
                problem = "the size of a chunk is too large";
            }
        } else if (digits > 0 && character == CR) {
            state = State.SIZE_END;
        } else if (digits > 0 && character == ';') {
            state = State.EXTENSION;
        } else {
            problem = "the size of a chunk is not a number";
        }
    }

    private void readExtension(int character) {
        extension++;
        if (character == CR) {
            state = State.SIZE_END;
        } else if (character < SPACE && character != TAB || character == '"') {
            // Some end a line inside of quotes, and others do not.
            problem = "the extension of a chunk has quotes or a control character";
        } else if (extension > MAX_EXTENSION) {
            problem = "the extension of a chunk is too long";
        }
    }

    private void endSize(int character) {
        if (character != LF) {
            problem = "a chunk's size ends without CR LF";
        } else if (left > 0) {
            state = State.DATA;
        } else {
            state = State.TRAILER;
            trailer.beginTrailer();
        }
    }
}
