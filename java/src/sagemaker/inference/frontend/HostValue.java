package sagemaker.inference.frontend;

/**
 * Reads the value of the field Host, as strictly as RFC 9110 (7.2) and RFC 3986 (3.2.2) allow: a
 * name or an address, then perhaps a port.
 */
final class HostValue {
    private enum State {
        START,
        NAME,
        PERCENT,
        PERCENT_DIGIT,
        ADDRESS,
        ADDRESS_END,
        PORT
    }

    private static final int HEX = 16;
    private static final int ASCII = 0x80;

    /** The characters of names, but for percent signs. */
    private static final boolean[] IS_NAME = new boolean[ASCII];

    static {
        for (char character = '0'; character <= 'z'; character++) {
            IS_NAME[character] = Character.isLetterOrDigit(character);
        }
        for (char character : "-._~!$&'()*+,;=".toCharArray()) {
            IS_NAME[character] = true;
        }
    }

    private State state = State.START;

    /** Prepares for a value. */
    void begin() {
        state = State.START;
    }

    /** Reads a character; returns whether it may stand there. */
    boolean read(int character) {
        switch (state) {
            case START:
                state = character == '[' ? State.ADDRESS : State.NAME;
                return state == State.ADDRESS || readName(character);
            case NAME:
                return readName(character);
            case PERCENT:
                state = State.PERCENT_DIGIT;
                return isHex(character);
            case PERCENT_DIGIT:
                state = State.NAME;
                return isHex(character);
            case ADDRESS:
                if (character == ']') {
                    state = State.ADDRESS_END;
                    return true;
                }
                return character == ':' || character < ASCII && IS_NAME[character];
            case ADDRESS_END:
                state = State.PORT;
                return character == ':';
            default:
                return character >= '0' && character <= '9';
        }
    }

    private boolean readName(int character) {
        if (character == ':') {
            state = State.PORT;
        } else if (character == '%') {
            state = State.PERCENT;
        } else {
            return character < ASCII && IS_NAME[character];
        }
        return true;
    }

    private static boolean isHex(int character) {
        return character < ASCII && Character.digit(character, HEX) >= 0;
    }

    /** Returns whether the value may end here; an empty one may, too. */
    boolean isWhole() {
        return state != State.PERCENT
                && state != State.PERCENT_DIGIT
                && state != State.ADDRESS;
    }
}
