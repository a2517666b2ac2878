package ringfence.benchmarks;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

/**
 * Keeps, exactly once, the position of every account and the last price of every instrument.
 *
 * <p>Prints "started" with the time in microseconds at the first record, and runs until it is asked to end.
 */
public final class PositionKeeper {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final AtomicBoolean STARTED = new AtomicBoolean();

    private PositionKeeper() {
    }

    /** One trade of an account. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Fill(String side, String quantity, String price) {
    }

    /** One price of an instrument. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Tick(String price) {
    }

    /** Signed quantity in thousandths, signed cost in ten-thousandths, and the number of fills. */
    record Position(long quantity, long cost, long fills) {
        Position with(Fill fill) {
            long size = scaled(fill.quantity(), 3);
            if (fill.side().equals("sell")) {
                size = -size;
            }
            return new Position(quantity + size, cost + size * scaled(fill.price(), 1), fills + 1);
        }

        byte[] bytes() {
            return ByteBuffer.allocate(3 * Long.BYTES).putLong(quantity).putLong(cost).putLong(fills).array();
        }

        static Position of(byte[] bytes) {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            return new Position(buffer.getLong(), buffer.getLong(), buffer.getLong());
        }
    }

    private static long scaled(String decimal, int places) {
        return new BigDecimal(decimal).movePointRight(places).longValueExact();
    }

    private static <T> Serde<T> json(Class<T> type) {
        ObjectReader reader = MAPPER.readerFor(type);
        Deserializer<T> deserializer = (topic, bytes) -> {
            if (STARTED.compareAndSet(false, true)) {
                System.out.println("{\"started_us\": " + System.currentTimeMillis() * 1000 + "}");
            }
            try {
                return reader.readValue(bytes);
            } catch (IOException error) {
                throw new SerializationException(error);
            }
        };
        return Serdes.serdeFrom(
                (topic, value) -> {
                    throw new SerializationException("inputs are only read");
                },
                deserializer);
    }

    private static KeyValueBytesStoreSupplier store(String kind, String name) {
        return kind.equals("memory") ? Stores.inMemoryKeyValueStore(name) : Stores.persistentKeyValueStore(name);
    }

    private static Topology topology(String fills, String ticks, String kind) {
        Serde<Position> positions =
                Serdes.serdeFrom((topic, position) -> position == null ? null : position.bytes(),
                        (topic, bytes) -> bytes == null ? null : Position.of(bytes));
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(fills, Consumed.with(Serdes.String(), json(Fill.class)))
                .groupByKey()
                .aggregate(
                        () -> new Position(0, 0, 0),
                        (account, fill, position) -> position.with(fill),
                        Materialized.<String, Position>as(store(kind, "positions"))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(positions));
        builder.stream(ticks, Consumed.with(Serdes.String(), json(Tick.class)))
                .mapValues(Tick::price)
                .toTable(
                        Materialized.<String, String>as(store(kind, "prices"))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(Serdes.String()));
        return builder.build();
    }

    /** Arguments: bootstrap servers, application id, topic of fills, topic of ticks, "rocksdb" or "memory", folder. */
    public static void main(String[] arguments) throws InterruptedException {
        Properties settings = new Properties();
        settings.putAll(Map.of(
                StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0],
                StreamsConfig.APPLICATION_ID_CONFIG, arguments[1],
                StreamsConfig.STATE_DIR_CONFIG, arguments[5],
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
                StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1,
                StreamsConfig.REPLICATION_FACTOR_CONFIG, 1,
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"));
        KafkaStreams streams = new KafkaStreams(topology(arguments[2], arguments[3], arguments[4]), settings);
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            ended.countDown();
        }));
        streams.start();
        ended.await();
    }
}
