import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntConsumer;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis.Completeness;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.UnresolvedReferenceException;
import jdk.jshell.execution.LocalExecutionControlProvider;
import sun.misc.Signal;

/**
 * Evaluates the requests of warm-agent in one long-lived JShell (docs/agent-protocol.md, "A session"). Java 17 or later:
 *
 * <pre>java --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED
 *     --add-opens=java.base/java.util.concurrent=ALL-UNNAMED SessionLoop.java</pre>
 *
 * <p>The code runs in this virtual machine, snippet after snippet, until one fails. What it declares persists. The usual
 * imports of jshell are there, and the class path of the variable CLASSPATH. Values of expressions are not printed.
 *
 * <p>Beside what Java has there are {@code exit(int)}, which ends the request (the first status counts, if the code
 * catches what exit throws), and {@code Map<String, String> env}, the environment of the request. System.getenv shows
 * it as well, where --add-opens lets us. A program gets it only from a ProcessBuilder whose environment() was called.
 *
 * <p>What Java cannot do: System.exit ends the session. The working directory is only the property user.dir; relative
 * names do not follow it. TMPDIR becomes the property java.io.tmpdir; File.createTempFile and Files.createTempFile
 * without a directory have read that property when Java started. An interrupt does not end code that waits for input.
 * A resume reseeds Math.random, Collections.shuffle, ThreadLocalRandom and those generators that are made without a
 * seed from then on; it is an error where --add-opens is missing. Threads that the code has started do not hold up the
 * end of its request.
 */
public final class SessionLoop {
    private static final List<String> IMPORTS = List.of("java.io", "java.math", "java.net", "java.nio.file", "java.util",
        "java.util.concurrent", "java.util.function", "java.util.prefs", "java.util.regex", "java.util.stream");

    private final PrintStream out = stream(FileDescriptor.out);
    private final PrintStream err = stream(FileDescriptor.err);
    private final Map<String, String> env = environment();
    private final JShell shell = newShell();
    private final Map<String, Integer> firstLines = new HashMap<>();  // of this request's snippets, by their ids
    private final Object lock = new Object();
    private final Semaphore looked = new Semaphore(0);
    // Guarded by lock.
    private boolean running;
    private boolean interrupted;
    private int exitStatus = -1;  // what the code asked for first

    public static void main(String[] arguments) throws IOException {
        new SessionLoop().serveAll(System.getenv("WARM_SESSION"));
    }

    private void serveAll(String fifo) throws IOException {
        Signal.handle(new Signal("INT"), signal -> interrupt());
        Signal.handle(new Signal("WINCH"), signal -> looked.release());
        putBackStreams();
        prepare();
        try (var requests = new BufferedReader(new InputStreamReader(new FileInputStream(fifo), StandardCharsets.US_ASCII))) {
            for (String line = requests.readLine(); line != null; line = requests.readLine()) {
                if (!line.isEmpty()) serve(line.split(" "));
            }
        }
        System.exit(0);  // threads of the code may still run
    }

    private JShell newShell() {
        JShell made = JShell.builder().executionEngine(new LocalExecutionControlProvider(), Map.of()).build();
        String path = env.get("CLASSPATH");
        if (path != null && !path.isEmpty()) made.addToClasspath(path);
        return made;
    }

    /** Snippets cannot name this class, so what they share with it goes through the system's properties. */
    private void prepare() {
        for (String name : IMPORTS) shell.eval("import " + name + ".*;");
        System.getProperties().put("warm.env", env);
        System.getProperties().put("warm.exit", (IntConsumer) this::leave);
        shell.eval("@SuppressWarnings(\"unchecked\") Map<String, String> env = "
            + "(Map<String, String>) System.getProperties().remove(\"warm.env\");");
        shell.eval("IntConsumer $exit = (IntConsumer) System.getProperties().remove(\"warm.exit\");");
        shell.eval("void exit(int status) { $exit.accept(status); }");
    }

    @SuppressWarnings("removal")
    private void leave(int status) {
        synchronized (lock) {
            if (exitStatus < 0) exitStatus = status & 0xFF;
        }
        throw new ThreadDeath();  // of which a thread that ends by it says nothing
    }

