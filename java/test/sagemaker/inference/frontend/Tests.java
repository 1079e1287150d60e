package sagemaker.inference.frontend;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Runs the tests: prints what failed and the counts; the exit code is 1 if any failed. */
public final class Tests {
    /** A test; it fails by throwing anything. */
    interface Test {
        void run() throws Exception;
    }

    private final Map<String, Test> tests = new LinkedHashMap<>();

    private Tests() {}

    void add(String name, Test test) {
        if (tests.put(name, test) != null) {
            throw new IllegalStateException("two tests are called: " + name);
        }
    }

    /**
     * Runs all tests.
     *
     * @param args if any, only tests whose names contain the first one
     */
    public static void main(String[] args) {
        Tests all = new Tests();
        WorkerProtocolTests.addTo(all);
        GuardTests.addTo(all);
        ClientTests.addTo(all);
        EndTests.addTo(all);
        HttpTests.addTo(all);
        RoutingTests.addTo(all);
        WorkersTests.addTo(all);
        StreamTests.addTo(all);
        ControlTests.addTo(all);
        DrainTests.addTo(all);
        StatsTests.addTo(all);
        FatalErrorsTests.addTo(all);
        int passed = 0;
        int failed = 0;
        for (Map.Entry<String, Test> test : all.tests.entrySet()) {
            if (args.length > 0 && !test.getKey().contains(args[0])) {
                continue;
            }
            try {
                test.getValue().run();
                passed++;
            } catch (Throwable error) {
                failed++;
                System.out.println("FAILED: " + test.getKey());
                error.printStackTrace(System.out);
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    static void check(boolean condition, Object... details) {
        if (!condition) {
            throw new AssertionError(Arrays.toString(details));
        }
    }

    static void checkEqual(Object expected, Object actual) {
        check(expected.equals(actual), "expected", expected, "got", actual);
    }

    static void checkContains(String text, String part) {
        check(text.contains(part), "expected", part, "in", text);
    }
}
