package sagemaker.inference.frontend;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.websocketx.WebSocket13FrameDecoder;
import io.netty.handler.codec.http.websocketx.WebSocketDecoderConfig;

/** Reads the frames of a WebSocket, in place of all that reads HTTP. */
final class SocketDecoder extends WebSocket13FrameDecoder {
    /** Reads frames of at most so many bytes. */
    SocketDecoder(int maxFrame) {
        super(
                WebSocketDecoderConfig.newBuilder()
                        .expectMaskedFrames(true)
                        .allowExtensions(false)
                        .closeOnProtocolViolation(false) // the exchange closes
                        .withUTF8Validator(false)
                        .maxFramePayloadLength(maxFrame)
                        .build());
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) throws Exception {
        if (ReadMemory.isReserve((ByteBuf) message)) {
            ((ByteBuf) message).release();
            throw new OutOfMemoryError("no memory to read a message into");
        }
        super.channelRead(context, message);
    }
}
