import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads topics that match a regular expression, which the broker evaluates: a member of the consumer protocol (KIP-848). */
public class ReadByPattern {
  /** Arguments: bootstrap servers, group, pattern, number of records; prints each record, then "done". */
  public static void main(String[] args) {
    Properties config = new Properties();
    config.put("bootstrap.servers", args[0]);
    config.put("group.id", args[1]);
    config.put("group.protocol", "consumer");
    config.put("group.remote.assignor", "range");
    config.put("auto.offset.reset", "earliest");
    config.put("enable.auto.commit", "false");
    try (KafkaConsumer<String, String> consumer =
        new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(new SubscriptionPattern(args[2]));
      for (int left = Integer.parseInt(args[3]); left > 0; ) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
          System.out.println(record.topic() + " " + record.value());
          left--;
        }
      }
      consumer.commitSync();
    }
    System.out.println("done");
  }
}
