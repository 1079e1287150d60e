package sagemaker.inference.frontend;

import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoop;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.EmptyHttpHeaders;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.QueryStringDecoder;
import io.netty.util.AsciiString;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds who answers a client's request: the front end itself, a worker, or the supervisor.
 *
 * <p>There is one for each connection, and it has one request at a time.
 */
final class Router extends ChannelInboundHandlerAdapter {
    private static final Logger LOGGER = LoggerFactory.getLogger(Router.class);

    private static final AsciiString CONNECTION = HttpHeaderNames.CONNECTION;
    private static final String PING = LoopStats.PING;
    private static final String PING_METHODS = "GET, HEAD, POST";
    private static final Set<HttpMethod> PINGS =
            Set.of(HttpMethod.GET, HttpMethod.HEAD, HttpMethod.POST);
    // Names one of many models, for requests to /invocations.
    private static final String MODEL_PARAMETER = "model_name";
    static final AsciiString MODEL_HEADER =
            AsciiString.cached("X-Amzn-SageMaker-Target-Model");
    private static final String RETRY_SECONDS = "5";

    // Stands for what could not be read.
    private static final FullHttpRequest UNREADABLE =
            new DefaultFullHttpRequest(
                    HttpVersion.HTTP_1_0,
                    HttpMethod.GET,
                    RequestGuard.UNKNOWN_TARGET,
                    Unpooled.EMPTY_BUFFER);

    private final Clients clients;
    private final EventLoop loop;
    private final LoopStats stats;
    private final ClientWatch watch;
    private ChannelHandlerContext context;
    private Exchange current;
    // The last target that a deployment answers: most clients ask for the same again and again.
    private LastTarget last = LastTarget.NONE;
    // Where the request is counted, until its response; null if there is no request.
    private RouteStats counted;
    private long startedAt;
    // Whether the client has ended its side of the connection.
    private boolean isInputShut;
    // Whether the last request has its response.
    private boolean isAnswered;

    Router(Clients clients, EventLoop loop, ClientWatch watch) {
        this.clients = clients;
        this.loop = loop;
        this.watch = watch;
        stats = clients.stats().on(loop);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        this.context = context;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        FullHttpRequest request = (FullHttpRequest) message;
        isAnswered = false;
        startedAt = System.nanoTime();
        try {
            route(request);
        } catch (OutOfMemoryError | RuntimeException error) {
            onFailure(request, error);
        }
    }

    private void route(FullHttpRequest request) {
        String uri = request.uri();
        if (!request.decoderResult().isSuccess()) {
            countRefused(request);
            UnreadableRequests.refuse(exchange(request), request.decoderResult().cause());
        } else if (isPath(uri, PING)) {
            count(stats.pings, request);
            ping(exchange(request));
        } else if (watch.isOverLimit()) {
            countRefused(request);
            watch.countRefused();
            exchange(request)
                    .refuse(
                            ErrorCode.SERVICE_UNAVAILABLE,
                            "The server has as many connections as it may have",
                            retryLater().set(CONNECTION, HttpHeaderValues.CLOSE));
        } else if (SocketHandshake.isAsked(request)) {
            routeSocket(request);
        } else if (isPath(uri, Routes.INVOCATIONS)) {
            routeInvocations(request);
        } else if (last.is(uri, clients.deployments().routes())) {
            count(last.stats, request);
            invokeByPost(request, last.deployment, Map.of());
        } else {
            routeOther(request, new QueryStringDecoder(uri));
        }
    }

    private void count(RouteStats route, FullHttpRequest request) {
        counted = route;
        route.start(request.content().readableBytes());
    }

    /** Counts a request that is refused whatever it asks for. */
    private void countRefused(FullHttpRequest request) {
        Routes routes = clients.deployments().routes();
        count(stats.ofRefused(request, routes, clients.supervisorRequests().paths()), request);
    }

    static boolean isPath(String uri, String path) {
        int length = path.length();
        return uri.startsWith(path) && (uri.length() == length || uri.charAt(length) == '?');
    }

    private Exchange exchange(FullHttpRequest request) {
        current = new Exchange(this, request, clients.responses());
        return current;
    }

    private void ping(Exchange exchange) {
        if (PINGS.contains(exchange.request.method())) {
            clients.health().answer(exchange);
        } else {
            refuseMethod(exchange, PING_METHODS);
        }
    }

