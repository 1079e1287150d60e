package sagemaker.inference.frontend;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Eight bytes of a request that are looked at together, as one number. */
final class EightBytes {
    private static final VarHandle LONGS =
            MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    // Each of eight bytes is 1.
    private static final long EACH = 0x0101010101010101L;
    private static final int HIGHEST_BIT = 0x80;
    private static final int SPACE = ' ';
    private static final int DELETE = 0x7f;

    private EightBytes() {}

    /** Returns the bytes at a position. */
    static long at(byte[] data, int position) {
        return (long) LONGS.get(data, position);
    }

    /** Returns the first eight characters of a text in ASCII. */
    static long of(String text) {
        return at(text.getBytes(StandardCharsets.US_ASCII), 0);
    }

    /** Returns how many come before a control character, or a tabulator. */
    static int beforeControl(long bytes) {
        // The highest bit of each byte that is less than a space, or that is DELETE, and perhaps of
        // bytes behind one.
        long delete = bytes ^ EACH * DELETE;
        long small = (bytes - EACH * SPACE) & ~bytes | (delete - EACH) & ~delete;
        return Long.numberOfTrailingZeros(small & EACH * HIGHEST_BIT) / Byte.SIZE;
    }
}
