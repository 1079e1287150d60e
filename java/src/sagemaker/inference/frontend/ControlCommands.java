package sagemaker.inference.frontend;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.netty.util.concurrent.EventExecutor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Carries out what the supervisor orders.
 *
 * <p>Called on the event loop of the control connection. Unknown types and fields are ignored, so
 * that a newer supervisor can add some.
 */
final class ControlCommands implements Consumer<JsonObject> {
    private static final String ID = "id";
    private static final double NANOS_PER_SECOND = 1e9;

    /** Sends answers to the supervisor. */
    private final Consumer<JsonObject> answers;

    private final ServerSocket server;
    private final Clients clients;
    private final Deployments deployments;
    private final SupervisorRequests requests;
    private final EventExecutor control;

    ControlCommands(
            Consumer<JsonObject> answers,
            ServerSocket server,
            Clients clients,
            Deployments deployments,
            SupervisorRequests requests,
            EventExecutor control) {
        this.answers = answers;
        this.server = server;
        this.clients = clients;
        this.deployments = deployments;
        this.requests = requests;
        this.control = control;
    }

    @Override
    public void accept(JsonObject message) {
        switch (message.get("type").getAsString()) {
            case "open":
                if (message.has("one_model") && message.get("one_model").getAsBoolean()) {
                    deployments.expectOne();
                }
                server.open(error -> answer("opened", "open_failed", null, error));
                break;
            case "health":
                clients.setHealth(
                        new Health(
                                message.get("status").getAsInt(),
                                message.get("content_type").getAsString(),
                                message.get("body").getAsString(),
                                message.has("valid_for")
                                        ? message.get("valid_for").getAsLong()
                                        : 0));
                break;
            case "ask":
                requests.setPaths(new AskedPaths(strings(message.getAsJsonArray("paths"))));
                break;
            case "deploy":
                deploy(message);
                break;
            case "retire":
                int id = message.get(ID).getAsInt();
                deployments.retire(
                        id,
                        message.get("cause").getAsString(),
                        () -> answer("retired", null, id, null));
                break;
            case "reply":
                requests.onReply(message);
                break;
            case "stats":
                int question = message.get(ID).getAsInt();
                clients.stats().collect(control, routes -> answerStats(question, routes));
                break;
            case "drain":
                server.close(() -> clients.drain(() -> answer("drained", null, null, null)));
                break;
            default:
                break;
        }
    }

    private void answerStats(int id, JsonArray routes) {
        JsonObject answer = ControlChannel.message("stats", id);
        answer.add("routes", routes);
        answers.accept(answer);
    }

    private void deploy(JsonObject message) {
        int id = message.get(ID).getAsInt();
        deployments.deploy(
                id,
                message.get("socket").getAsString(),
                message.get("connections").getAsInt(),
                strings(message.getAsJsonArray("routes")),
                SocketRoutes.from(message),
                (long) (message.get("wait_limit").getAsDouble() * NANOS_PER_SECOND),
                error -> answer("deployed", "deploy_failed", id, error));
    }

    private static List<String> strings(JsonArray array) {
        List<String> strings = new ArrayList<>();
        for (JsonElement element : array) {
            strings.add(element.getAsString());
        }
        return strings;
    }

    private void answer(String success, String failure, Integer id, String error) {
        JsonObject answer = ControlChannel.message(error == null ? success : failure);
        if (id != null) {
            answer.addProperty(ID, id);
        }
        if (error != null) {
            answer.addProperty("error", error);
        }
        answers.accept(answer);
    }
}