    private void routeInvocations(FullHttpRequest request) {
        Map<String, List<String>> query = query(request.uri());
        String model = targetModel(request.headers(), query);
        Routes routes = clients.deployments().routes();
        count(stats.ofInvocation(Routes.INVOCATIONS, model, routes), request);
        if (!isPost(request)) {
            refuseMethod(exchange(request), HttpMethod.POST.name());
            return;
        }
        if (model != null) {
            Deployment deployment = routes.findModel(model);
            if (deployment == null) {
                refuseModel(exchange(request), model);
            } else {
                invoke(request, deployment, query);
            }
        } else if (routes.invocations != null) {
            invoke(request, routes.invocations, query);
        } else {
            clients.deployments().refuseInvocation(exchange(request));
        }
    }

    static HttpHeaders retryLater() {
        return new DefaultHttpHeaders().set(HttpHeaderNames.RETRY_AFTER, RETRY_SECONDS);
    }

    private static boolean isPost(FullHttpRequest request) {
        return request.method().equals(HttpMethod.POST);
    }

    static Map<String, List<String>> query(String uri) {
        return uri.indexOf('?') < 0 ? Map.of() : new QueryStringDecoder(uri).parameters();
    }

    static String targetModel(HttpHeaders headers, Map<String, List<String>> query) {
        if (!query.isEmpty() && query.containsKey(MODEL_PARAMETER)) {
            return query.get(MODEL_PARAMETER).get(0);
        }
        return headers.get(MODEL_HEADER);
    }

    private void invoke(
            FullHttpRequest request, Deployment deployment, Map<String, List<String>> query) {
        Invocation invocation = new Invocation(this, request, clients.responses());
        current = invocation;
        if (isInputShut) {
            invocation.giveWay();
        }
        invocation.submit(deployment.on(loop), query);
    }

    private void routeSocket(FullHttpRequest request) {
        QueryStringDecoder target = new QueryStringDecoder(request.uri());
        String path = target.path();
        Routes routes = clients.deployments().routes();
        Deployment deployment = routes.findSocket(path);
        count(deployment == null ? stats.others : stats.find(path), request);
        if (deployment == null && routes.isEmpty()) {
            String message = "No model is loaded yet";
            exchange(request).refuse(ErrorCode.SERVICE_UNAVAILABLE, message, retryLater());
        } else if (deployment == null) {
            String message = SocketExchange.notFound(path, routes.socketPaths());
            exchange(request).refuse(ErrorCode.NOT_FOUND, message);
        } else {
            SocketExchange socket =
                    new SocketExchange(
                            this, request, clients, deployment.sockets, path, context);
            current = socket;
            socket.open(deployment.on(loop), target);
        }
    }

    private void routeOther(FullHttpRequest request, QueryStringDecoder target) {
        String path = target.path();
        Routes routes = clients.deployments().routes();
        Deployment deployment = routes.find(path);
        String model = Routes.modelOf(path);
        SupervisorRequests supervisor = clients.supervisorRequests();
        String asked = supervisor.paths().find(target.rawPath());
        count(stats.ofOther(path, asked, routes), request);
        if (deployment != null) {
            Map<String, List<String>> query = query(request.uri());
            if (query.isEmpty()) {
                last = new LastTarget(request.uri(), routes, deployment, counted);
            }
            invokeByPost(request, deployment, query);
        } else if (asked != null) {
            SupervisorRequests.Asked question =
                    supervisor.exchange(this, request, clients.responses(), loop);
            current = question;
            question.submit();
        } else if (model != null) {
            refuseModel(exchange(request), model);
        } else {
            clients.deployments().refusePath(exchange(request), path);
        }
    }

    private void invokeByPost(
            FullHttpRequest request, Deployment deployment, Map<String, List<String>> query) {
        if (isPost(request)) {
            invoke(request, deployment, query);
        } else {
            refuseMethod(exchange(request), HttpMethod.POST.name());
        }
    }

    private void refuseMethod(Exchange exchange, String allowed) {
        if (isPreflight(exchange.request)) {
            allowOrigin(exchange);
            return;
        }
        HttpHeaders allow = new DefaultHttpHeaders().set(HttpHeaderNames.ALLOW, allowed);
        String message =
                "The method is " + exchange.request.method() + "; this path takes " + allowed;
        exchange.refuse(ErrorCode.METHOD_NOT_ALLOWED, message, allow);
    }

    private static void refuseModel(Exchange exchange, String model) {
        exchange.refuse(ErrorCode.MODEL_NOT_FOUND, "Model " + model + " is not loaded");
    }