    private void serve(String[] fields) {
        int status = 1;
        try {
            List<String> text = Arrays.stream(fields).skip(2).map(SessionLoop::decode).toList();
            switch (fields[1]) {
                case "exec" -> status = execute(text.get(0), text.get(1), text.subList(2, text.size()));
                case "resume" -> status = resume(Long.parseLong(text.get(0)), text.get(1), text.subList(2, text.size()));
                default -> err.println("session: unknown request: " + fields[1]);
            }
        } catch (Exception e) {
            err.println("session: " + e);
        }
        putBackStreams();
        for (PrintStream stream : List.of(out, err)) {
            stream.print("\u001ewarm " + fields[0] + " " + status + "\n");
            stream.flush();
        }
    }

    private int execute(String folder, String code, List<String> settings) {
        Map<String, String> before = Map.copyOf(env);
        String oldFolder = System.getProperty("user.dir");
        try {
            System.setProperty("user.dir", Path.of(folder).toRealPath().toString());
            set(settings);
            return evaluateGuarded(code);
        } catch (IOException e) {
            err.println("session: cannot change to the working directory " + folder);
            return 1;
        } finally {
            System.setProperty("user.dir", oldFolder);
            env.keySet().retainAll(before.keySet());
            env.putAll(before);
        }
    }

