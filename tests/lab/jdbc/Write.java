import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

/** One connect-write-close: `java Write.java URL USER`, the password in PGPASSWORD; one line on stdout: the server, or why not. */
class Write {
    public static void main(String[] args) {
        Properties login = new Properties();
        login.setProperty("user", args[1]);
        login.setProperty("password", System.getenv("PGPASSWORD"));
        long began = System.nanoTime();
        try (Connection connection = DriverManager.getConnection(args[0], login);
                ResultSet row = connection.createStatement().executeQuery(
                    "insert into trunkline_load default values returning host(inet_server_addr())")) {
            row.next();
            System.out.printf("written %d ms %s%n", (System.nanoTime() - began) / 1_000_000, row.getString(1));
        } catch (SQLException error) {
            System.out.printf("%s %d ms %s%n", error.getSQLState(), (System.nanoTime() - began) / 1_000_000, error.getMessage());
        }
    }
}
