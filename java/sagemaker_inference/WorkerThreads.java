package sagemaker_inference;

import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkLoadManager;
import java.lang.reflect.Field;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** The threads in which Multi Model Server runs models' workers. */
final class WorkerThreads {
    private WorkerThreads() {}

    /**
     * Has each end with its worker.
     *
     * <p>The worker of a process that has ended by itself fails while it cleans up ({@code
     * WorkerThread.run}: it has no connection to close) and keeps its thread in mind. When its model
     * is unloaded it interrupts that thread, which may be another model's worker by then: that
     * one's load fails, or hangs for a minute, or its request gets no answer.
     */
    static void useOnce() {
        ThreadPoolExecutor pool =
                (ThreadPoolExecutor)
                        field(
                                WorkLoadManager.class,
                                "threadPool",
                                field(ModelManager.class, "wlm", ModelManager.getInstance()));
        pool.setKeepAliveTime(0, TimeUnit.SECONDS);
    }

    private static Object field(Class<?> type, String name, Object object) {
        try {
            Field field = type.getDeclaredField(name);
            field.setAccessible(true);
            return field.get(object);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("another version of Multi Model Server", error);
        }
    }
}
