package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;

/**
 * Checks that bytes are UTF-8 (RFC 3629), piece by piece.
 *
 * <p>Netty's own check takes a pong between the fragments of a text for the end of the text.
 */
final class Utf8Check {
    private static final int FIRST_OF_TWO = 0xC2;
    private static final int FIRST_OF_THREE = 0xE0;
    private static final int FIRST_OF_FOUR = 0xF0;
    private static final int LAST_OF_FOUR = 0xF4;
    private static final int CONTINUATION = 0x80;
    private static final int LAST_CONTINUATION = 0xBF;

    // Of a character that has begun: how many bytes are to come, and between what the next one is.
    private int left;
    private int least;
    private int most;

    /** Returns whether what has come so far is the beginning of a text. */
    boolean read(ByteBuf data) {
        return data.forEachByte(this::isGood) < 0;
    }

    /** Returns whether what has come so far is a text; another one may follow. */
    boolean isWhole() {
        boolean isWhole = left == 0;
        left = 0;
        return isWhole;
    }

    private boolean isGood(byte signed) {
        int value = signed & 0xFF;
        if (left > 0) {
            boolean isGood = value >= least && value <= most;
            left--;
            least = CONTINUATION;
            most = LAST_CONTINUATION;
            return isGood;
        }
        if (value < CONTINUATION) {
            return true;
        }
        least = CONTINUATION;
        most = LAST_CONTINUATION;
        if (value >= FIRST_OF_TWO && value < FIRST_OF_THREE) {
            left = 1;
        } else if (value >= FIRST_OF_THREE && value < FIRST_OF_FOUR) {
            left = 2;
            // Neither longer than needed, nor half of a surrogate pair.
            least = value == FIRST_OF_THREE ? 0xA0 : CONTINUATION;
            most = value == 0xED ? 0x9F : LAST_CONTINUATION;
        } else if (value >= FIRST_OF_FOUR && value <= LAST_OF_FOUR) {
            left = 3;
            // Nor beyond U+10FFFF.
            least = value == FIRST_OF_FOUR ? 0x90 : CONTINUATION;
            most = value == LAST_OF_FOUR ? 0x8F : LAST_CONTINUATION;
        }
        return left > 0;
    }
}