    /** Returns whether a browser asks if a page may send a request. */
    private boolean isPreflight(FullHttpRequest request) {
        return request.method().equals(HttpMethod.OPTIONS)
                && clients.settings().isCorsAllowed
                && request.headers().contains(HttpHeaderNames.ACCESS_CONTROL_REQUEST_METHOD);
    }

    private static void allowOrigin(Exchange exchange) {
        exchange.release();
        exchange.respond(
                exchange.responses.response(
                        HttpResponseStatus.OK.code(),
                        EmptyHttpHeaders.INSTANCE,
                        Unpooled.EMPTY_BUFFER,
                        exchange.id));
    }

    /** Answers a request whose routing failed. */
    private void onFailure(FullHttpRequest request, Throwable error) {
        boolean isOutOfMemory = error instanceof OutOfMemoryError;
        if (counted == null && !isAnswered) {
            count(stats.others, request);
        }
        if (isOutOfMemory) {
            logOutOfMemory(error);
        } else {
            LOGGER.error("a request failed", error);
        }
        if (isAnswered) {
            context.close();
            return;
        }
        Exchange failed = current == null ? exchange(request) : current;
        if (isOutOfMemory) {
            failed.refuse(ErrorCode.OUT_OF_MEMORY, "No memory is left for the request");
        } else {
            // Its memory may belong to a worker's connection by now: it is not released here.
            failed.fail(ErrorCode.INTERNAL_ERROR, "The server failed");
        }
    }

    static void logOutOfMemory(Throwable error) {
        LOGGER.error(
                "a request got 507, out of memory: {}. {}", error.getMessage(), FatalErrors.ADVICE);
    }

    /** Leaves an access line about a request that is refused or has failed. */
    void log(Exchange exchange, int status) {
        log(exchange, status, 0);
    }

    /** As {@link #log(Exchange, int)}, of a WebSocket that this status has closed. */
    void log(Exchange exchange, int status, int close) {
        long nanos = System.nanoTime() - startedAt;
        clients.accessLog().write(exchange.request, status, exchange.id, nanos, close);
    }

    /** Sends the response to the current request. */
    void respond(FullHttpResponse response) {
        boolean isHead = current != null && current.request.method().equals(HttpMethod.HEAD);
        current = null;
        isAnswered = true;
        countAnswer(response.status().code(), isHead ? 0 : response.content().readableBytes());
        // A client must not wait for a response that could not be written.
        context.writeAndFlush(response).addListener(ChannelFutureListener.CLOSE_ON_FAILURE);
    }

    /** Sends the head of a response to the current request; returns its body to come. */
    StreamedBody begin(HttpResponse head) {
        isAnswered = true;
        return new StreamedBody(context, head);
    }

    /** Counts the current response, whose body ends. */
    void end(int status) {
        countAnswer(status, current.sentBytes());
        current = null;
    }

    private void countAnswer(int status, long bytes) {
        RouteStats route = counted;
        if (route != null) {
            counted = null;
            route.finish(status, System.nanoTime() - startedAt, bytes);
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event instanceof ChannelInputShutdownEvent) {
            isInputShut = true;
            if (current != null) {
                current.giveWay();
            }
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        if (current != null) {
            Exchange abandoned = current;
            current = null;
            countAnswer(abandoned.goneStatus(), abandoned.sentBytes());
            abandoned.cancel();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        if (current != null && context.channel().isWritable()) {
            current.resume();
        }
    }

    /** Handles errors from reading. */
    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
        if (error instanceof IOException || !context.channel().isActive()) {
            context.close(); // the client has disconnected
            return;
        }
        ErrorCode code;
        String message;
        if (error instanceof OutOfMemoryError) {
            logOutOfMemory(error);
            code = ErrorCode.OUT_OF_MEMORY;
            message = "No memory is left for the request";
        } else {
            LOGGER.error("a client's connection is closed", error);
            code = ErrorCode.INTERNAL_ERROR;
            message = "The server failed to read the request";
        }
        // After the response to a current request, the connection is closed anyway.
        if (current == null) {
            String id = Exchange.newId();
            FullHttpResponse response =
                    clients.responses().error(code, message, id, ErrorForm.JSON);
            clients.accessLog().write(UNREADABLE, code.status, id, 0);
            response.headers().set(CONNECTION, HttpHeaderValues.CLOSE);
            stats.others.start(0);
            stats.others.finish(code.status, 0, response.content().readableBytes());
            // The part of the request that was read takes memory.
            context.pipeline().get(RequestGuard.class).abandon();
            context.writeAndFlush(response);
        }
    }
}
