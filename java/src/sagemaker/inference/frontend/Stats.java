package sagemaker.inference.frontend;

import com.google.gson.JsonArray;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.EventExecutor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** Counts of all requests: every one of them once, whoever answers it. */
final class Stats {
    private final Map<EventLoop, LoopStats> loops = new ConcurrentHashMap<>();

    /** Returns the counts of an event loop. */
    LoopStats on(EventLoop loop) {
        return loops.computeIfAbsent(loop, unused -> new LoopStats());
    }

    /**
     * Adds up what all event loops have counted.
     *
     * @param control where the sums are made
     * @param done gets them
     */
    void collect(EventExecutor control, Consumer<JsonArray> done) {
        List<Map.Entry<EventLoop, LoopStats>> all = new ArrayList<>(loops.entrySet());
        Map<String, RouteStats> sums = new LinkedHashMap<>();
        if (all.isEmpty()) {
            done.accept(json(sums));
            return;
        }
        int[] missing = {all.size()};
        for (Map.Entry<EventLoop, LoopStats> entry : all) {
            entry.getKey()
                    .execute(
                            () -> {
                                List<RouteStats> counted = entry.getValue().copy();
                                control.execute(
                                        () -> {
                                            add(sums, counted);
                                            missing[0]--;
                                            if (missing[0] == 0) {
                                                done.accept(json(sums));
                                            }
                                        });
                            });
        }
    }

    private static void add(Map<String, RouteStats> sums, List<RouteStats> counted) {
        for (RouteStats stats : counted) {
            String key = stats.path + "\n" + stats.model;
            sums.computeIfAbsent(key, name -> new RouteStats(stats.path, stats.model)).add(stats);
        }
    }

    private static JsonArray json(Map<String, RouteStats> sums) {
        JsonArray routes = new JsonArray();
        sums.values().forEach(stats -> routes.add(stats.toJson()));
        return routes;
    }
}
