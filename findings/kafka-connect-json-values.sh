#!/usr/bin/env bash
# Kafka Connect 4.4.0 (connect-json, on Java 17), seen 2026-11-30:
# JsonConverter without schemas, by which a sink reads a topic of plain JSON, changes what it reads. Of a message that holds
# several lines it takes the first and says nothing of the others, so that of NDJSON in batches one example a message is left;
# a broken line behind the first is no error either. An integer from 2^63 on, such as an unsigned 64-bit hash or id of a
# click, becomes a negative one, and a number with a point that is too large a text. A reader would expect errors.
#
# Seen (a message -> what a sink writes of it):
#   {"id":1}\n{"id":2} -> {"id":1}
#   {"id":1}\n{"id": -> {"id":1}
#   {"id":9223372036854775807} -> {"id":9223372036854775807}
#   {"id":9223372036854775808} -> {"id":-9223372036854775808}
#   {"id":18446744073709551615} -> {"id":-1}
#   {"bid":1e400} -> {"bid":"Infinity"}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>findings</groupId>
  <artifactId>connect</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-json</artifactId><version>4.4.0</version></dependency>
  </dependencies>
</project>
POM
mvn --quiet --batch-mode --file "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DoutputDirectory="$work/jars" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cat >"$work/Convert.java" <<'JAVA'
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.json.JsonConverter;

public class Convert {
    public static void main(String[] arguments) {
        JsonConverter converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", "false"), false);
        for (String message : List.of(
                "{\"id\":1}\n{\"id\":2}", "{\"id\":1}\n{\"id\":", "{\"id\":9223372036854775807}",
                "{\"id\":9223372036854775808}", "{\"id\":18446744073709551615}", "{\"bid\":1e400}")) {
            var read = converter.toConnectData("clicks", message.getBytes());
            var written = new String(converter.fromConnectData("clicks", read.schema(), read.value()));
            System.out.println(message.replace("\n", "\\n") + " -> " + written);
        }
    }
}
JAVA
found=$(java -cp "$work/jars/*" "$work/Convert.java" 2>"$work/log") || { cat "$work/log"; exit 1; }
echo "$found"
seen=$(sed -n 's/^#   \({.* -> .*\)$/\1/p' "$0")
[[ $found == "$seen" ]] || { echo "it behaves otherwise now" >&2; exit 1; }
