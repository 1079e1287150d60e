package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;

/**
 * Reads what follows the head of a worker's stream: chunks, each behind its length, and the end.
 *
 * <p>A chunk is passed on as it arrives: none is too large for memory.
 */
final class StreamReader {
    private static final int COMPLETE = -1;
    private static final int BROKEN = -2;
    private static final int LOST = -3;

    /** Takes a part of the stream, and the reference to it. */
    interface Sink {
        /** Called before the data of each chunk. */
        default void onChunk(int size) {}

        void onData(ByteBuf data);
    }

    private final Sink sink;
    // Of the current chunk, how much is still to come.
    private int left;
    // The bytes of a length that have arrived.
    private int number;
    private int bytes;
    private boolean isBroken;
    private boolean isLost;
    private boolean isOver;
    private int status;

    StreamReader(Sink sink) {
        this.sink = sink;
    }

    /**
     * Reads what has arrived.
     *
     * @throws IllegalStateException if this is not a part of a stream
     */
    void read(ByteBuf in) {
        while (in.isReadable()) {
            if (isOver) {
                throw new IllegalStateException("a worker sent more than its stream");
            } else if (left > 0) {
                int size = Math.min(left, in.readableBytes());
                left -= size;
                sink.onData(in.readRetainedSlice(size));
            } else {
                readLength(in.readUnsignedByte());
            }
        }
    }

    private void readLength(short next) {
        number = number << Byte.SIZE | next;
        bytes++;
        if (bytes < Integer.BYTES) {
            return;
        }
        bytes = 0;
        if (isBroken) {
            isOver = true;
            status = number;
        } else if (number == COMPLETE) {
            isOver = true;
        } else if (number == BROKEN || number == LOST) {
            isBroken = true;
            isLost = number == LOST;
        } else if (number > 0) {
            left = number;
            sink.onChunk(number);
        } else {
            throw new IllegalStateException("a chunk of " + number + " bytes");
        }
    }

    /** Returns whether all of the stream has been read. */
    boolean isOver() {
        return isOver;
    }

    /** Returns whether the supervisor has ended it, since its worker no longer could. */
    boolean isLost() {
        return isLost;
    }

    /** Returns what has become of a stream that is over: 0 if it is complete. */
    int status() {
        return status;
    }
}