    /**
     * Lets interrupts pass that came while nothing ran: handlers run in threads of their own, later than the signal.
     * One dispatcher starts these threads, that for a signal of a higher number after those for the lower ones.
     */
    private void drainInterrupts() throws IOException {
        while (interruptIsPending()) Thread.onSpinWait();
        Signal.raise(new Signal("WINCH"));
        looked.acquireUninterruptibly();
        ThreadGroup group = Thread.currentThread().getThreadGroup();
        while (group.getParent() != null) group = group.getParent();
        Thread[] threads = new Thread[group.activeCount() + 8];
        int count = group.enumerate(threads);
        for (Thread thread : Arrays.copyOf(threads, count)) {
            if (!thread.getName().equals("SIGINT handler")) continue;
            try {
                thread.join();
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    /** Whether the kernel still has one for us: the thread that takes it may be slower than the next request. */
    private static boolean interruptIsPending() throws IOException {
        try (var lines = Files.lines(Path.of("/proc/self/status"), StandardCharsets.ISO_8859_1)) {
            return lines.anyMatch(line -> line.startsWith("ShdPnd:")
                && (Integer.parseInt(line.substring(line.length() - 2), 16) & 2) != 0);
        }
    }

    private int evaluateGuarded(String code) throws IOException {
        drainInterrupts();
        synchronized (lock) {
            running = true;
            interrupted = false;
            exitStatus = -1;
        }
        boolean succeeded = false;
        try {
            succeeded = evaluate(code);
        } finally {
            synchronized (lock) {
                running = false;
                lock.notifyAll();
            }
        }
        synchronized (lock) {
            if (exitStatus >= 0) return exitStatus;
            if (interrupted) return 130;
            return succeeded ? 0 : 1;
        }
    }

    private boolean ended() {
        synchronized (lock) {
            return interrupted || exitStatus >= 0;
        }
    }

    private void interrupt() {
        synchronized (lock) {
            if (!running) return;
            interrupted = true;
            // Again and again, because JShell ignores it while it compiles.
            while (running) {
                shell.stop();
                try {
                    lock.wait(100);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }
    }

    private boolean evaluate(String code) {
        firstLines.clear();
        String rest = code.stripLeading();
        while (!ended()) {
            CompletionInfo info = shell.sourceCodeAnalysis().analyzeCompletion(rest);
            if (info.completeness() == Completeness.EMPTY) return true;
            boolean complete = info.completeness().isComplete();
            String source = complete ? info.source() : rest;
            int line = 1 + (int) code.substring(0, code.length() - rest.length()).chars().filter(c -> c == '\n').count();
            for (SnippetEvent event : shell.eval(source)) {
                if (event.causeSnippet() == null && !accept(event, line)) return false;
            }
            if (!complete) {
                err.println("line " + line + ": error: what begins here does not end");
                return false;
            }
            rest = info.remaining().stripLeading();
        }
        return false;
    }

    /** Whether the snippet, which begins in this line of the code, was compiled and ran; says why not. */
    private boolean accept(SnippetEvent event, int line) {
        firstLines.put(event.snippet().id(), line);
        if (event.status() == Snippet.Status.REJECTED) {
            shell.diagnostics(event.snippet()).forEach(diag -> report(diag, event.snippet().source(), line));
            return false;
        }
        if (ended()) return false;
        if (event.exception() != null) report(event.exception(), "");
        return event.exception() == null;
    }

    private void report(Diag diag, String source, int firstLine) {
        int at = (int) Math.max(0, Math.min(diag.getPosition(), source.length()));
        int begin = source.lastIndexOf('\n', at - 1) + 1;
        int end = source.indexOf('\n', at);
        long line = firstLine + source.substring(0, begin).chars().filter(c -> c == '\n').count();
        err.println("line " + line + ": " + (diag.isError() ? "error: " : "warning: ") + diag.getMessage(null));
        err.println(source.substring(begin, end < 0 ? source.length() : end));
        err.println(" ".repeat(at - begin) + "^");
    }

    private void report(Throwable e, String before) {
        String name = e instanceof EvalException thrown ? thrown.getExceptionClassName() : "error";
        String message = e.getMessage();
        if (e instanceof UnresolvedReferenceException unresolved) {
            message = "not declared: " + String.join(", ",
                shell.unresolvedDependencies(unresolved.getSnippet()).toList());
        }
        err.println(before + name + (message == null ? "" : ": " + message));
        for (StackTraceElement frame : e.getStackTrace()) err.println("\tat " + place(frame));
        if (e.getCause() != null) report(e.getCause(), "Caused by: ");
    }

    /** JShell gives a frame in a snippet the file name #ID and the line in the snippet. */
    private String place(StackTraceElement frame) {
        String file = frame.getFileName();
        if (file == null || !file.startsWith("#")) return frame.toString();
        String method = frame.getClassName() + (frame.getClassName().isEmpty() ? "" : ".") + frame.getMethodName();
        Integer first = firstLines.get(file.substring(1));
        if (first == null) return method + "(an earlier request)";
        return method + "(line " + (first + frame.getLineNumber() - 1) + ")";
    }

    private int resume(long seed, String temporaryFolder, List<String> settings) throws ReflectiveOperationException {
        set(settings);
        env.put("TMPDIR", temporaryFolder);
        System.setProperty("java.io.tmpdir", temporaryFolder);
        Random seeds = new Random(seed);
        Field ofMath = hidden("java.lang.Math$RandomNumberGeneratorHolder", "randomNumberGenerator");
        ((Random) ofMath.get(null)).setSeed(seeds.nextLong());
        hidden("java.util.Collections", "r").set(null, new Random(seeds.nextLong()));
        for (Field seeder : List.of(hidden("java.util.Random", "seedUniquifier"),
                hidden("java.util.SplittableRandom", "defaultGen"),
                hidden("java.util.concurrent.ThreadLocalRandom", "seeder"))) {
            ((AtomicLong) seeder.get(null)).set(seeds.nextLong() | 1);
        }
        return 0;
    }

    private static Field hidden(String type, String name) throws ReflectiveOperationException {
        Field field = Class.forName(type).getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    private void set(List<String> settings) {
        for (String setting : settings) {
            int equals = setting.indexOf('=');
            env.put(setting.substring(0, equals), setting.substring(equals + 1));
        }
    }

    /** The map behind System.getenv(), or, where java.util is not opened to us, a copy. */
    @SuppressWarnings("unchecked")
    private static Map<String, String> environment() {
        try {
            Field map = Collections.unmodifiableMap(Map.of()).getClass().getDeclaredField("m");
            map.setAccessible(true);
            return (Map<String, String>) map.get(System.getenv());
        } catch (ReflectiveOperationException | RuntimeException e) {
            return new HashMap<>(System.getenv());
        }
    }

    private void putBackStreams() {
        // Code may have put another stream there, with something in its buffer.
        if (System.out != null) System.out.flush();
        if (System.err != null) System.err.flush();
        System.setOut(out);
        System.setErr(err);
    }

    /** A stream that does not let go of the descriptor. */
    private static PrintStream stream(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8) {
            @Override
            public void close() {
                flush();
            }
        };
    }

    private static String decode(String field) {
        return URLDecoder.decode(field, StandardCharsets.UTF_8);  // '+' is always encoded
    }
}
