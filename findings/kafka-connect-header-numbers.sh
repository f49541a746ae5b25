#!/usr/bin/env bash
# Kafka Connect 4.4.0 (connect-api, on Java 17), seen 2026-11-30:
# SimpleHeaderConverter, which reads and writes headers unless a connector is told otherwise, guesses what a text is. That is
# documented; but it does not write again what it read. A number with a point is taken for a float of 32 bits where its size
# fits one, whatever digits are lost: an event's time in seconds is off by up to a minute, which is more than most clicks
# come after their impressions. And an id that looks like a number becomes one: `0012` and `12`, or `12e3` and `12000`, are
# one key behind a connector. `header.converter` with a converter of bytes or texts leaves headers alone.
#
# Seen (a header -> as what -> the same header, written again):
#   1796058528.611 -> FLOAT32 -> 1.7960585E9
#   0.30000000000000004 -> FLOAT32 -> 0.3
#   0012 -> INT8 -> 12
#   12e3 -> INT16 -> 12000
#   12e3a -> STRING -> 12e3a
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
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-api</artifactId><version>4.4.0</version></dependency>
  </dependencies>
</project>
POM
mvn --quiet --batch-mode --file "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DoutputDirectory="$work/jars" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cat >"$work/Headers.java" <<'JAVA'
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;

public class Headers {
    public static void main(String[] arguments) {
        SimpleHeaderConverter converter = new SimpleHeaderConverter();
        converter.configure(Map.of());
        for (String header : List.of("1796058528.611", "0.30000000000000004", "0012", "12e3", "12e3a")) {
            var read = converter.toConnectHeader("clicks", "key", header.getBytes());
            var written = new String(converter.fromConnectHeader("clicks", "key", read.schema(), read.value()));
            System.out.println(header + " -> " + read.schema().type() + " -> " + written);
        }
    }
}
JAVA
found=$(java -cp "$work/jars/*" "$work/Headers.java" 2>"$work/log") || { cat "$work/log"; exit 1; }
echo "$found"
seen=$(sed -n 's/^#   \([0-9].* -> .* -> .*\)$/\1/p' "$0")
[[ $found == "$seen" ]] || { echo "it behaves otherwise now" >&2; exit 1; }
