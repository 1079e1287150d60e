package sagemaker_inference;

import com.amazonaws.ml.mms.wlm.Model;
import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkLoadManager;
import com.amazonaws.ml.mms.wlm.WorkerStateListener;
import com.amazonaws.ml.mms.wlm.WorkerThread;
import java.lang.reflect.Field;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RunnableFuture;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The threads in which Multi Model Server runs models' workers, in place of its own.
 *
 * <p>Its worker of a model's process fails when that process ends by itself, or cannot be started:
 * it cleans up as if it had a connection to close ({@code WorkerThread.run}), and does nothing of
 * what would come after. So
 *
 * <ul>
 *   <li>it keeps its thread in mind, and interrupts it when its model is unloaded. It may be
 *       another model's by then, whose load would fail, or hang for a minute, or whose request
 *       would get no answer. Here a thread ends with its worker.
 *   <li>nobody hears of a process that cannot be started. Who loads the model would wait for a
 *       minute, in a thread that answers other clients, and the model would stay in the list. Here
 *       they hear of it.
 * </ul>
 */
final class WorkerThreads extends ThreadPoolExecutor {
    private WorkerThreads() {
        super(0, Integer.MAX_VALUE, 0, TimeUnit.SECONDS, new SynchronousQueue<>());
    }

    /** Puts them into place; before any model is loaded. */
    static void use() {
        try {
            Object workers = field(ModelManager.class, "wlm").get(ModelManager.getInstance());
            field(WorkLoadManager.class, "threadPool").set(workers, new WorkerThreads());
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("another version of Multi Model Server", error);
        }
    }

    @Override
    protected <T> RunnableFuture<T> newTaskFor(Runnable task, T value) {
        return super.newTaskFor(() -> run(task), value);
    }

    private static void run(Runnable task) {
        try {
            task.run();
        } catch (NullPointerException error) {
            if (task instanceof WorkerThread) {
                fail((WorkerThread) task, error);
            }
            throw error;
        }
    }

    private static void fail(WorkerThread worker, Exception error) {
        try {
            Object listener = field(WorkerThread.class, "listener").get(worker);
            Object future = field(WorkerStateListener.class, "future").get(listener);
            Model model = (Model) field(WorkerThread.class, "model").get(worker);
            if (((CompletableFuture<?>) future).completeExceptionally(error)) {
                ModelManager.getInstance().getModels().remove(model.getModelName());
            }
        } catch (ReflectiveOperationException missing) {
            throw new IllegalStateException("another version of Multi Model Server", missing);
        }
    }

    private static Field field(Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }
}
