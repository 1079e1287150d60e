package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.ChannelConfig;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.util.UncheckedBooleanSupplier;

/**
 * Memory for what clients send. When there is none, a small reserve is read into.
 *
 * <p>Netty would stop reading for good, and the client would not get to see a response behind what
 * it sends. What is in the reserve must be released at once.
 */
final class ReadMemory implements RecvByteBufAllocator {
    // A chunk has PAGE << CHUNK_ORDER bytes: 1 MiB.
    private static final int PAGE = 8192;
    private static final int CHUNK_ORDER = 7;
    private static final PooledByteBufAllocator RESERVE =
            new PooledByteBufAllocator(true, 0, 1, PAGE, CHUNK_ORDER, 0, 0, false);
    // Keeps the chunk.
    private static final ByteBuf KEPT = RESERVE.directBuffer(1);

    private final RecvByteBufAllocator usual;

    /** Reads into memory as another does, while there is some. */
    ReadMemory(RecvByteBufAllocator usual) {
        this.usual = usual;
    }

    /** Returns whether bytes are in the reserve. */
    static boolean isReserve(ByteBuf data) {
        return data.alloc() == KEPT.alloc();
    }

    @Override
    @SuppressWarnings("deprecation") // of the old half of the interface, which the event loop needs
    public Handle newHandle() {
        return new ReserveHandle((ExtendedHandle) usual.newHandle());
    }

    @SuppressWarnings("deprecation")
    private static final class ReserveHandle implements ExtendedHandle {
        private final ExtendedHandle usual;

        ReserveHandle(ExtendedHandle usual) {
            this.usual = usual;
        }

        @Override
        public ByteBuf allocate(ByteBufAllocator memory) {
            try {
                return usual.allocate(memory);
            } catch (OutOfMemoryError error) {
                return RESERVE.directBuffer(PAGE);
            }
        }

        @Override
        public int guess() {
            return usual.guess();
        }

        @Override
        public void reset(ChannelConfig config) {
            usual.reset(config);
        }

        @Override
        public void incMessagesRead(int count) {
            usual.incMessagesRead(count);
        }

        @Override
        public void lastBytesRead(int bytes) {
            usual.lastBytesRead(bytes);
        }

        @Override
        public int lastBytesRead() {
            return usual.lastBytesRead();
        }

        @Override
        public void attemptedBytesRead(int bytes) {
            usual.attemptedBytesRead(bytes);
        }

        @Override
        public int attemptedBytesRead() {
            return usual.attemptedBytesRead();
        }

        @Override
        public boolean continueReading() {
            return usual.continueReading();
        }

        @Override
        public boolean continueReading(UncheckedBooleanSupplier isMore) {
            return usual.continueReading(isMore);
        }

        @Override
        public void readComplete() {
            usual.readComplete();
        }
    }
}
