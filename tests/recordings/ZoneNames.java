import java.text.DateFormatSymbols;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.time.format.DateTimeParseException;
import java.util.Locale;
import java.util.Set;
import java.util.TimeZone;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Prints what java.time makes of the names of time zones: `java -Duser.language=en ZoneNames.java > zone_names.tsv`.
 *
 * Lines: `read`, style, name in small letters, zone; `write`, zone, and its names: short and long, in winter, in summer
 * and in general.
 */
public class ZoneNames {
    public static void main(String[] arguments) {
        Locale locale = Locale.ENGLISH;
        Set<String> shortNames = new TreeSet<>();
        Set<String> longNames = new TreeSet<>();
        TreeMap<String, String> written = new TreeMap<>();
        for (String[] row : DateFormatSymbols.getInstance(locale).getZoneStrings()) {
            for (int i = 1; i < row.length; i++) {
                if (row[i] != null) {
                    (i % 2 == 1 ? longNames : shortNames).add(row[i].toLowerCase(locale));
                }
            }
        }
        for (String id : ZoneId.getAvailableZoneIds()) {
            TimeZone zone = TimeZone.getTimeZone(id);
            StringBuilder line = new StringBuilder();
            for (boolean summer : new boolean[] {false, true}) {
                for (int style : new int[] {TimeZone.SHORT, TimeZone.LONG}) {
                    String name = zone.getDisplayName(summer, style, locale);
                    line.append('\t').append(name);
                    (style == TimeZone.LONG ? longNames : shortNames).add(name.toLowerCase(locale));
                }
            }
            for (String pattern : new String[] {"v", "vvvv"}) {
                String name = DateTimeFormatter.ofPattern(pattern, locale).format(ZonedDateTime.now(ZoneId.of(id)));
                line.append('\t').append(name);
            }
            if (!id.startsWith("SystemV/")) { // Java's alone, for files of old
                written.put(id, line.toString());
            }
        }
        read("short", "z", shortNames, locale);
        read("long", "zzzz", longNames, locale);
        written.forEach((id, line) -> System.out.println("write\t" + id + line));
    }

    private static void read(String style, String pattern, Set<String> names, Locale locale) {
        DateTimeFormatter formatter =
            new DateTimeFormatterBuilder().parseCaseInsensitive().appendPattern(pattern).toFormatter(locale);
        for (String name : names) {
            try {
                String id = ZoneId.from(formatter.parse(name)).getId();
                System.out.println("read\t" + style + "\t" + name + "\t" + id);
            } catch (DateTimeParseException error) {
                System.err.println(name + ": " + error.getMessage());
            }
        }
    }
}
