package io.vedette.test;

import java.util.Map;
import org.elasticsearch.ingest.AbstractProcessor;
import org.elasticsearch.ingest.ConfigurationUtils;
import org.elasticsearch.ingest.IngestDocument;
import org.elasticsearch.ingest.Processor;
import org.elasticsearch.plugins.IngestPlugin;
import org.elasticsearch.plugins.Plugin;

/**
 * The processor {@code set} with {@code copy_from}, whose module the minimal node lacks and no
 * package registry has. Pipelines, and when they run, are Elasticsearch's own.
 */
public final class SetField extends Plugin implements IngestPlugin {
    private static final String TYPE = "set";

    @Override
    public Map<String, Processor.Factory> getProcessors(Processor.Parameters parameters) {
        return Map.of(TYPE, (factories, tag, description, config, project) -> new Copy(
            tag,
            description,
            ConfigurationUtils.readStringProperty(TYPE, tag, config, "field"),
            ConfigurationUtils.readStringProperty(TYPE, tag, config, "copy_from")));
    }

    private static final class Copy extends AbstractProcessor {
        private final String field;
        private final String from;

        Copy(String tag, String description, String field, String from) {
            super(tag, description);
            this.field = field;
            this.from = from;
        }

        @Override
        public IngestDocument execute(IngestDocument document) {
            document.setFieldValue(field, document.getFieldValue(from, Object.class));
            return document;
        }

        @Override
        public String getType() {
            return TYPE;
        }
    }
}
