import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Kafka's tools one after another in one process, since starting a JVM costs more than most of
 * them do.
 *
 * <p>A tool that exits parks its thread for good: several tools catch every exception, so throwing one would not end
 * them. Its shutdown hooks run then, since the console producer flushes in one.
 */
public final class ToolRunner {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration HOOK_LIMIT = Duration.ofSeconds(30);

    public static void main(String[] ignored) throws Exception {
        PrintStream answers = System.out;
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            answers.println(run(JSON.readTree(line)));
        }
    }

    private static JsonNode run(JsonNode command) throws Exception {
        ByteArrayOutputStream stderr = new ByteArrayOutputStream();
        ByteArrayOutputStream stdout = new ByteArrayOutputStream();
        String[] arguments = JSON.convertValue(command.get("arguments"), String[].class);
        CompletableFuture<Integer> status = new CompletableFuture<>();
        PrintStream realStderr = System.err;
        try (InputStream in = input(command.get("stdin"));
             PrintStream out = new PrintStream(output(command.get("stdout"), stdout));
             PrintStream err = new PrintStream(stderr)) {
            System.setIn(in);
            System.setOut(out);
            System.setErr(err);
            Exit.Procedure exit = (code, message) -> {
                status.complete(code);
                while (true) {
                    LockSupport.park();
                }
            };
            Exit.setExitProcedure(exit);
            Exit.setHaltProcedure(exit);
            List<Runnable> hooks = new CopyOnWriteArrayList<>();
            Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
            Thread tool = new Thread(() -> runMain(command.get("class").asText(), arguments, status), "tool");
            tool.setDaemon(true);
            tool.start();
            int code = status.get();
            for (Runnable hook : hooks) {
                Thread running = new Thread(hook, "shutdown hook");
                running.setDaemon(true);
                running.start();
                running.join(HOOK_LIMIT.toMillis());
            }
            out.flush();
            err.flush();
            return JSON.createObjectNode()
                .put("status", code)
                .put("stdout", stdout.toString())
                .put("stderr", stderr.toString());
        } finally {
            System.setErr(realStderr);
        }
    }

    private static void runMain(String name, String[] arguments, CompletableFuture<Integer> status) {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            status.complete(0);
        } catch (InvocationTargetException thrown) {
            thrown.getCause().printStackTrace();
            status.complete(1);
        } catch (ReflectiveOperationException error) {
            error.printStackTrace();
            status.complete(1);
        }
    }

    private static InputStream input(JsonNode path) throws Exception {
        return path.isNull() ? InputStream.nullInputStream() : new FileInputStream(path.asText());
    }

    private static OutputStream output(JsonNode path, OutputStream otherwise) throws Exception {
        return path.isNull() ? otherwise : new BufferedOutputStream(new FileOutputStream(path.asText()), 1 << 20);
    }
}
