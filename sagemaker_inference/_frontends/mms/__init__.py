"""Multi Model Server (MMS): Java's HTTP server with our handlers in its Netty pipeline."""
