package sagemaker.inference.frontend;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.websocketx.CorruptedWebSocketFrameException;
import io.netty.handler.codec.http.websocketx.WebSocketCloseStatus;
import io.netty.handler.codec.http.websocketx.WebSocketFrame;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Passes the frames of a client on to its WebSocket. */
final class SocketHandler extends ChannelInboundHandlerAdapter {
    private static final Logger LOGGER = LoggerFactory.getLogger(SocketHandler.class);

    private final SocketExchange socket;

    SocketHandler(SocketExchange socket) {
        this.socket = socket;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        WebSocketFrame frame = (WebSocketFrame) message;
        try {
            socket.onFrame(frame);
        } finally {
            frame.release();
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext context) {
        socket.onReadComplete();
    }

    /** Handles errors from reading. */
    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
        if (error instanceof CorruptedWebSocketFrameException) {
            WebSocketCloseStatus status = ((CorruptedWebSocketFrameException) error).closeStatus();
            socket.refuse(status.code(), error.getMessage());
        } else if (error instanceof IOException || !context.channel().isActive()) {
            context.close(); // the client has disconnected
        } else if (error instanceof OutOfMemoryError) {
            Router.logOutOfMemory(error);
            socket.refuse(SocketExchange.FAILED, "No memory is left for the message");
        } else {
            LOGGER.error("a client's WebSocket is closed", error);
            socket.refuse(SocketExchange.FAILED, "The server failed to read a message");
        }
    }
}
